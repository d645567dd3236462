"""One process of a training; `stages/train.py` starts it through torchrun."""

from ilsvrc.runtime import parent_death

if __name__ == "__main__":
    parent_death.die_with_parent()  # before torch is imported, which takes seconds

import argparse

from ilsvrc.runtime import entry_point
from ilsvrc.stages import train
from ilsvrc.training import worker
from ilsvrc.training.job import WorkerJob


def main(args: argparse.Namespace) -> None:
    """Trains the rest of the run; the main process writes its files."""
    worker.work(WorkerJob(**train.job_fields(args)))


if __name__ == "__main__":
    entry_point.run(main, train.arguments())
