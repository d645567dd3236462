"""Classifies images by a trained network, or by an ensemble: `python -m ilsvrc.stages.classify alexnet flower.jpg`."""

import argparse
import json
import sys
from pathlib import Path

from ilsvrc.evaluation import classify
from ilsvrc.runtime import entry_point


def main(args: argparse.Namespace) -> None:
    """Prints the guesses for each image; broken ones are named at the end."""
    found = classify.classify(classify.ClassifyJob(args.run, args.pictures, args.protocol, args.params))
    as_json = json.dumps(classify.as_json(found), indent=2, ensure_ascii=False) + "\n"
    sys.stdout.write(as_json if args.json else classify.as_text(found))
    if found.broken:
        raise ValueError("\n".join(found.broken))


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    parser.add_argument("run", metavar="RUN", help="a run's folder, its name or a part of it; or an ensemble's name")
    parser.add_argument(
        "pictures", metavar="IMAGE", type=Path, nargs="+", help="a file in any format that Pillow reads"
    )
    parser.add_argument("--protocol", help="test protocol; of several that are averaged: one+other (single_crop)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    entry_point.add_params(parser)
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
