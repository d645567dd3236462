"""The plan of params.yaml: what is done, what goes on, what failed, what is new."""

from pathlib import Path

import fake_results
import pytest

from ilsvrc.artifacts import run_files
from ilsvrc.config import params, runs
from ilsvrc.pipeline import plan

BOOK = """
dataset: digits
architectures: resnet18
recipe: quick
seeds: [0, 1, 2, 3]
protocols: [single_crop, ten_crop]
costs: false
"""
NAME = "digits/resnet18/quick/seed="


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> plan.Plan:
    """A run that is done and tested once, one with a checkpoint, one that failed, and one that is new."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(BOOK)
    done, resumes, failed, _ = runs.expand(params.load())
    fake_results.write_run(done)
    for protocol in ("ten_crop",):
        (Path("results/predictions") / done.name / f"{protocol}.npz").unlink(missing_ok=True)
    for run, name, text in ((resumes, "checkpoint.pt", ""), (failed, "failure.txt", "the loss is NaN\n")):
        folder = Path("work") / run_files.run_key(run.name)
        folder.mkdir(parents=True)
        (folder / name).write_text(text)
    log = Path("logs/train") / f"{resumes.name}.log"
    log.parent.mkdir(parents=True)
    log.write_text(f"{resumes.name}: epoch 1/9, loss 2\n{resumes.name}: epoch 2/9, learning rate 0.1, loss 1\n")
    return plan.plan(plan.PlanJob())


def test_each_run_has_its_state(found: plan.Plan) -> None:
    assert [(one.state, one.detail, one.tests_done, one.tests) for one in found.runs] == [
        ("done", "", 1, 2),
        ("resumes", "after epoch 2 of 9", 0, 2),
        ("failed", "the loss is NaN", 0, 2),
        ("new", "", 0, 2),
    ]


def test_the_text_has_a_line_a_run_and_the_sums(found: plan.Plan) -> None:
    assert plan.as_text(found).splitlines() == [
        f"{NAME}0  done      tests 1 of 2",
        f"{NAME}1  resumes   tests 0 of 2  after epoch 2 of 9",
        f"{NAME}2  failed    tests 0 of 2  the loss is NaN",
        f"{NAME}3  new       tests 0 of 2",
        "4 runs: 1 done, 1 resumes, 1 failed, 1 new; to be made: 7 predictions, 2 packed splits",
    ]


def test_pictures_that_are_not_there_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(BOOK.replace("digits", "folder\ndata: {path: nowhere.tar}"))
    with pytest.raises(ValueError, match=r"nowhere\.tar"):
        plan.plan(plan.PlanJob())
