"""One process of several that share a test; `stages/predict.py` starts it."""

import argparse
import sys
import traceback
from pathlib import Path

from ilsvrc.evaluation import multiprocess, predict_split
from ilsvrc.runtime import entry_point, messages
from ilsvrc.stages import predict


def main(args: argparse.Namespace) -> None:
    """Fills this process's rows, or says why it cannot; the one that fails first speaks for all."""
    job = predict_split.PredictJob(**{key: value for key, value in vars(args).items() if key != "shares"})
    try:
        predict_split.predict_shard(job, args.shares, predict_split.worker_place(job.gpus))
    except Exception as error:
        messages.log(traceback.format_exc())
        multiprocess.fail(args.shares, error)
        sys.exit(1)


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments, and the folder where the processes meet."""
    parser = predict.arguments()
    parser.add_argument("--shares", type=Path, required=True, help="folder of the files that all processes map")
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
