"""Locks between processes: one holder, a message to those who wait, and release at a process's death."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from ilsvrc.runtime import locks

HOLDER = """
import sys, time
from pathlib import Path
from ilsvrc.runtime import locks
lock = locks.try_lock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


def holder(path: Path, seconds: float) -> "subprocess.Popen[bytes]":
    """A process that has the lock at `path` for some seconds."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path), str(seconds)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_lock_has_one_holder_whose_process_it_names(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lock"

    lock = locks.try_lock(path)

    assert lock is not None
    assert locks.try_lock(path) is None
    assert locks.holder(path) == str(os.getpid())
    lock.release()
    with locks.locked(path):
        assert locks.try_lock(path) is None
    assert locks.try_lock(path) is not None


def test_one_who_waits_hears_once_who_has_it(tmp_path: Path) -> None:
    said: list[str] = []
    with holder(tmp_path / "lock", 0.5) as process:
        started = time.monotonic()
        with locks.locked(tmp_path / "lock", said.append):
            assert time.monotonic() - started > 0.2

    assert said == [str(process.pid)]
    assert locks.holder(tmp_path / "lock") == str(os.getpid())


def test_a_killed_process_releases_its_lock(tmp_path: Path) -> None:
    with holder(tmp_path / "lock", 60) as process:
        assert locks.try_lock(tmp_path / "lock") is None
        process.kill()

    assert locks.try_lock(tmp_path / "lock") is not None


def test_another_thread_may_release_a_lock(tmp_path: Path) -> None:
    lock = locks.try_lock(tmp_path / "lock")
    assert lock is not None

    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()

    assert locks.try_lock(tmp_path / "lock") is not None
