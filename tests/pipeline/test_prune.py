"""What params.yaml no longer names, on a folder with two runs."""

import os
from pathlib import Path

import fake_results
import pytest

from ilsvrc.artifacts import run_files
from ilsvrc.config import packed_formats, params, runs, specs
from ilsvrc.evaluation import prediction_file, predictions
from ilsvrc.pipeline import prune, wiring

BOOK = """
dataset: digits
architectures: [resnet18]
recipe: quick
protocols: [ten_crop]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(BOOK)
    named = runs.expand(params.load())[0]
    fake_results.write_run(named)
    fake_results.write_run(fake_results.run("alexnet"))
    form = packed_formats.form_name(named.spec.form)
    for path in (f"data/packed/digits/{form}", "data/packed/digits/original,jpeg-0a1b2c3d", "work/rows"):
        Path(path).mkdir(parents=True)
        (Path(path) / "file").write_bytes(b"0" * 1500)
    for key in (specs.key8(named.spec), "0a1b2c3d"):
        (Path("work") / key).mkdir()
    return tmp_path


def test_costs_that_are_no_longer_asked_for_are_left_over() -> None:
    (asked,) = wiring.Pipeline(params.load()).costs.forms
    other = Path(asked).with_name("alexnet,80px-0a1b2c3d.json")
    other.parent.mkdir(parents=True)
    for path in (asked, other):
        Path(path).write_text("{}")
    run_prune(remove=True)
    assert (Path(asked).exists(), other.exists()) == (True, False)


def test_what_looked_into_networks_that_are_no_longer_named_is_left_over() -> None:
    (named,) = wiring.Pipeline(params.load()).inspected
    other = fake_results.run("alexnet").name
    for run in (named, other):
        (run_files.INSPECTED / run / "pictures").mkdir(parents=True)
    run_prune(remove=True)
    assert ((run_files.INSPECTED / named).exists(), (run_files.INSPECTED / other).exists()) == (True, False)


def test_damaged_files_that_were_set_aside_are_left_over() -> None:
    aside = Path("work/damaged/results_scores.csv")
    aside.parent.mkdir()
    aside.write_text("half")
    run_prune(remove=True)
    assert not aside.exists()


def test_unfinished_files_of_killed_processes_are_left_over_once_nobody_writes_to_them() -> None:
    killed, running = 2**22 + 1, os.getpid()
    shares = Path(f"results/.shares.{killed}.part")
    left = [Path(f"results/scores.csv.{killed}.part"), Path("work/checkpoint.pt.part"), shares]
    stays = [Path(f"results/scores.csv.{running}.part"), Path(f"results/metrics.json.{killed}.part")]
    shares.mkdir()
    for path in (*left[:2], shares / "rows.npy", *stays):
        path.write_text("half")
    for path in (*left, shares / "rows.npy", stays[0]):  # metrics.json: by a process of another machine, perhaps
        os.utime(path, (0, 0))

    assert {line[11:] for line in run_prune()} >= {*map(str, left)}
    run_prune(remove=True)

    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in stays)


def run_prune(remove: bool = False) -> list[str]:
    """Runs it; the lines of its text."""
    return prune.as_text(prune.prune(prune.PruneJob(remove=remove))).splitlines()


def expected() -> list[Path]:
    named, other = runs.expand(params.load())[0].name, fake_results.run("alexnet").name
    return [
        run_files.RUNS / other,
        prediction_file.PREDICTIONS / other,
        prediction_file.PREDICTIONS / named / "single_crop.npz",
        Path("data/packed/digits/original,jpeg-0a1b2c3d"),
        Path("work/0a1b2c3d"),
    ]


def test_left_overs_are_listed_with_their_sizes_and_stay() -> None:
    lines = run_prune()
    assert sorted(line[11:] for line in lines[:-1]) == sorted(map(str, expected()))
    assert "   1.5 kB  data/packed/digits/original,jpeg-0a1b2c3d" in lines
    assert lines[-1].startswith("5 left over, ")
    assert all(path.exists() for path in expected())


def test_remove_removes_left_overs_alone() -> None:
    gone = expected()
    run_prune(remove=True)
    assert not any(path.exists() for path in gone)
    named = runs.expand(params.load())[0].name
    assert predictions.missing(named, ["ten_crop"]) == []
    assert not (run_files.RUNS / "digits/alexnet").exists()  # no empty folders stay behind
    assert Path("work/rows/file").exists()
    (line,) = run_prune()
    assert line.startswith("nothing to prune")


def test_removing_never_takes_the_first_folder_of_a_path() -> None:
    path = Path("results2/a/b")
    path.mkdir(parents=True)
    prune.remove(path)
    assert list(Path("results2").iterdir()) == []


def test_left_overs_are_listed_for_programs() -> None:
    told = prune.as_json(prune.prune(prune.PruneJob()))
    assert (told["params"], told["removed"]) == ("params.yaml", False)
    assert {"path": "data/packed/digits/original,jpeg-0a1b2c3d", "bytes": 1500} in told["leftovers"]
