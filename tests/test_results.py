"""Files under results/ that say what they were made from."""

import json
from pathlib import Path

import fake_results
import numpy as np
import pytest

from ilsvrc import results, runs
from ilsvrc.results import Prediction


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def prediction(**changes: object) -> Prediction:
    spec = {"run_key": "0a1b2c3d", "protocol": "ten_crop"}
    images = np.array(["a/\u00e9.jpg", "b/2.jpg"])
    whole = Prediction(np.array([[0.25, 0.75], [1, 0]], np.float32), np.array([1, 0]), images, spec)
    return whole._replace(**changes)


def test_a_prediction_reads_back_as_it_was_written() -> None:
    results.write_prediction(Path("a/b/ten_crop.npz"), prediction())
    found = results.read_prediction(Path("a/b/ten_crop.npz"))
    assert found.probabilities.dtype == np.float32
    assert found.probabilities.tolist() == [[0.25, 0.75], [1, 0]]
    assert found.labels.tolist() == [1, 0]
    assert found.images.tolist() == ["a/\u00e9.jpg", "b/2.jpg"]
    assert found.spec == {"run_key": "0a1b2c3d", "protocol": "ten_crop"}
    assert [path.name for path in Path("a/b").iterdir()] == ["ten_crop.npz"]


def test_the_same_prediction_is_the_same_bytes_whenever_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    results.write_prediction(Path("one.npz"), prediction())
    monkeypatch.setattr("time.time", lambda: 2e9)
    turned = {"protocol": "ten_crop", "run_key": "0a1b2c3d"}
    results.write_prediction(Path("two.npz"), prediction(spec=turned))
    assert Path("one.npz").read_bytes() == Path("two.npz").read_bytes()


def test_half_a_prediction_is_named() -> None:
    results.write_prediction(Path("ten_crop.npz"), prediction())
    Path("ten_crop.npz").write_bytes(Path("ten_crop.npz").read_bytes()[:400])
    with pytest.raises(ValueError, match=r"ten_crop\.npz is no complete prediction"):
        results.read_prediction(Path("ten_crop.npz"))


def test_a_runs_files_carry_the_specification_of_its_name() -> None:
    run = fake_results.run()
    fake_results.write_run(run)
    path = results.RUNS / run.name / "weights.json"
    results.check_key(run.name, results.read_json(path), path)


@pytest.mark.parametrize("change", [{"key": "00000000"}, {"spec": {"seed": 9}}])
def test_a_run_of_another_specification_is_refused_by_name(change: dict) -> None:
    run = fake_results.run()
    info = {"key": runs.key8(run.spec), "spec": json.loads(runs.specification(run.spec))} | change
    with pytest.raises(ValueError, match=f"{run.name}.*weights.json.*of another run"):
        results.check_key(run.name, info, Path("weights.json"))


CHANGES = [
    {"run_key": "00000000"}, {"protocol": "single_crop"}, {"revision": 0}, {"weights_sha256": "0"},
    {"manifest_sha256": "0"},
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_a_prediction_made_by_something_else_is_refused_by_name(change: dict) -> None:
    run = fake_results.run()
    fake_results.write_run(run)
    weights = results.read_json(results.RUNS / run.name / "weights.json")
    packed = results.PACKED / "digits" / runs.form_name(fake_results.FORM)
    packed.mkdir(parents=True)
    (packed / "val.manifest.json").write_text(json.dumps({"content_sha256": fake_results.MANIFEST_SHA256}))
    found = results.read_prediction(results.prediction_file(run.name, "ten_crop"))
    results.check_prediction(run.name, "ten_crop", found, weights)
    with pytest.raises(ValueError, match=f"{run.name}.*ten_crop.npz was made with {next(iter(change))} = "):
        results.check_prediction(run.name, "ten_crop", found._replace(spec=found.spec | change), weights)


def test_missing_files_of_a_run_are_listed() -> None:
    run = fake_results.run()
    fake_results.write_run(run, wrong={"single_crop": []})
    assert results.missing(run.name, ["single_crop"]) == []
    (results.RUNS / run.name / "history.csv").unlink()
    assert results.missing(run.name, ["single_crop", "ten_crop"]) == [
        f"results/runs/{run.name}/history.csv",
        f"results/predictions/{run.name}/ten_crop.npz",
    ]


def test_folders_of_runs_are_found_by_their_shape() -> None:
    run = fake_results.run()
    fake_results.write_run(run)
    (results.RUNS / "digits/notes").mkdir()
    assert results.folders(results.RUNS) == [run.name]
