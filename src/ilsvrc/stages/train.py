"""Trains a run, and goes on where the last command stopped; with `--nodes`, one run over several machines."""

from ilsvrc.runtime import stop_signal

if __name__ == "__main__":
    stop_signal.end_at_once("stopped before the training began; the same command begins it\n")

import argparse
from pathlib import Path
from typing import Any

from ilsvrc.config import specs
from ilsvrc.runtime import entry_point
from ilsvrc.training import launch, nodes
from ilsvrc.training.job import Inputs, Nodes, Outputs, Resources, TrainJob


def main(args: argparse.Namespace) -> None:
    """Trains the run; exits with 75 where a signal stopped it."""
    launch.launch(train_job(args))


def train_job(args: argparse.Namespace) -> TrainJob:
    """The launcher's job."""
    return TrainJob(**job_fields(args), log=args.log, nodes=Nodes(args.nodes, args.node_rank, args.rendezvous))


def job_fields(args: argparse.Namespace) -> dict[str, Any]:
    """Fields of a job that launcher and workers share."""
    start, teacher = (next(iter(paths), None) for paths in (args.start, args.teacher))
    return {
        "spec": specs.parse_specification(specs.TrainSpec, args.spec),
        "run": args.run,
        "inputs": Inputs(args.train, args.train_manifest, args.val, args.val_manifest, start, teacher),
        "outputs": Outputs(args.weights, args.weights_info, args.history, args.run_info),
        "work": args.work,
        "resources": Resources.of(vars(args)),
    }


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments; the workers' too."""
    parser = entry_point.parser(__doc__)
    parser.add_argument("--spec", required=True, help="specs.TrainSpec as JSON")
    parser.add_argument("--run", required=True, help="name of the run: its folder under results/runs")
    for name in ("train", "train-manifest", "val", "val-manifest"):
        parser.add_argument(f"--{name}", type=Path, required=True, help="packed split, or its manifest")
    for name in ("start", "teacher"):
        parser.add_argument(f"--{name}", type=Path, nargs="*", default=[], help="weights of a run that it depends on")
    for name in ("weights", "weights-info", "history", "run-info"):
        parser.add_argument(f"--{name}", type=Path, required=True, help="file to write")
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoint, outside every output")
    parser.add_argument("--processes", type=int, default=0, help="of this node; 0: one a GPU, or one on a CPU")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads, over all processes")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs of this node, 0 for the CPU")
    parser.add_argument("--precision", default="auto", help="auto, float32, bfloat16 or float64")
    parser.add_argument("--loader", default="auto", help="auto, ffcv, pillow or synthetic")
    parser.add_argument("--accumulate", type=int, default=1, help="micro-batches of a process's shard of a batch")
    parser.add_argument("--compile", default="auto", help="auto, on or off")
    nodes.add_arguments(parser)
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
