"""Locks between processes of this machine, which the kernel releases however their process ends.

A lock's file keeps the id of the process that has it, for the message to those who wait.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import FileLock


def try_lock(path: Path) -> "FileLock | None":
    """The lock at `path`, held by this process until its `release()`; None if another process has it.

    Raises:
        OSError: the file system has no locks.
    """
    from filelock import Timeout

    lock = _lock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    path.write_text(str(os.getpid()))
    return lock


def wait_for_lock(path: Path, waits: Callable[[str], None] = lambda process: None) -> "FileLock":
    """The lock at `path`; where another process has it, `waits` is called once with the id of that process.

    Raises:
        OSError: the file system has no locks.
    """
    lock = try_lock(path)
    if lock is None:
        waits(holder(path))
        lock = _lock(path)
        lock.acquire()
        path.write_text(str(os.getpid()))
    return lock


@contextmanager
def locked(path: Path, waits: Callable[[str], None] = lambda process: None) -> Iterator[None]:
    """Holds the lock at `path`, as `wait_for_lock` gets it."""
    lock = wait_for_lock(path, waits)
    try:
        yield
    finally:
        lock.release()


def holder(path: Path) -> str:
    """The id of the process that has the lock at `path`, for a message."""
    return path.read_text() or "unknown"


def _lock(path: Path) -> "FileLock":
    from filelock import FileLock  # takes a moment, and a dry run, which imports this module, needs none

    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, thread_local=False, fallback_to_soft=False)  # any thread may release it
