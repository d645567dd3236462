"""Records data, models and metrics with DVC: the last rule of the pipeline."""

import argparse
from pathlib import Path

from ilsvrc.artifacts import run_files
from ilsvrc.runtime import entry_point, messages
from ilsvrc.tracking import dvc


def main(args: argparse.Namespace) -> None:
    """Commits to DVC unless someone else does or should, and leaves the marker."""
    reason = dvc.record(dvc.RecordJob(args.skip, (run_files.COSTS, run_files.INSPECTED), args.output))
    messages.say(f"not recorded by DVC: {reason}" if reason else "recorded by DVC in dvc.lock")


if __name__ == "__main__":
    parser = entry_point.parser(__doc__)
    parser.add_argument("--spec", required=True, help="the whole configuration, on which the record depends")
    parser.add_argument("--skip", default="", help="reason for no record")
    parser.add_argument("--output", type=Path, required=True, help="marker to write")
    entry_point.run(main, parser)
