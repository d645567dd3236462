"""Entry points: exit status, one message for a person's mistake, and a log file without progress bars."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import logging, sys, warnings
from ilsvrc.runtime import entry_point, messages, progress

apart = logging.getLogger("apart")
apart.addHandler(logging.StreamHandler())
apart.propagate = False

def main(given):
    messages.say("to both: café")
    messages.log("to the log alone")
    sys.stderr.write("\\r 50 % of a bar")
    sys.stderr.flush()
    {end}

entry_point.run(main, entry_point.parser("A stage."))
"""


def stage(end: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """A stage that ends with the statement `end`."""
    command = [sys.executable, "-c", SCRIPT.format(end=end), *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60)


def test_messages_go_to_the_terminal_and_the_log_and_bars_to_the_terminal_alone(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "stage.log"
    log.parent.mkdir()
    log.write_text("before\n")

    done = stage("pass", "--log", str(log))

    assert done.returncode == 0
    assert done.stderr == "to both: café\n\n 50 % of a bar"  # "\r" is read as a new line
    assert log.read_text(encoding="utf-8") == "before\nto both: café\nto the log alone\n"


@pytest.mark.parametrize("error", ["ValueError('no such run')", "FileNotFoundError(2, 'no such run')"])
def test_a_persons_mistake_is_one_message_with_status_1(error: str, tmp_path: Path) -> None:
    done = stage(f"raise {error}", "--log", str(tmp_path / "log"))

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "no such run" in done.stderr.splitlines()[-1]
    assert "Traceback" in (tmp_path / "log").read_text()


def test_a_damaged_file_is_set_aside_so_that_the_same_command_makes_it_again(tmp_path: Path) -> None:
    damaged = tmp_path / "results" / "scores.json"
    damaged.parent.mkdir()
    damaged.write_text("half")
    end = "import os; from pathlib import Path; from ilsvrc.runtime import files; "
    end += f"os.chdir({str(tmp_path)!r}); files.read_json(Path('results/scores.json'))"

    done = stage(end)

    assert done.returncode == 1
    said = "it is set aside as work/damaged/results_scores.json: the same command makes it again"
    assert said in done.stderr.splitlines()[-1]
    assert not damaged.exists()
    assert (tmp_path / "work/damaged/results_scores.json").read_text() == "half"


def test_our_own_mistake_shows_its_traceback_with_status_1(tmp_path: Path) -> None:
    done = stage("assert not 'ours'", "--log", str(tmp_path / "log"))

    assert done.returncode == 1
    for text in (done.stderr, (tmp_path / "log").read_text()):
        assert text.endswith("AssertionError\n")
        assert "Traceback" in text


def test_a_wrong_argument_has_status_2() -> None:
    assert stage("pass", "--unknown").returncode == 2


def test_another_exit_status_is_kept() -> None:
    assert stage("sys.exit(75)").returncode == 75


def test_the_log_keeps_warnings(tmp_path: Path) -> None:
    stage("warnings.warn('once')", "--log", str(tmp_path / "log"))

    assert "UserWarning: once" in (tmp_path / "log").read_text()


def test_the_terminal_and_the_log_get_warnings_of_libraries(tmp_path: Path) -> None:
    done = stage("logging.getLogger('library').warning('of a library')", "--log", str(tmp_path / "log"))

    assert done.stderr.count("of a library\n") == 1
    assert (tmp_path / "log").read_text().endswith("of a library\n")


def test_the_log_gets_warnings_of_libraries_that_write_to_the_terminal_themselves(tmp_path: Path) -> None:
    done = stage("apart.warning('of a library')", "--log", str(tmp_path / "log"))

    assert done.stderr.count("of a library\n") == 1
    assert (tmp_path / "log").read_text().endswith("of a library\n")


def test_a_message_needs_no_entry_point(capsys: pytest.CaptureFixture[str]) -> None:
    from ilsvrc.runtime import messages

    messages.say("plain")
    messages.log("not kept")

    assert capsys.readouterr().err == "plain\n"
