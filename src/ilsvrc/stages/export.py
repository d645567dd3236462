"""Kept predictions as text: `python -m ilsvrc.stages.export resnet18 ten_crop`, also of an ensemble of params.yaml.

Writes ILSVRC's submission, `<protocol>.submission.txt`, and a CSV for people; evaluation/export.py describes both.
"""

import argparse
from pathlib import Path

from ilsvrc.evaluation.export import EXPORTS, ExportJob, as_text, export
from ilsvrc.runtime import entry_point, messages


def main(args: argparse.Namespace) -> None:
    """Writes the files and says where."""
    messages.say(as_text(export(ExportJob(args.name, args.protocol, args.to, args.params))).rstrip("\n"))


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("name", metavar="RUN", help="a run's name, a part of it that no other has, or an ensemble's")
    parser.add_argument("protocol", metavar="PROTOCOL", help="a protocol; those that are averaged: one+other")
    parser.add_argument("--to", type=Path, help=f"folder to write to ({EXPORTS}/<run>)")
    entry_point.add_params(parser)
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
