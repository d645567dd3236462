"""Times ahead of the clock, as after it was set back."""

import os
from pathlib import Path

import pytest

from ilsvrc.pipeline import file_times

NOW = 1_700_000_000_000_000_000
SECOND, HOUR = 1_000_000_000, 3_600_000_000_000


def at(path: Path, offset_ns: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, ns=(NOW + offset_ns, NOW + offset_ns))
    return path


def offset(path: Path) -> int:
    return path.stat().st_mtime_ns - NOW


def test_files_ahead_of_the_clock_get_the_time_of_now_in_their_order(tmp_path):
    old = at(tmp_path / "data/source.json", -HOUR)
    packed, manifest = at(tmp_path / "data/a/train.beton", HOUR), at(tmp_path / "data/a/m.json", HOUR + 5)
    weights, twin = at(tmp_path / "runs/weights.json", 2 * HOUR), at(tmp_path / "runs/run.json", 2 * HOUR)

    found = file_times.ahead([tmp_path / "data", tmp_path / "runs", tmp_path / "absent"], NOW)
    assert set(found) == {packed, manifest, weights, twin}
    line = file_times.said(found, NOW)
    assert line.startswith("the clock was set back: 4 files have times ahead of it, ") and "by 2:00:00" in line

    file_times.settle(found, NOW)
    assert offset(old) == -HOUR
    assert -SECOND < offset(packed) < offset(manifest) < offset(weights) == offset(twin) <= 0
    assert not file_times.ahead([tmp_path], NOW)


def test_files_of_the_last_moment_stay_newer_than_those_that_are_settled_and_older(tmp_path):
    just_now, later = at(tmp_path / "just_now", -1000), at(tmp_path / "later", HOUR)
    file_times.settle(file_times.ahead([tmp_path], NOW), NOW)
    assert offset(just_now) < offset(later) <= 0


@pytest.mark.parametrize("offset_ns", [-HOUR, 0, SECOND // 2])
def test_times_of_now_are_left_alone(tmp_path, offset_ns: int):
    at(tmp_path / "file", offset_ns)
    assert file_times.ahead([tmp_path, tmp_path / "file"], NOW) == {}


def test_a_file_of_somebody_else_is_named_with_what_to_do(tmp_path, monkeypatch):
    path = at(tmp_path / "file", HOUR)

    def refuses(*arguments, **options):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "utime", refuses)
    with pytest.raises(ValueError, match=rf"{path} has a time ahead of the clock.*`touch {path}`"):
        file_times.settle(file_times.ahead([path], NOW), NOW)
