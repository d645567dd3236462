"""Predictions as text, in the order and form that ILSVRC asks for."""

import csv
from pathlib import Path

import fake_results
import numpy as np
import pytest

from ilsvrc.config import params, registry, runs
from ilsvrc.evaluation import prediction_file, predictions
from ilsvrc.evaluation.export import ExportJob, as_text, export

BOOK = """
dataset: digits
architectures: [resnet18]
recipe: quick
seeds: [0, 1]
protocols: [single_crop, ten_crop]
ensembles: {both: [resnet18], all: {members: [resnet18], together: true}}
"""
IMAGES = np.array(["c/val_3.png", "b/val_1.png", "a/val_2.png"])
CLASSES = ["a", "b", "c", "d", "e", "f"]
ROWS = [
    [0.01, 0.02, 0.5, 0.3, 0.1, 0.07],
    [0.4, 0.3, 0.05, 0.04, 0.2, 0.01],
    [0.125, 0.25, 0.125, 0.25, 0.125, 0.125],
]


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[runs.Run]:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(BOOK)
    named = runs.expand(params.load())
    for run in named:
        fake_results.write_run(run)
        found = predictions.keep(np.array(ROWS, np.float32), np.array([2, 1, 0]), IMAGES, {"classes": CLASSES})
        for protocol in ("single_crop", "ten_crop"):
            predictions.write_prediction(prediction_file.prediction_file(run.name, protocol), found)
    return named


def run_export(*words: str) -> tuple[list[str], list[dict[str, str]]]:
    """The lines of the submission and the rows for people."""
    export(ExportJob(words[0], words[1], to=Path("out")))
    with Path(f"out/{words[1]}.csv").open(newline="") as file:
        return Path(f"out/{words[1]}.submission.txt").read_text().splitlines(), list(csv.DictReader(file))


def test_a_submission_has_a_line_of_class_numbers_an_image_in_order_of_their_file_names(named: list) -> None:
    lines, rows = run_export("seed=0", "ten_crop")
    assert lines == ["1 2 5 3 4", "2 4 1 3 5", "3 4 5 6 2"]
    assert list(rows[0]) == ["image", "label", *(f"guess{i}" for i in range(1, 6)), *(f"p{i}" for i in range(1, 6))]
    assert [row["image"] for row in rows] == ["b/val_1.png", "a/val_2.png", "c/val_3.png"]
    assert list(rows[0].values())[1:] == ["b", "a", "b", "e", "c", "d", "0.4", "0.3", "0.2", "0.05", "0.04"]


def test_files_lie_beside_the_results_under_the_runs_name(named: list) -> None:
    exported = export(ExportJob(named[1].name, "ten_crop"))
    folder = Path("results/exports") / named[1].name
    assert sorted(path.name for path in folder.iterdir()) == ["ten_crop.csv", "ten_crop.submission.txt"]
    assert as_text(exported).splitlines()[0] == f"{folder}/ten_crop.submission.txt: 3 images"


def test_an_ensemble_is_exported_by_its_name(named: list) -> None:
    assert run_export("both", "ten_crop")[0] == run_export("ensemble/both", "ten_crop")[0]
    assert run_export("all", "single_crop+ten_crop")[0] == ["1 2 5 3 4", "2 4 1 3 5", "3 4 5 6 2"]


def test_classes_have_their_owners_numbers_where_they_gave_them_some(
    named: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = {name: 60 - 10 * i for i, name in enumerate(CLASSES)}
    digits = registry.load("datasets", "digits")
    monkeypatch.setattr(digits, "class_numbers", lambda options: numbers, raising=False)
    assert run_export("seed=0", "ten_crop")[0][0] == "60 50 20 40 30"
    del numbers["f"]
    with pytest.raises(ValueError, match="digits numbers no class f"):
        run_export("seed=0", "ten_crop")


def test_a_protocol_that_was_not_tested_is_an_error_that_lists_those_that_were(named: list) -> None:
    with pytest.raises(ValueError, match="no predictions by whole; there are: single_crop, ten_crop"):
        run_export("seed=0", "whole")
    with pytest.raises(ValueError, match=r"ensemble all has no predictions by ten_crop; there are: single_crop\+ten"):
        run_export("all", "ten_crop")


def test_an_ensemble_whose_members_are_not_all_predicted_names_what_is_missing(named: list) -> None:
    prediction_file.prediction_file(named[1].name, "ten_crop").unlink()
    with pytest.raises(ValueError, match=rf"ensemble both is not complete: .*{named[1].name}/ten_crop.npz missing"):
        run_export("both", "ten_crop")
