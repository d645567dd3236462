"""Acquires a data set: downloads what is missing and writes the index of its images."""

import argparse
from pathlib import Path

from ilsvrc.config.specs import SourceSpec, parse_specification
from ilsvrc.datasets._acquire import AcquireJob, acquire
from ilsvrc.runtime.entry_point import parser, run
from ilsvrc.runtime.messages import say


def main(args: argparse.Namespace) -> None:
    """Writes `--source` and `--index`, and the archives that the card names beside them."""
    say(acquire(AcquireJob(parse_specification(SourceSpec, args.spec), args.source, args.index)))


def arguments() -> argparse.ArgumentParser:
    """The stage's options."""
    options = parser(__doc__)
    options.add_argument("--spec", required=True, help="specs.SourceSpec as JSON")
    options.add_argument("--source", required=True, type=Path, help="source.json, in the data set's raw folder")
    options.add_argument("--index", required=True, type=Path, help="index.csv")
    return options


if __name__ == "__main__":
    run(main, arguments())
