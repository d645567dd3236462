"""Checks after `dvc pull` that each file is the one that params.yaml asks for; the others are removed and made again.

Times do not travel with git or DVC, so that a clone cannot tell old from new by them. Contents can: every small file
repeats the specification it was made from and the hash of the large one beside it.
"""

import argparse

from ilsvrc.pipeline import verify
from ilsvrc.runtime import entry_point, messages


def main(args: argparse.Namespace) -> None:
    """Removes the files that are not as they should be, and says a line for each."""
    messages.say(verify.as_text(verify.verify(verify.VerifyJob(args.params))))


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    entry_point.add_params(parser)
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
