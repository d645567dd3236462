"""Entry points of stages: their arguments, their log, and their exit status.

A user's mistake (ValueError, OSError) ends as one message and exit status 1; anything else with its traceback. The log
file keeps the traceback of both. Wrong arguments end with exit status 2.
"""

import argparse
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from ilsvrc.runtime import files, messages


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser with `--log`."""
    arguments = argparse.ArgumentParser(description=description)
    arguments.add_argument("--log", type=Path, help="file that keeps the messages")
    return arguments


def run(main: Callable[[argparse.Namespace], None], arguments: argparse.ArgumentParser) -> None:
    """Parses the arguments, runs `main`, and exits with 1 and a message where it fails."""
    args = arguments.parse_args()
    if args.log:
        messages.keep_in(args.log)
    try:
        main(args)
    except files.DamagedError as error:
        aside = files.set_aside(error.path)
        what = f"{error.path} {error.why}; it is set aside as {aside}: the same command makes it again"
        messages.say(f"error: {what if aside else error}")
        messages.log(traceback.format_exc().rstrip())
        sys.exit(1)
    except (ValueError, OSError) as error:
        messages.say(f"error: {error}")
        messages.log(traceback.format_exc().rstrip())
        sys.exit(1)
    except Exception:
        messages.say(traceback.format_exc().rstrip())
        sys.exit(1)
