"""Predictions of a packed split by a network whose answers are known."""

import argparse
import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fake_results
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from ilsvrc import plugins, results, runs
from ilsvrc.card import Sample
from ilsvrc.layers import Classifier
from ilsvrc.loading.writer import pack
from ilsvrc.stages import pack as pack_stage
from ilsvrc.stages import predict

BRIGHT_LEFT, BRIGHT_RIGHT = 0, 1
PICTURES = {"a/left.png": BRIGHT_LEFT, "a/other_left.png": BRIGHT_LEFT, "b/right.png": BRIGHT_RIGHT}


class Sides(Classifier):
    """Logits: `scale` times the mean of the left half, and of the right half."""

    def __init__(self, num_classes: int, input_px: int) -> None:
        super().__init__()
        assert num_classes == 2
        self.scale = torch.nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        half = images.shape[3] // 2
        return self.scale * torch.stack([images[..., :half].mean((1, 2, 3)), images[..., half:].mean((1, 2, 3))], 1)


def picture(bright: int) -> bytes:
    """91 x 91, one half white."""
    pixels = np.zeros((91, 91, 3), np.uint8)
    pixels[:, slice(0, 45) if bright == BRIGHT_LEFT else slice(46, 91)] = 255
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures, packed as a test split."""
    folder, samples, at = tmp_path_factory.mktemp("packed"), [], 0
    with (folder / "archive").open("wb") as archive:
        for name, bright in PICTURES.items():
            content = picture(bright)
            samples.append(Sample("val", name[0], name, "archive", at, archive.write(content)))
            at += len(content)
    packing = pack(samples, {"a": 0, "b": 1}, folder, fake_results.FORM, folder / "val.beton", 1)
    manifest = pack_stage.describe(fake_results.FORM, "val", ["a", "b"], packing, samples)
    (folder / "val.manifest.json").write_text(json.dumps(manifest))
    pack_stage._write_images(folder / "val.images.csv", packing, samples)
    return folder


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> runs.Run:
    """A trained run: scale 4."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plugins, "architecture", lambda name: Sides)
    run = fake_results.run()
    folder = results.RUNS / run.name
    folder.mkdir(parents=True)
    save_file({"scale": torch.tensor([4.0])}, folder / "weights.safetensors")
    info = {
        "key": runs.key8(run.spec), "spec": json.loads(runs.specification(run.spec)), "crop_px": 80,
        "weights_sha256": hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest(),
        "manifest_sha256": "0", "mean": [0.0] * 3, "std": [255.0] * 3, "num_classes": 2, "classes": ["a", "b"],
    }  # fmt: skip
    (folder / "weights.json").write_text(json.dumps(info))
    return run


def arguments(trained: runs.Run, packed: Path, *protocols: str, **changes: Any) -> argparse.Namespace:
    folder = results.RUNS / trained.name
    given: Mapping[str, Any] = {
        "run": trained.name, "weights": folder / "weights.safetensors", "weights_info": folder / "weights.json",
        "val": packed / "val.beton", "val_manifest": packed / "val.manifest.json", "images": packed / "val.images.csv",
        "precision": "float32", "loader": "pillow", **changes,
    }  # fmt: skip
    words = [f"--{key.replace('_', '-')}={value}" for key, value in given.items()]
    outputs = [str(results.prediction_file(trained.name, protocol)) for protocol in protocols]
    return predict.arguments().parse_args([*words, "--output", *outputs])


def test_each_protocol_gets_its_file(run: runs.Run, packed: Path, capsys: pytest.CaptureFixture) -> None:
    predict.main(arguments(run, packed, "single_crop", "ten_crop"))
    single, ten = (
        results.read_prediction(results.prediction_file(run.name, name)) for name in ("single_crop", "ten_crop")
    )
    assert single.images.tolist() == list(PICTURES)
    assert single.labels.tolist() == [0, 0, 1]
    # The central 80 columns are 5 to 84: their left half is white, their right half black: logits 4 and 0.
    assert single.probabilities[:2, 0].tolist() == pytest.approx([1 / (1 + np.exp(-4))] * 2, rel=1e-5)
    # Mirrored views say the opposite: their mean has no opinion.
    assert ten.probabilities.tolist() == [pytest.approx([0.5, 0.5], abs=0.02)] * 3
    assert single.probabilities.dtype == np.float32
    assert "3 images of 10 views" in capsys.readouterr().err


def test_predictions_are_accepted_by_the_scores_check(run: runs.Run, packed: Path) -> None:
    predict.main(arguments(run, packed, "ten_crop"))
    found = results.read_prediction(results.prediction_file(run.name, "ten_crop"))
    weights = results.read_json(results.RUNS / run.name / "weights.json")
    results.check_prediction(run.name, "ten_crop", found, weights)
    manifest = json.loads((packed / "val.manifest.json").read_text())
    assert found.spec["manifest_sha256"] == manifest["content_sha256"]


def test_predicting_twice_gives_the_same_bytes(run: runs.Run, packed: Path) -> None:
    path = results.prediction_file(run.name, "ten_crop")
    predict.main(arguments(run, packed, "ten_crop"))
    first = path.read_bytes()
    predict.main(arguments(run, packed, "ten_crop"))
    assert path.read_bytes() == first


def test_weights_of_another_run_are_refused(run: runs.Run, packed: Path) -> None:
    with pytest.raises(ValueError, match="of another run"):
        predict.main(arguments(run, packed, "ten_crop", run=fake_results.run(seed=1).name))


def test_weights_with_other_bytes_are_refused(run: runs.Run, packed: Path) -> None:
    save_file({"scale": torch.tensor([5.0])}, results.RUNS / run.name / "weights.safetensors")
    with pytest.raises(ValueError, match=r"weights\.safetensors is not the file"):
        predict.main(arguments(run, packed, "ten_crop"))


@pytest.fixture
def of_sets(run: runs.Run, packed: Path, tmp_path: Path) -> Path:
    """The manifest of the same pictures where labels number sets: 0 is {b}, 1 is {a, b}; a network trained on them."""
    manifest = json.loads((packed / "val.manifest.json").read_text()) | {"label_sets": [[1], [0, 1]]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    info = results.RUNS / run.name / "weights.json"
    of_these = {"label_sets_sha256": results.label_sets_sha256(manifest)}
    info.write_text(json.dumps(results.read_json(info) | of_these))
    return tmp_path / "manifest.json"


def test_sets_of_classes_are_predicted_by_a_sigmoid_for_each_class(run: runs.Run, packed: Path, of_sets: Path) -> None:
    predict.main(arguments(run, packed, "single_crop", "ten_crop", val_manifest=of_sets))
    single, ten = (
        results.read_prediction(results.prediction_file(run.name, name)) for name in ("single_crop", "ten_crop")
    )
    assert single.labels.tolist() == [[0, 1], [0, 1], [1, 1]]
    # Logits 4 and 0 as above.
    assert single.probabilities[0].tolist() == pytest.approx([1 / (1 + np.exp(-4)), 0.5], rel=1e-5)
    # Logits (4, 0) in the centre, (4, 0.5) in the left corners, (3.4, 0) in the right ones, and mirrored: their mean.
    assert ten.probabilities[0].tolist() == pytest.approx([0.7627] * 2, abs=2e-4)


def test_a_split_that_numbers_other_sets_is_refused(run: runs.Run, packed: Path, of_sets: Path) -> None:
    manifest = json.loads(of_sets.read_text())
    for other in ({"label_sets": [[0], [0, 1]]}, {"label_sets": None}):
        changed = {key: value for key, value in (manifest | other).items() if value is not None}
        of_sets.write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=r"manifest\.json numbers other sets of classes than the run"):
            predict.main(arguments(run, packed, "ten_crop", val_manifest=of_sets))


OTHER_DATA = {"spec": {"data": "letters"}, "data": ""}


@pytest.mark.parametrize("change", [OTHER_DATA, {"split": "train"}, {"classes": ["b", "a"]}])
def test_a_split_that_the_run_was_not_trained_for_is_refused(
    change: dict, run: runs.Run, packed: Path, tmp_path: Path
) -> None:
    manifest = json.loads((packed / "val.manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | change))
    with pytest.raises(ValueError, match=f"{list(change)[-1]} of .*manifest.json is not what the run was trained"):
        predict.main(arguments(run, packed, "ten_crop", val_manifest=tmp_path / "manifest.json"))


def test_an_output_of_no_protocol_is_refused(run: runs.Run, packed: Path) -> None:
    with pytest.raises(ValueError, match="protocols has no 'eleven_crop'"):
        predict.main(arguments(run, packed, "eleven_crop"))


@pytest.mark.parametrize(
    ("recipes", "machines", "expected"), [("auto", "bfloat16", "bfloat16"), ("float32", "bfloat16", "float32")]
)
def test_a_recipes_precision_goes_before_the_machines(recipes: str, machines: str, expected: str) -> None:
    spec = fake_results.run(swept={"precision": recipes}).spec
    weights = {"spec": json.loads(runs.specification(spec))}
    assert predict.asked_precision(weights, machines) == expected


def test_a_jobs_gpu_is_the_only_one_that_cuda_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    assert predict.chosen_device(["3"]) == torch.device("cuda")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
