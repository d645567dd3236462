"""The durable writer: whole files or none, and no leftovers."""

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

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


def test_a_process_looks_for_leftovers_of_a_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: looked.append(self) or glob(self, pattern))

    for number in range(5):
        files.write_text(tmp_path / f"{number}", "whole")

    assert looked == [tmp_path]


def test_what_a_former_process_of_the_same_number_left_is_in_nobodys_way(tmp_path: Path) -> None:
    left = tmp_path / f".shares.{os.getpid()}.part"
    left.mkdir()
    (left / "rows.npy").write_text("half")

    files.temporary_name(tmp_path / ".shares").mkdir()

    assert list(left.iterdir()) == []


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_settles_who_may_read_what_a_library_writes(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        with files.atomically(tmp_path / "weights.safetensors") as unfinished:
            safetensors.torch.save_file({"weight": torch.zeros(3)}, unfinished)
    finally:
        os.umask(before)

    assert (tmp_path / "weights.safetensors").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0: No space left on device"),
    ],
)
def test_a_full_disk_is_said_with_the_files_name(error: Exception, tmp_path: Path) -> None:
    path = tmp_path / "single_crop.npz"

    with pytest.raises(OSError, match=r"disk is full: make room and run again: .*single_crop.npz"):  # noqa: SIM117
        with files.atomically(path):
            raise error

    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_is_said_with_the_files_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handle: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files.os, "fsync", fail)

    with pytest.raises(OSError, match=r"Input/output error while this file was written; .*: '.*run\.json'"):
        files.write_text(tmp_path / "run.json", "{}")

    assert list(tmp_path.iterdir()) == []


def test_new_folders_last_through_a_loss_of_power_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(files, "sync", synced.append)

    files.write_text(tmp_path / "runs" / "new" / "run.json", "{}")

    assert {tmp_path, tmp_path / "runs", tmp_path / "runs" / "new"} <= set(synced)


@pytest.mark.parametrize(("inside", "moves"), [("results/runs/a/run.json", True), ("elsewhere/run.json", False)])
def test_only_a_damaged_file_of_data_or_results_is_set_aside(
    inside: str, moves: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(inside)
    path.parent.mkdir(parents=True)
    path.write_text("{half")

    with pytest.raises(
        files.DamagedError, match=r"run\.json is damaged .*; remove it and run snakemake again"
    ) as error:
        files.read_json(path)
    aside = files.set_aside(error.value.path)

    assert path.exists() is not moves
    assert aside == (Path("work/damaged/results_runs_a_run.json") if moves else None)
    assert aside is None or aside.read_text() == "{half"


def test_a_damaged_file_that_another_job_set_aside_is_no_second_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert files.set_aside(Path("results/runs/a/weights.safetensors")) is None


WRITES = re.compile(
    r"\.write_text\(|\.write_bytes\(|np\.save\(|save_file\(|\.open\(\"[wxa]|\.to_csv\(\w*path|\.savefig\("
)
WRITERS = re.compile(r"\bfiles\.write_text\(|\bunfinished\b|\(file, |\(text, ")  # the durable one; open files of it
OTHERWISE = {
    "runtime/files.py",  # the durable writer
    "runtime/http.py",  # parts of downloads, which files.move names
    "runtime/download.py",
    "packing/writer.py",  # writes to the durable writer's temporary name
    "runtime/locks.py",
    "runtime/unrecorded.py",
    "config/json_schema.py",  # a developer's command
    "runtime/worker_processes.py",  # the file where processes meet  # notes for people and for processes that run
    "evaluation/multiprocess.py",
    "evaluation/predict_split.py",
    "training/worker.py",
    "tracking/registry.py",  # what MLflow copies
}


def test_no_other_module_writes_files_in_a_way_of_its_own() -> None:
    source = Path(files.__file__).parents[1]
    found = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        for line in path.read_text().splitlines()
        if WRITES.search(line) and not WRITERS.search(line)
    }
    assert found <= OTHERWISE
