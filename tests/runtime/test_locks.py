"""Locks between processes: one holder, a message to those who wait, and release at a process's death."""

import errno
import fcntl
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

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


@pytest.fixture(params=[errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def without_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that has no locks."""

    def refuse(handle: int, how: int) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)
    locks._say_once.cache_clear()


@pytest.mark.usefixtures("without_locks")
def test_without_locks_a_file_keeps_others_out_and_a_line_says_what_that_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lock"

    with locks.locked(path):
        assert (tmp_path / "lock.held").exists()
        assert locks.try_lock(path) is None
        assert locks.holder(path) == str(os.getpid())
    lock = locks.try_lock(path)

    assert lock is not None
    lock.release()
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"the file system of {tmp_path} has no locks (")


@pytest.mark.usefixtures("without_locks")
def test_without_locks_what_a_dead_process_of_this_machine_left_keeps_nobody_out(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "lock.held").write_text(f"{dead.pid}\n{socket.gethostname()}\n")

    lock = locks.try_lock(tmp_path / "lock")

    assert lock is not None
    lock.release()


def test_a_full_disk_stops_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", refuse)
    with locks.locked(tmp_path / "lock"):
        assert locks.try_lock(tmp_path / "lock") is None
