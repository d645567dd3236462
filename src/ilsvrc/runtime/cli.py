"""What every entry point shares: its arguments, its log, and how it ends.

A user's mistake (ValueError, OSError) ends as one message; anything else with its traceback. Both stand in the log.
"""

import argparse
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, TextIO


class _Tee:
    """stderr that the log keeps too, less the strokes of progress bars."""

    def __init__(self, terminal: TextIO, log: IO[str]) -> None:
        self.terminal, self.log = terminal, log

    def write(self, text: str) -> int:
        self.terminal.write(text)
        if "\r" not in text and "\x1b" not in text:
            self.log.write(text)
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self.terminal, name)


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser with `--log`."""
    arguments = argparse.ArgumentParser(description=description)
    arguments.add_argument("--log", type=Path, help="file that keeps the messages")
    return arguments


def add_params(parser: argparse.ArgumentParser) -> None:
    """Adds `--params`, and `--book`, its name in earlier releases."""
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="configuration file (params.yaml)")
    parser.add_argument("--book", dest="params", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def say(message: str) -> None:
    """One line to the person who watches, and to the log."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def log(message: str) -> None:
    """One line to the log alone."""
    if isinstance(sys.stderr, _Tee):
        sys.stderr.log.write(f"{message}\n")


def run(main: Callable[[argparse.Namespace], None], arguments: argparse.ArgumentParser) -> None:
    """Parses, runs `main`, and exits with 1 and a message where it fails."""
    given = arguments.parse_args()
    if given.log:
        given.log.parent.mkdir(parents=True, exist_ok=True)
        sys.stderr = _Tee(sys.stderr, given.log.open("a", buffering=1, encoding="utf-8", errors="backslashreplace"))  # type: ignore[assignment]
    try:
        main(given)
    except (ValueError, OSError) as error:
        say(f"error: {error}")
        if given.log:
            traceback.print_exc(file=sys.stderr.log)  # type: ignore[attr-defined]
        sys.exit(1)
    except Exception:
        traceback.print_exc()
        sys.exit(1)
