"""One process of a training: checkpoint or start, epochs, outputs, and which process says what went wrong."""

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.artifacts.weights_info import WeightsInfo
from ilsvrc.config import specs
from ilsvrc.runtime import distributed, messages, progress
from ilsvrc.runtime.distributed import World
from ilsvrc.runtime.stop_signal import StopSignal
from ilsvrc.training import build, checkpoint, data, loop, outputs, torch_compile
from ilsvrc.training.checkpoint import Identity
from ilsvrc.training.health_checks import StoppedError
from ilsvrc.training.inputs import TrainingInputs
from ilsvrc.training.job import WorkerJob
from ilsvrc.training.machine import Machine
from ilsvrc.training.reporter import Reporter, title
from ilsvrc.training.state import Progress
from ilsvrc.training.work_folder import FAILURE, RUN_ID, STOPPED

SECONDS_FOR_THE_CAUSE = 5.0  # a process whose peer died hears of it first, and the launcher ends it
OUT_OF_MEMORY = (
    "the GPU's memory is too small ({error}); give the run more GPUs by --set-resources train:gpu=<n>, or set a lower "
    "batch_size by training: {{batch_size: ...}} in params.yaml"
)


def work(job: WorkerJob) -> None:
    """Trains the rest of the run; the main process writes its files.

    Raises:
        ValueError: the run cannot be trained, in the process that says so.
        SystemExit: with 75 where a signal stopped the training, with 1 where another process says what went wrong.
    """
    stop = StopSignal()
    with distributed.process_group(job.resources.gpus) as world, first_failure_speaks(job.work, world, stop):
        train_run(job, world, stop)


def train_run(job: WorkerJob, world: World, stop: StopSignal) -> None:
    """Checkpoint or start, epochs, outputs."""
    spec, manifest = job.spec, Manifest.read(job.inputs.train_manifest)
    identity = identity_of(job, manifest)
    kept = found_checkpoint(job.work, identity, world)
    with ExitStack() as stack:
        precision = kept["machine"]["precision"] if kept else build.precision_of(spec, job.resources.precision, world)
        batches, validation = stack.enter_context(data.opened(job.inputs, job.resources, spec, manifest, world))
        torch.set_num_threads(job.resources.threads)  # ffcv's import sets it to one
        machine = machine_of(job, world, precision, kept)
        machine.compile = compiles(job, len(batches), world, kept)
        inputs = TrainingInputs.of(job, not_compiled(job.run, world, machine))
        training = build.prepare(spec, manifest, len(batches), world, precision, inputs)
        so_far = checkpoint.restore(kept, training) if kept else Progress()
        require_one_start(job.work, so_far, world)
        total = training.schedule.total_steps * spec.recipe.batch_size
        bar = stack.enter_context(progress.bar(title(job.run, spec), total, disable=not world.is_main))
        reporter = Reporter(job, manifest, training, identity, machine, bar, stop)
        reporter.start(so_far, len(batches))
        loop.train(training, batches, lambda: validation, so_far, reporter)
        build.recompute_statistics(spec.recipe, training, batches)
        if world.is_main:
            outputs.write(job, manifest, training, so_far, machine, batches.num_images)
            reporter.finish()


def identity_of(job: WorkerJob, manifest: Manifest) -> Identity:
    """Identity of a checkpoint: the specification, the images and the weights that the training depends on."""
    identity = {"spec": specs.specification(job.spec), "manifest_sha256": manifest.content_sha256}
    if manifest.label_sets_sha256:
        identity["label_sets_sha256"] = manifest.label_sets_sha256
    for role, weights in (("start", job.inputs.start), ("teacher", job.inputs.teacher)):
        if weights is not None:
            identity[role] = WeightsInfo.read(weights.with_name("weights.json")).weights_sha256
    return identity


def found_checkpoint(work: Path, identity: Identity, world: World) -> Any:
    """The run's checkpoint; without one that fits, MLflow's run of an earlier attempt is left to itself."""
    kept, why = checkpoint.load(work, identity)
    if world.is_main and why:
        messages.say(why)
        if kept is not None:  # else the next one would put it in the place of the one before, the only good one
            (work / checkpoint.NAME).unlink(missing_ok=True)
    if world.is_main and kept is None:
        (work / RUN_ID).unlink(missing_ok=True)
    return kept


def require_one_start(work: Path, so_far: Progress, world: World) -> None:
    """Refuses processes that do not stand at the same step: a node may see another folder.

    Raises:
        ValueError: names the folder.
    """
    starts = sorted(set(map(tuple, world.all_gather([len(so_far.history), so_far.step]))))
    if len(starts) > 1:
        listed = ", ".join(f"{epochs} epochs and {step} steps" for epochs, step in starts)
        raise ValueError(f"processes found checkpoints after {listed} in {work}; let all nodes see the same folder")


@contextmanager
def first_failure_speaks(work: Path, world: World, stop: StopSignal) -> Iterator[None]:
    """Lets one process say what went wrong; the log has what the others say."""
    try:
        yield
    except StoppedError as stopped:
        if world.is_main:
            with suppress(OSError):  # a full disk: the launcher says less
                (work / STOPPED).write_text(f"{stopped}")
        sys.exit(os.EX_TEMPFAIL)
    except Exception as error:
        if world.size > 1 and not isinstance(error, (ValueError, OSError)):
            messages.log(traceback.format_exc())
            stop.give_way()
            time.sleep(SECONDS_FOR_THE_CAUSE)
        if not claims_to_be_first(work, error):
            messages.log(traceback.format_exc())
            sys.exit(1)
        if message := world.hangs(error):
            raise ValueError(message) from error
        if isinstance(error, torch.OutOfMemoryError):
            raise ValueError(OUT_OF_MEMORY.format(error=str(error).split(". ")[0])) from error
        raise


def claims_to_be_first(work: Path, error: Exception) -> bool:
    """True if no other process of this training has failed before; the next one is not the first."""
    try:
        with (work / FAILURE).open("x") as file:
            file.write(f"{error}\n")
    except FileExistsError:
        return False
    except OSError:  # a full disk: nobody else can claim it either
        return True
    return True


def machine_of(job: WorkerJob, world: World, precision: str, kept: Any) -> Machine:
    """Choices of the machine, and how often the training was resumed."""
    resources = job.resources
    return Machine(
        processes=world.size,
        threads=resources.threads,
        precision=precision,
        loader=resources.loader,
        gpus=resources.gpus,
        accumulate=resources.accumulate,
        device=world.device.type,
        resumed=kept["machine"]["resumed"] + 1 if kept else 0,
    )


def compiles(job: WorkerJob, steps_an_epoch: int, world: World, kept: Any) -> str:
    """Compilation of the network, "on" or "off": as the training began, else as the machine's owner chose."""
    if kept:
        return str(kept["machine"].get("compile", "off"))  # once there was no such choice
    total = build.schedule_of(job.spec.recipe, steps_an_epoch).total_steps
    return torch_compile.choose(job.resources.compile, world.device, total)


def not_compiled(run: str, world: World, machine: Machine) -> Callable[[str], None] | None:
    """Listener for a failure to compile, which the run's record and the person are told; None: nothing is compiled."""

    def tell(why: str) -> None:
        machine.compile = "off"
        if world.is_main:
            messages.say(f"{run} is trained without torch.compile, which failed: {why}")

    return tell if machine.compile == "on" else None
