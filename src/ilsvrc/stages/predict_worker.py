"""One process of several that share a test; `stages/predict.py` starts it through torchrun."""

from ilsvrc.runtime import parent_death

if __name__ == "__main__":
    parent_death.die_with_parent()  # before torch is imported, which takes seconds

import argparse
import os
import sys
import traceback
from pathlib import Path

import numpy as np
import torch

from ilsvrc.evaluation import multiprocess
from ilsvrc.runtime import distributed, entry_point, messages
from ilsvrc.runtime.distributed import World
from ilsvrc.stages import predict


def main(given: argparse.Namespace) -> None:
    """Fills this process's rows, or says why it cannot; the one that fails first speaks for all."""
    try:
        share(given, place(given.gpus))
    except Exception as error:
        messages.log(traceback.format_exc())
        try:
            with (given.shares / multiprocess.FAILURE).open("x") as file:
                file.write(f"{error}")
        except FileExistsError:
            pass
        sys.exit(1)


def place(gpus: int) -> World:
    """This process among those that torchrun started."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    device, *_ = distributed.devices_of(rank, size, gpus)
    if gpus:
        torch.cuda.set_device(device)
    return World(rank, size, device)


def share(given: argparse.Namespace, world: World) -> None:
    """Probabilities of this process's images, and how often each image came."""
    rows = {path.stem: np.load(given.shares / f"{path.stem}.npy", mmap_mode="r+") for path in given.output}
    times_seen, how = predict.forward(given, rows, world)
    np.save(given.shares / f"times_seen.{world.rank}.npy", times_seen)
    if world.is_main:
        (given.shares / multiprocess.HOW).write_text(how)


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments, and where the processes meet."""
    parser = predict.arguments()
    parser.add_argument("--shares", type=Path, required=True, help="folder of the files that all processes map")
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
