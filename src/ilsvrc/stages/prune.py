"""Lists the runs, predictions, packed forms and checkpoints that params.yaml no longer names; `--remove` removes them.

A run of the pipeline removes none of them: going back to earlier parameters finds what is there.
"""

import argparse

from ilsvrc.pipeline import prune
from ilsvrc.runtime import entry_point, messages


def main(args: argparse.Namespace) -> None:
    """Says a line for each leftover, and removes them where asked."""
    messages.say(prune.as_text(prune.prune(prune.PruneJob(args.params, args.remove))))


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    entry_point.add_params(parser)
    parser.add_argument("--remove", action="store_true", help="remove what is listed")
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
