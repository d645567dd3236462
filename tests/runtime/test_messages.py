"""Messages: a log that cannot be written stops no work."""

import errno
import logging
import sys
from pathlib import Path

import pytest

from ilsvrc.runtime import messages


class Full:
    """A file on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    flush = close = write


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handlers that a test adds are taken back."""
    monkeypatch.setattr(messages.LOGGER, "handlers", list(messages.LOGGER.handlers))
    monkeypatch.setattr(logging.root, "handlers", list(logging.root.handlers))


def test_a_full_disk_under_the_log_stops_nothing_and_the_terminal_hears_the_message_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    messages.keep_in(tmp_path / "logs" / "stage.log")
    monkeypatch.setattr(logging.FileHandler, "_open", lambda self: Full())

    messages.say("training goes on")
    messages.log("a line for the log")

    assert capsys.readouterr().err == "training goes on\n"


def test_a_log_that_cannot_be_opened_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "logs").write_text("no folder")
    messages.keep_in(tmp_path / "logs" / "stage.log")

    messages.say("training goes on")

    assert capsys.readouterr().err == "training goes on\n"


def test_a_terminal_that_is_gone_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Full())
    messages.say("training goes on")
