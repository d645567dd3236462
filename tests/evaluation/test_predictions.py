"""Files under results/ that say what they were made from."""

import json
import zipfile
from pathlib import Path

import fake_results
import numpy as np
import pytest
import records

from ilsvrc.artifacts import run_files
from ilsvrc.artifacts.weights_info import WeightsInfo
from ilsvrc.config import packed_formats, specs
from ilsvrc.evaluation import prediction_file, predictions
from ilsvrc.evaluation.predictions import Prediction


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


SPEC = {"run_key": "0a1b2c3d", "protocol": "ten_crop", "classes": ["a", "b"]}


def prediction(spec: dict = SPEC) -> Prediction:
    images = np.array(["a/\u00e9.jpg", "b/2.jpg"])
    return predictions.keep(np.array([[0.25, 0.75], [1, 0]], np.float32), np.array([1, 0]), images, spec)


def test_a_prediction_reads_back_as_it_was_written() -> None:
    predictions.write_prediction(Path("a/b/ten_crop.npz"), prediction())
    found = predictions.read_prediction(Path("a/b/ten_crop.npz"))
    assert found.probabilities.dtype == np.float32
    assert found.probabilities.tolist() == [[0.25, 0.75], [1, 0]]
    assert found.labels.tolist() == [1, 0]
    assert found.images.tolist() == ["a/\u00e9.jpg", "b/2.jpg"]
    assert found.log_probabilities.tolist() == pytest.approx([np.log(0.75), 0])
    assert found.ranks.tolist() == [0, 0]
    assert found.guesses.tolist() == [[1, 0], [0, 1]]
    assert found.guess_probabilities.tolist() == [[0.75, 0.25], [1, 0]]
    assert found.squared_norms.tolist() == [0.625, 1]
    assert (found.num_classes, found.spec) == (2, SPEC)
    assert [path.name for path in Path("a/b").iterdir()] == ["ten_crop.npz"]


def test_the_small_part_of_a_prediction_is_read_without_its_probabilities() -> None:
    predictions.write_prediction(Path("ten_crop.npz"), prediction())
    found = predictions.read_prediction(Path("ten_crop.npz"), probabilities=False)
    assert found.probabilities is None
    assert found.ranks.tolist() == [0, 0]


def test_more_probabilities_are_float16_and_what_is_beside_them_was_computed_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predictions, "FLOAT32_NUMBERS", 5)
    # Of the two first, float16 makes equals, of which class 0 would be first.
    given = np.array([[0.4999, 0.49995, 1.5e-4], [1 - 1e-6, 1e-6, 0]], np.float32)
    found = predictions.keep(given, np.array([1, 1]), np.array(["a", "b"]), SPEC)
    assert found.probabilities.dtype == np.float16
    assert found.probabilities[0, 0] == found.probabilities[0, 1] == 0.5
    assert found.ranks.tolist() == [0, 1]
    assert found.guesses.tolist() == [[1, 0, 2], [0, 1, 2]]
    assert found.log_probabilities.tolist() == pytest.approx([-0.693247, -13.815511], rel=1e-6)


def test_the_same_prediction_is_the_same_bytes_whenever_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions.write_prediction(Path("one.npz"), prediction())
    monkeypatch.setattr("time.time", lambda: 2e9)
    turned = {key: SPEC[key] for key in reversed(SPEC)}
    predictions.write_prediction(Path("two.npz"), prediction(spec=turned))
    assert Path("one.npz").read_bytes() == Path("two.npz").read_bytes()


def test_half_a_prediction_is_named() -> None:
    predictions.write_prediction(Path("ten_crop.npz"), prediction())
    Path("ten_crop.npz").write_bytes(Path("ten_crop.npz").read_bytes()[:400])
    with pytest.raises(ValueError, match=r"ten_crop\.npz is no complete prediction"):
        predictions.read_prediction(Path("ten_crop.npz"))


@pytest.mark.parametrize("name", ["labels.npy", "probabilities.npy"])
def test_a_changed_byte_in_the_middle_is_found(name: str) -> None:
    path = Path("ten_crop.npz")
    predictions.write_prediction(path, prediction())
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo(name).header_offset + 30 + len(name) + 20 + 128  # its first number
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"ten_crop\.npz is no complete prediction .*CRC"):
        predictions.read_prediction(path)


def test_a_network_that_diverged_has_no_prediction() -> None:
    nan = np.full((2, 2), np.nan, np.float32)
    with pytest.raises(ValueError, match="NaN or infinity: the training diverged"):
        predictions.keep(nan, np.array([1, 0]), np.array(["a", "b"]), SPEC)


def test_a_runs_files_carry_the_specification_of_its_name() -> None:
    run = fake_results.run()
    fake_results.write_run(run)
    path = run_files.RUNS / run.name / "weights.json"
    run_files.check_key(run.name, WeightsInfo.read(path), path)


@pytest.mark.parametrize("change", [{"key": "00000000"}, {"spec": {"seed": 9}}])
def test_a_run_of_another_specification_is_refused_by_name(change: dict) -> None:
    run = fake_results.run()
    identity = {"key": specs.key8(run.spec), "spec": json.loads(specs.specification(run.spec))} | change
    with pytest.raises(ValueError, match=f"{run.name}.*weights.json.*of another run"):
        run_files.check_key(run.name, records.weights_info(**identity), Path("weights.json"))


CHANGES = [
    {"run_key": "00000000"}, {"protocol": "single_crop"}, {"revision": 0}, {"weights_sha256": "0"},
    {"manifest_sha256": "0"},
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_a_prediction_made_by_something_else_is_refused_by_name(change: dict) -> None:
    run = fake_results.run()
    fake_results.write_run(run)
    weights = WeightsInfo.read(run_files.RUNS / run.name / "weights.json")
    packed = run_files.PACKED / "digits" / packed_formats.form_name(fake_results.FORM)
    packed.mkdir(parents=True)
    records.manifest(content_sha256=fake_results.MANIFEST_SHA256).write(packed / "val.manifest.json")
    found = predictions.read_prediction(prediction_file.prediction_file(run.name, "ten_crop"))
    predictions.check_prediction(run.name, "ten_crop", found, weights)
    with pytest.raises(ValueError, match=f"{run.name}.*ten_crop.npz was made with {next(iter(change))} = "):
        predictions.check_prediction(run.name, "ten_crop", found._replace(spec=found.spec | change), weights)


def test_missing_files_of_a_run_are_listed() -> None:
    run = fake_results.run()
    fake_results.write_run(run, wrong={"single_crop": []})
    assert predictions.missing(run.name, ["single_crop"]) == []
    (run_files.RUNS / run.name / "history.csv").unlink()
    assert predictions.missing(run.name, ["single_crop", "ten_crop"]) == [
        f"results/runs/{run.name}/history.csv",
        f"results/predictions/{run.name}/ten_crop.npz",
    ]


def test_folders_of_runs_are_found_by_their_shape() -> None:
    run = fake_results.run()
    fake_results.write_run(run)
    (run_files.RUNS / "digits/notes").mkdir()
    assert run_files.folders(run_files.RUNS) == [run.name]
