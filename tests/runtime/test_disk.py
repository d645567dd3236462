"""Disk space: what is said where there is little."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from ilsvrc.runtime import disk


class Usage(NamedTuple):
    free: int


@pytest.mark.parametrize(("free", "said"), [(0, True), (19_000_000, True), (30_000_000, False)])
def test_a_full_folder_of_temporary_files_is_named(
    free: int, said: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(free))

    disk.warn_of_full_temporary_folder()

    expected = f"only {free / 1e6:.0f} MB are free for temporary files in {tmp_path}: make room there, or set TMPDIR"
    assert capsys.readouterr().err.splitlines() == ([expected] if said else [])
