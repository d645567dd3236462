"""The durable writer: whole files or none, and no leftovers."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ilsvrc.runtime import files

KILLED = """
import os, signal, sys
from pathlib import Path
from ilsvrc.runtime import files
with files.atomically(Path(sys.argv[1])) as unfinished:
    unfinished.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_a_writer(path: Path) -> None:
    """A process that dies while it writes `path`."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=60)
    assert done.returncode == -signal.SIGKILL


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.json"

    with files.atomically(path) as unfinished:
        unfinished.write_text("whole")
        assert not path.exists()
        assert unfinished.parent == path.parent

    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_the_file_that_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")

    with pytest.raises(OSError, match="full"), files.atomically(path) as unfinished:
        unfinished.write_text("half")
        raise OSError("full")

    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_bytes_are_on_the_disk_before_the_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, done = tmp_path / "file", []
    monkeypatch.setattr(files.os, "fsync", lambda handle: done.append((path.exists(), os.fstat(handle).st_size > 0)))

    files.write_text(path, "x" * 10)

    assert len(done) == 2
    assert done[0] == (False, True)
    assert done[1][0]


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / f"file.{os.getppid()}.part"
    other.write_text("of a process that runs")
    kill_a_writer(path)
    left = next(each for each in tmp_path.iterdir() if each != other)
    assert files.is_leftover(left)
    assert not files.is_leftover(other)

    files.write_text(path, "whole")

    assert sorted(tmp_path.iterdir()) == [path, other]


@pytest.mark.parametrize("name", ["file.part", "file.1.tmp", "file", "99999.part"])
def test_other_names_are_no_leftovers(name: str, tmp_path: Path) -> None:
    assert not files.is_leftover(tmp_path / name)
