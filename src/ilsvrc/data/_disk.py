"""Writing many bytes: how far it is, and one clear sentence where the disk is full."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ilsvrc.progress import Bar


def byte_bar(title: str, total: int | None) -> "AbstractContextManager[Bar]":
    """A progress bar that counts bytes; a dry run, which imports this module, never loads what draws it."""
    from ilsvrc.progress import bar

    return bar(title, total, unit="B")


@contextmanager
def enough_disk(path: Path) -> Iterator[None]:
    """Says in one sentence that the disk of `path` is full."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and "make room" not in str(error):
            raise OSError(error.errno, "the disk is full: make room and run again", str(path)) from None
        raise


def check_space(path: Path, needed: int) -> None:
    """Refuses to begin what cannot fit beside `path`.

    Raises:
        OSError: fewer than `needed` bytes are free.
    """
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        message = f"{needed / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB are free: make room and run again"
        raise OSError(errno.ENOSPC, message, str(path))
