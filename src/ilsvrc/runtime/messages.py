"""Messages to the person who watches, and to a log file: the standard `logging` with two handlers."""

import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

LOGGER = logging.getLogger("ilsvrc")


class _NeverRaises(logging.Handler):
    """A handler that loses a message rather than stop the work that it tells of, as where the disk is full."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Emits a record if it can."""
        with suppress(OSError):
            return bool(super().handle(record))
        return False


class _Log(_NeverRaises, logging.FileHandler):
    """A log file, opened at its first message."""


class _Terminal(_NeverRaises, logging.StreamHandler[TextIO]):
    """Standard error as it is when a message comes, not as it was when the handler was made."""

    def __init__(self, level: int = logging.INFO) -> None:
        logging.Handler.__init__(self, level)

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
    """Keeps messages, Python's warnings and those of libraries in the file at `path`; several processes may share it.

    Libraries that are imported later, and pass nothing on to the root logger, are not among them.
    """
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
    LOGGER.addHandler(_file(path, logging.DEBUG))
    logging.captureWarnings(True)
    warnings = _file(path, logging.WARNING)
    logging.root.addHandler(_Terminal(logging.WARNING))  # in the place of logging's last resort
    for logger in (logging.root, *_apart()):
        logger.addHandler(warnings)


def _file(path: Path, level: int) -> logging.Handler:
    handler = _Log(path, mode="a", encoding="utf-8", errors="backslashreplace", delay=True)
    handler.setLevel(level)
    return handler


def _apart() -> list[logging.Logger]:
    """Libraries' loggers that write to the terminal themselves and pass nothing on to the root logger."""
    loggers = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    return [each for each in loggers if not each.propagate and each is not LOGGER]


logging.raiseExceptions = False  # of libraries' handlers too: a message that cannot be written is lost in silence
LOGGER.setLevel(logging.DEBUG)
LOGGER.propagate = False
LOGGER.addHandler(_Terminal())
