"""Recording with DVC, or saying why not."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ilsvrc.tracking import dvc


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dvc.RecordJob:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    return dvc.RecordJob(skip="", folders=(Path("results/costs"),))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    made: list[tuple[str, ...]] = []
    monkeypatch.setattr(dvc, "run_dvc", lambda *words: made.append(words))
    return made


def test_a_reason_not_to_record_stands_in_the_marker(job, calls):
    reason = "the configuration came from the command line"
    assert dvc.record(replace(job, skip=reason)) == reason
    assert calls == []
    assert json.loads(job.output.read_text()) == {"recorded": False, "reason": reason}


def test_inside_a_stage_of_dvc_the_record_is_left_to_dvc(job, calls, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "report")
    assert "dvc exp run" in dvc.record(job)
    assert calls == []
    assert "dvc exp run" in json.loads(job.output.read_text())["reason"]


def test_without_git_dvc_is_told_so_before_it_commits(job, calls):
    assert dvc.record(job) == ""
    assert calls == [
        ("init", "--quiet", "--no-scm"),
        ("config", "--local", "core.no_scm", "true"),
        ("commit", "--force", "--no-relink"),
    ]
    assert json.loads(job.output.read_text())["recorded"]
    assert Path("results/costs").is_dir()


def test_a_failure_of_dvc_is_told_in_its_own_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"`dvc commit --force` failed:\n.*not inside of a DVC repository"):
        dvc.run_dvc("commit", "--force")
