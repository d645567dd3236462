"""Launch of a training: its resources, at first and when it is resumed, and its exit status in words."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import small_training

from ilsvrc.config import runs, specs
from ilsvrc.runtime import files
from ilsvrc.stages import train
from ilsvrc.training import launch, work_folder
from ilsvrc.training.job import TrainJob


@pytest.fixture
def run() -> runs.Run:
    return small_training.run()


def job(run: runs.Run, at: Path, **changes: object) -> TrainJob:
    words = small_training.command(run, at, work=at / "work", **changes)[3:]
    return train.train_job(train.arguments().parse_args(words))


def test_a_name_of_another_specification_is_refused(run, tmp_path):
    other = small_training.run(seed=7)
    with pytest.raises(ValueError, match=f"does not end with its specification's key, {specs.key8(other.spec)}"):
        launch.check(job(run, tmp_path, spec=specs.specification(other.spec)))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"processes": 0, "threads": 4}, (1, 4)),
        ({"processes": 2, "threads": 5}, (2, 2)),
        ({"processes": 4, "threads": 2}, (4, 1)),
        ({"gpus": 2, "threads": 8}, (2, 4)),
    ],
)
def test_processes_share_the_threads(asked, expected, run, tmp_path):
    found = launch.resources_of(job(run, tmp_path, **asked))
    assert (found.processes, found.threads) == expected


def test_a_resume_keeps_what_the_machine_chose(run, tmp_path):
    kept = {"processes": 2, "threads": 1, "gpus": 0, "precision": "auto", "loader": "pillow", "accumulate": 1}
    kept["compile"] = "on"
    files.write_text(tmp_path / "work" / work_folder.MACHINE, json.dumps(kept))
    again = job(run, tmp_path, threads=8, precision="bfloat16", loader="ffcv")
    assert asdict(launch.resources_of(again)) == kept | {"loader": "ffcv"}  # which gives the same pixels


def test_a_resume_on_other_processes_is_said(run, tmp_path, capsys):
    kept = {"processes": 2, "threads": 1, "gpus": 0, "precision": "auto", "loader": "pillow", "accumulate": 1}
    files.write_text(tmp_path / "work" / work_folder.MACHINE, json.dumps(kept))
    assert launch.resources_of(job(run, tmp_path, processes=1, threads=2)).processes == 1
    said = capsys.readouterr().err
    assert "began with processes = 2, gpus = 0, accumulate = 1 and goes on with processes = 1, gpus = 0" in said


def test_a_training_from_before_there_was_a_choice_is_not_compiled(run, tmp_path):
    kept = {"processes": 1, "threads": 1, "gpus": 0, "precision": "float32", "loader": "pillow", "accumulate": 1}
    files.write_text(tmp_path / "work" / work_folder.MACHINE, json.dumps(kept))
    assert launch.resources_of(job(run, tmp_path, compile="on")).compile == "off"
    assert launch.resources_of(job(run, tmp_path, compile="on", accumulate=2)).compile == "off"


def test_a_resume_in_more_parts_is_what_a_person_wants_whose_memory_was_full(run, tmp_path):
    kept = {"processes": 2, "threads": 1, "gpus": 0, "precision": "bfloat16", "loader": "pillow", "accumulate": 1}
    files.write_text(tmp_path / "work" / work_folder.MACHINE, json.dumps(kept))
    found = launch.resources_of(job(run, tmp_path, processes=2, accumulate=4))
    assert (found.accumulate, found.precision) == (4, "bfloat16")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (1, "a worker ended with status 1"),
        (134, "ended by SIGABRT (a GPU that no longer answers?)"),
        (137, "ended by SIGKILL (no memory left?)"),
        (143, "ended by SIGTERM"),
    ],
)
def test_a_status_is_put_in_words(status, words):
    assert launch.reason(status).startswith(words)


@pytest.mark.parametrize("content", ["", "\0" * 50, "[]", "{}"])
def test_a_damaged_file_of_the_machines_choices_needs_no_person(content, run, tmp_path, capsys):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / work_folder.MACHINE).write_text(content)
    found = launch.resources_of(job(run, tmp_path, processes=1, threads=2))
    assert (found.processes, found.threads) == (1, 2)
    assert "machine.json was damaged" in capsys.readouterr().err
    assert not (tmp_path / "work" / work_folder.MACHINE).exists()
