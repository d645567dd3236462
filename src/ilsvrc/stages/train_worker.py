"""One process of a training; `stages/train.py` starts it."""

from ilsvrc.runtime import stop_signal

if __name__ == "__main__":
    stop_signal.end_at_once()  # before torch is imported, which takes seconds

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
