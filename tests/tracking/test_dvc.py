"""Recording with DVC, or saying why not."""

import argparse
import json
from pathlib import Path

import pytest

from ilsvrc.stages import record


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    return argparse.Namespace(skip="", output=Path("work/recorded.json"), spec="{}")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    made: list[tuple[str, ...]] = []
    monkeypatch.setattr(record, "dvc", lambda *words: made.append(words))
    return made


def test_a_reason_not_to_record_stands_in_the_marker(given, calls, capsys):
    given.skip = "the configuration came from the command line"
    record.main(given)
    assert calls == []
    assert json.loads(given.output.read_text()) == {"recorded": False, "reason": given.skip}
    assert given.skip in capsys.readouterr().err


def test_inside_a_stage_of_dvc_the_record_is_left_to_dvc(given, calls, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "report")
    record.main(given)
    assert calls == []
    assert "dvc exp run" in json.loads(given.output.read_text())["reason"]


def test_without_git_dvc_is_told_so_before_it_commits(given, calls):
    record.main(given)
    assert calls == [
        ("init", "--quiet", "--no-scm"),
        ("config", "--local", "core.no_scm", "true"),
        ("commit", "--force", "--no-relink"),
    ]
    assert json.loads(given.output.read_text())["recorded"]


def test_a_failure_of_dvc_is_told_in_its_own_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"`dvc commit --force` failed:\n.*not inside of a DVC repository"):
        record.dvc("commit", "--force")
