"""The cache of compiled kernels."""

import errno
import re
from pathlib import Path

from ilsvrc.loading import numba_cache


def test_the_hash_covers_every_file_with_kernels_and_those_that_they_import():
    kernels = [path for path in numba_cache.PACKAGE.rglob("*.py") if re.search(r"^ *@njit\(", path.read_text(), re.M)]
    imported = set()
    for path in kernels:
        for module, names in re.findall(r"^from ilsvrc\.(\S+) import (.+)$", path.read_text(), re.M):
            folder = numba_cache.PACKAGE / module.replace(".", "/")
            files = [folder / name for name in names.split(", ")] if folder.is_dir() else [folder]
            imported |= {file.with_suffix(".py") for file in files}
    found = {path.relative_to(numba_cache.PACKAGE).as_posix() for path in {*kernels, *imported}}
    assert len(kernels) >= 3
    assert found == set(numba_cache.SOURCES)


def test_only_the_first_call_of_a_kernel_takes_the_lock(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(numba_cache.CONFIG, "CACHE_DIR", str(tmp_path))
    held = []

    def kernel(number: int) -> int:
        held.append((tmp_path / "compile.lock").exists())
        return number

    assert numba_cache.run(kernel, 3) == 3
    assert held == [True]
    monkeypatch.setattr(numba_cache, "locks", None)
    assert numba_cache.run(kernel, 4) == 4


def test_processes_read_a_cached_kernel_side_by_side(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(numba_cache.CONFIG, "CACHE_DIR", str(tmp_path))
    numba_cache.run(lambda: 3)
    monkeypatch.setattr(numba_cache, "locks", None)
    assert numba_cache.run(lambda: 4) == 4  # of the same name: a process that has not called it


def test_a_file_system_without_locks_stops_no_training(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(numba_cache.CONFIG, "CACHE_DIR", str(tmp_path))

    def refuse(path: Path) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(numba_cache.locks, "wait_for_lock", refuse)
    assert numba_cache.run(lambda number: number, 3) == 3


def test_what_a_loss_of_power_left_empty_or_zeroed_in_the_cache_is_compiled_again(tmp_path: Path):
    folder = tmp_path / "loading_0"
    folder.mkdir()
    contents = {"empty.nbi": b"", "zeros.nbc": bytes(100), "whole.nbi": b"\x80\x04index", "of_kernel.cached": b""}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    assert numba_cache._without_lost_files(tmp_path) == tmp_path
    assert sorted(path.name for path in folder.iterdir()) == ["of_kernel.cached", "whole.nbi"]
