"""Training job: the specification of a run, its files and its share of the machine. Never imports torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ilsvrc.config import specs


@dataclass(frozen=True)
class Inputs:
    """Packed splits with their manifests, and the weights of runs that this one depends on."""

    train: Path
    train_manifest: Path
    val: Path
    val_manifest: Path
    start: Path | None = None  # weights of the run that it starts from
    teacher: Path | None = None  # weights of the run that it distils


@dataclass(frozen=True)
class Outputs:
    """Files of a run: weights, history and what they were made from."""

    weights: Path
    weights_info: Path
    history: Path
    run_info: Path


@dataclass(frozen=True)
class Resources:
    """Share of the machine; but `threads`, the choices that settle a run's bits beside its specification.

    A launcher is asked for its own node's processes and GPUs, and for threads over all of its processes. A run has
    processes and GPUs over all nodes, and threads of each process.
    """

    processes: int = 0  # 0: one a GPU, or one on a CPU
    threads: int = 1
    gpus: int = 0  # 0: the CPU
    precision: str = "auto"
    loader: str = "auto"
    accumulate: int = 1  # micro-batches of a process's shard of a batch
    compile: str = "auto"

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Resources":
        """Resources out of a mapping that may hold more."""
        return cls(**{each.name: values[each.name] for each in fields(cls)})


@dataclass(frozen=True)
class Nodes:
    """Nodes that train one run together, and this one's place among them."""

    nodes: int = 1
    node_rank: int = 0
    rendezvous: str = ""  # host:port of node 0


@dataclass(frozen=True)
class WorkerJob:
    """Training of a run, as each of its processes does it."""

    spec: specs.TrainSpec
    run: str  # name: the folder under results/runs
    inputs: Inputs
    outputs: Outputs
    work: Path  # folder of the checkpoint, outside every output
    resources: Resources


@dataclass(frozen=True)
class TrainJob(WorkerJob):
    """Training of a run, as its launcher gets it: `resources` are of this node."""

    log: Path | None = None
    nodes: Nodes = Nodes()


def words(job: WorkerJob, log: Path | None) -> list[str]:
    """Arguments of `ilsvrc.stages.train_worker` that say `job` again, without the number of processes."""
    values = {"log": log, "spec": specs.specification(job.spec), "run": job.run, "work": job.work}
    values |= asdict(job.inputs) | asdict(job.outputs) | asdict(job.resources)
    del values["processes"]
    arguments = {name.replace("_", "-"): str(value) for name, value in values.items() if value is not None}
    return [word for name, value in arguments.items() for word in (f"--{name}", value)]
