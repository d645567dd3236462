"""Disk space, exclusive access to a folder, and progress bars in bytes."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ilsvrc.runtime import files, locks
from ilsvrc.runtime.messages import say

if TYPE_CHECKING:
    from ilsvrc.runtime.progress import Bar

CHUNK_BYTES = 1 << 20
LOCK = ".lock"
TEMPORARY_BYTES = 20_000_000


def byte_bar(title: str, total: int | None) -> "AbstractContextManager[Bar]":
    """A progress bar that counts bytes; a dry run, which imports this module, never loads what draws it."""
    from ilsvrc.runtime.progress import bar

    return bar(title, total, unit="B")


@contextmanager
def enough_disk(path: Path) -> Iterator[None]:
    """Turns the error of a full disk into one sentence that names `path`."""
    try:
        yield
    except OSError as error:
        if files.is_of_full_disk(error):
            raise OSError(error.errno, files.FULL, str(path)) from None
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


def warn_of_full_temporary_folder() -> None:
    """Says so where hardly any room is left for temporary files, without which libraries fail in their own words."""
    folder = Path(os.environ.get("TMPDIR") or tempfile.gettempdir())  # which passes over a full one
    if not folder.is_dir():
        return
    free = shutil.disk_usage(folder).free
    if free < TEMPORARY_BYTES:
        say(f"only {free / 1e6:.0f} MB are free for temporary files in {folder}: make room there, or set TMPDIR")


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Exclusive access to a folder: waits until no other process of this machine has it."""
    lock = None
    with suppress(OSError):  # a file system that has no locks
        lock = locks.wait_for_lock(
            folder / LOCK, lambda process: say(f"another process writes to {folder}: waiting for it")
        )
    try:
        yield
    finally:
        if lock is not None:
            lock.release()
