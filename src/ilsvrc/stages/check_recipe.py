"""Checks if params.yaml's recipes can start, in half a minute for each network, on a handful of training images.

Needs the packed files (`snakemake --cores all data`); writes nothing. Each network is built and started as its first
run would, but in float32 (which a CPU has too), in one small batch, without teacher and weights to start from, and
without random draws: augmentation, mixup, dropout. Exits with 1 where a recipe is to be changed.
"""

import argparse
import os
from pathlib import Path

from ilsvrc.config import params
from ilsvrc.pipeline import first_runs, wiring
from ilsvrc.runtime import entry_point, hardware, restart
from ilsvrc.training import launch


def main(args: argparse.Namespace) -> None:
    """Checks and prints each finding; fails where one does."""
    from ilsvrc.training.preflight import check_recipe  # here, because it imports torch, which takes seconds

    flow = wiring.Pipeline(params.load(args.params))
    job = check_recipe.CheckRecipeJob(
        packed=first_runs.packed_train(flow),
        runs=tuple(first_runs.first_runs(flow, args.architectures)),
        seconds=args.seconds,
        threads=args.threads,
        gpus=args.gpus,
        loader=args.loader,
    )
    found = []
    for finding in check_recipe.check_recipes(job):
        print(check_recipe.as_text(finding), flush=True)
        found.append(finding)
    check_recipe.require_fit(found)


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    parser.add_argument("architectures", nargs="*", help="those of params.yaml where none is named")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--seconds", type=float, default=30.0, help="for each architecture")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="on a CPU")
    parser.add_argument("--gpus", type=int, choices=(0, 1), default=min(1, hardware.num_gpus()))
    parser.add_argument("--loader", default="ffcv", help="ffcv or pillow")
    return parser


if __name__ == "__main__":
    restart.restart_with(launch.ENVIRONMENT)
    entry_point.run(main, arguments())
