"""Messages to the person who watches, and to a log file: the standard `logging` with two handlers."""

import logging
import sys
from pathlib import Path
from typing import TextIO

LOGGER = logging.getLogger("ilsvrc")


class _Terminal(logging.StreamHandler[TextIO]):
    """Standard error as it is when a message comes, not as it was when the handler was made."""

    def __init__(self) -> None:
        logging.Handler.__init__(self, logging.INFO)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """Standard error."""
        return sys.stderr


def say(message: str) -> None:
    """One message to the person who watches, and to the log file."""
    LOGGER.info("%s", message)


def log(message: str) -> None:
    """One message to the log file alone."""
    LOGGER.debug("%s", message)


def keep_in(path: Path) -> None:
    """From now on the file at `path` keeps the messages, and Python's warnings; several processes may share it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="a", encoding="utf-8", errors="backslashreplace")
    LOGGER.addHandler(handler)
    logging.captureWarnings(True)
    for each in (handler, _Terminal()):
        logging.getLogger("py.warnings").addHandler(each)


LOGGER.setLevel(logging.DEBUG)
LOGGER.propagate = False
LOGGER.addHandler(_Terminal())
