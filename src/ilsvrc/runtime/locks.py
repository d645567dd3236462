"""Locks between processes of this machine, which the kernel releases however their process ends.

A lock's file keeps the id of the process that has it, for the message to those who wait. On a file system without
locks the file `<path>.held` takes the kernel's place: the process that made it has the lock until it removes it. What a
process of this machine left at its death is passed over; what one of another machine left waits for a person.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ilsvrc.runtime.messages import say

if TYPE_CHECKING:
    from filelock import BaseFileLock

FOREVER = -1.0  # filelock's
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def try_lock(path: Path) -> "BaseFileLock | None":
    """The lock at `path`, held by this process until its `release()`; None if another process has it."""
    from filelock import Timeout

    try:
        return _acquired(path, blocking=False)
    except Timeout:
        return None


def wait_for_lock(
    path: Path, waits: Callable[[str], None] = lambda process: None, limit_s: float = FOREVER
) -> "BaseFileLock":
    """The lock at `path`; where another process has it, `waits` is called once with the id of that process.

    Raises:
        filelock.Timeout: that process still has it after `limit_s` seconds.
    """
    lock = try_lock(path)
    if lock is None:
        waits(holder(path))
        lock = _acquired(path, blocking=True, limit_s=limit_s)
    return lock


@contextmanager
def locked(path: Path, waits: Callable[[str], None] = lambda process: None, limit_s: float = FOREVER) -> Iterator[None]:
    """Holds the lock at `path`, as `wait_for_lock` gets it."""
    lock = wait_for_lock(path, waits, limit_s)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def one_maker(path: Path, what: str) -> Iterator[bool]:
    """Holds the lock at `path` for the making of `what`; True where another process made something meanwhile.

    Clones that share a folder of data wait here for each other, and then need not make the same once more.
    """
    waited = []

    def waits(process: str) -> None:
        say(f"process {process} makes {what}: waiting for it")
        waited.append(process)

    with locked(path, waits):
        yield bool(waited)


def holder(path: Path) -> str:
    """The id of the process that has the lock at `path`, for a message."""
    with suppress(OSError):
        return path.read_text() or "unknown"
    return "unknown"


def _acquired(path: Path, blocking: bool, limit_s: float = FOREVER) -> "BaseFileLock":
    """The lock at `path`, once this process has it; any thread may release it.

    Raises:
        filelock.Timeout: another process has it, and the call does not block, or not longer.
    """
    from filelock import FileLock, SoftFileLock  # take a moment, and a dry run, which imports this module, needs none

    path.parent.mkdir(parents=True, exist_ok=True)
    lock: BaseFileLock = FileLock(path, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(limit_s, blocking=blocking)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        _say_once(path.parent, os.strerror(error.errno))
        lock = SoftFileLock(f"{path}.held", thread_local=False)
        lock.acquire(limit_s, blocking=blocking)
    with suppress(OSError):  # a full disk: nobody learns who has it
        path.write_text(str(os.getpid()))
    return lock


@cache
def _say_once(folder: Path, why: str) -> None:
    say(
        f"the file system of {folder} has no locks ({why}): files called *.held take their place; where a machine that "
        "died left one, remove it"
    )
