"""A disk that gets full while a training runs: the training goes on, and says so once."""

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny

from ilsvrc.runtime import files
from ilsvrc.training import checkpoint, worker
from ilsvrc.training.machine import Machine
from ilsvrc.training.reporter import Reporter
from ilsvrc.training.state import Progress

IDENTITY = {"spec": "{}", "manifest_sha256": "ab"}


def no_room(*_: object) -> None:
    """A write to a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def reporter(tmp_path: Path) -> Reporter:
    """The part of a reporter that saves."""
    made = Reporter.__new__(Reporter)
    made.training, made.identity, made.is_saving = tiny.training(), IDENTITY, True
    made.job = SimpleNamespace(work=tmp_path, run="digits/tiny")  # type: ignore[assignment]
    made.machine = Machine(
        processes=1, threads=1, precision="float32", loader="ffcv", gpus=0, accumulate=1, device="cpu", resumed=0
    )
    return made


@pytest.mark.parametrize("file", [checkpoint.NAME, "machine.json"])
def test_a_checkpoint_that_finds_no_room_is_said_once_and_training_goes_on(
    file: str, reporter: Reporter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    move = files.move
    monkeypatch.setattr(files, "move", lambda part, path: no_room() if path.name == file else move(part, path))

    for step in (1, 2):
        reporter.save(Progress(step=step))

    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "the disk is full: make room and run again" in said[0]
    assert "training goes on" in said[0]


def test_torchs_words_for_a_full_disk_are_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode: opened(Path("/dev/full"), mode))

    with pytest.raises(OSError, match=r"no checkpoint could be written to .*: .* the disk is full: make room"):
        checkpoint.save(tmp_path, tiny.training(), Progress(), identity=IDENTITY)


def test_once_there_is_room_again_checkpoints_are_saved_again(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(files, "move", no_room)
        reporter.save(Progress(step=1))

    reporter.save(Progress(step=2))

    content, why = checkpoint.load(reporter.job.work, IDENTITY)
    assert content is not None
    assert (content["progress"]["step"], why) == (2, "")


def test_a_worker_that_cannot_write_its_error_down_says_it_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "open", no_room)
    assert worker.claims_to_be_first(tmp_path, ValueError("the loss is NaN"))
