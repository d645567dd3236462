"""Pretrained weights: found, checked, fitted, and predicted with as their own library does."""

import csv
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import small_training
import timm
import torch
from torchvision import models
from torchvision.transforms.functional import normalize

from ilsvrc.artifacts import run_files
from ilsvrc.artifacts.run_info import RunInfo
from ilsvrc.artifacts.weights_info import WeightsInfo
from ilsvrc.config import pretrained, runs, specs
from ilsvrc.evaluation import predict_split, predictions
from ilsvrc.loading import batches
from ilsvrc.loading.views import View
from ilsvrc.models.pretrained import libraries
from ilsvrc.runtime import download, files
from ilsvrc.stages import import_weights
from ilsvrc.training import import_run

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
SYNSETS = [f"n0{number}" for number in (1440764, 1443537, 1484850, 1491361, 1494475, 1496331)]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty digits to test on."""
    folder = small_training.pack_digits(tmp_path_factory.mktemp("packed"), small_training.form())
    (folder / "val.images.csv").write_text("name\n" + "".join(f"{i}.png\n" for i in range(30)))
    return folder


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(import_run, "track", lambda *given: None)  # seconds; the whole pipeline's test looks at it
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no_cache"))
    monkeypatch.setenv(download.MIRRORS, str(tmp_path / "mirror"))
    (tmp_path / "mirror").mkdir()
    pretrained.beside.cache_clear()
    pretrained.file_sha256.cache_clear()


def imported(packed: Path, architecture: str, file: Path | None = None, **fields: Any) -> runs.Run:
    """The run of weights that were imported: a person's `file`, or a library's."""
    if file is not None:
        described = pretrained.describe(architecture, pretrained.Weights(source=str(file), **fields))
        fields, architecture = described.fields, described.architecture
    spec = specs.ImportSpec(form=small_training.form(), architecture=architecture, **fields)
    run = runs.Run(recipe_name="given", changes={}, spec=spec)
    folder = run_files.RUNS / run.name
    words = {
        "spec": specs.specification(spec), "run": run.name, "val-manifest": packed / "val.manifest.json",
        "weights": folder / "weights.safetensors", "weights-info": folder / "weights.json",
        "history": folder / "history.csv", "run-info": folder / "run.json", "work": f"work/{specs.key8(spec)}",
    }  # fmt: skip
    given = [f"--{key}={value}" for key, value in words.items()]
    import_weights.main(import_weights.arguments().parse_args([*given, "--file", *([str(file)] if file else [])]))
    return run


def info(run: runs.Run, name: str) -> dict[str, Any]:
    return files.read_json(run_files.RUNS / run.name / name)


def predicted(run: runs.Run, packed: Path) -> np.ndarray:
    folder, output = run_files.RUNS / run.name, Path("single_crop.npz")
    job = predict_split.PredictJob(
        run=run.name, weights=folder / "weights.safetensors", weights_info=folder / "weights.json",
        val=packed / "val.beton", val_manifest=packed / "val.manifest.json", images=packed / "val.images.csv",
        output=[output], precision="float32", loader="pillow",
    )  # fmt: skip
    predict_split.predict_split(job)
    return predictions.read_prediction(output).probabilities


def seen(packed: Path, crop_px: int) -> torch.Tensor:
    """The central crops uint8 `[N, H, W, 3]` that single_crop shows."""
    view = View(round(crop_px * 256 / 224), crop_px)
    testing = batches.open_testing("pillow", packed / "val.beton", views=[view], batch_size=30)
    (batch,) = list(testing)
    testing.close()
    return torch.as_tensor(np.asarray(batch.images))[:, 0]


def settled(network: torch.nn.Module) -> torch.nn.Module:
    """Random weights with random statistics, so that batch norms do something."""
    for name, value in network.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.1)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    return network.eval()


def test_predictions_are_those_of_torchvisions_network_on_the_same_pixels(packed: Path) -> None:
    torch.manual_seed(0)
    theirs = settled(models.resnet18(num_classes=10))
    torch.save({"state_dict": theirs.state_dict()}, "mine.pth")
    run = imported(packed, "resnet18_b", Path("mine.pth"), crop_px=32)
    with torch.no_grad():
        expected = theirs(normalize(seen(packed, 32).permute(0, 3, 1, 2) / 255, MEAN, STD)).softmax(1)
    assert np.allclose(predicted(run, packed), expected.numpy(), atol=1e-5)


def test_on_sets_of_classes_their_logits_are_taken_for_sigmoids(packed: Path) -> None:
    torch.manual_seed(0)
    theirs = settled(models.resnet18(num_classes=10))
    torch.save(theirs.state_dict(), "mine.pth")
    shutil.copytree(packed, "of_sets")
    manifest = files.read_json(packed / "val.manifest.json") | {"label_sets": [[k, (k + 1) % 10] for k in range(10)]}
    Path("of_sets/val.manifest.json").write_text(json.dumps(manifest))
    run = imported(Path("of_sets"), "resnet18_b", Path("mine.pth"), crop_px=32)
    with torch.no_grad():
        expected = theirs(normalize(seen(packed, 32).permute(0, 3, 1, 2) / 255, MEAN, STD)).sigmoid()
    assert np.allclose(predicted(run, Path("of_sets")), expected.numpy(), atol=1e-5)


def test_predictions_of_a_network_of_timms_that_is_none_of_ours_are_timms(packed: Path) -> None:
    torch.manual_seed(0)
    theirs = settled(timm.create_model("mobilenetv3_small_050", num_classes=10))
    safetensors.torch.save_file(theirs.state_dict(), "mine.safetensors")
    levels = {"mean": (127.5, 127.5, 127.5), "std": (127.5, 127.5, 127.5)}
    run = imported(packed, "mobilenetv3_small_050", Path("mine.safetensors"), crop_px=32, **levels)
    assert run.spec.architecture == "timm.mobilenetv3_small_050"
    with torch.no_grad():
        expected = theirs(seen(packed, 32).permute(0, 3, 1, 2) / 127.5 - 1).softmax(1)
    assert np.allclose(predicted(run, packed), expected.numpy(), atol=1e-5)


def test_the_files_of_a_training_stand_there_and_say_where_the_weights_are_from(packed: Path) -> None:
    torch.save(models.resnet18(num_classes=10).state_dict(), "mine.pth")
    run = imported(packed, "resnet18_b", Path("mine.pth"), crop_px=32)
    assert predictions.missing(run.name, []) == []
    for kind, name in ((WeightsInfo, "weights.json"), (RunInfo, "run.json")):
        path = run_files.RUNS / run.name / name
        run_files.check_key(run.name, kind.read(path), path)
    weights, about = info(run, "weights.json"), info(run, "run.json")
    assert weights["weights_sha256"] == files.file_sha256(run_files.RUNS / run.name / "weights.safetensors")
    assert (weights["crop_px"], weights["mean"], weights["num_classes"]) == (32, [123.675, 116.28, 103.53], 10)
    assert (about["source"], about["train_seconds"], about["parameters"]) == ("mine.pth", None, 11181642)
    assert about["class_order"] == "assumed: the data's, sorted by name"
    assert about["normalization_is"] == "assumed: ImageNet's"
    with (run_files.RUNS / run.name / "history.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == []


def test_weights_of_ours_bring_their_normalisation_and_classes(packed: Path) -> None:
    network = libraries.build("torchvision", "resnet18", num_classes=3)
    safetensors.torch.save_file(network.state_dict(), "weights.safetensors")
    ours = {
        "spec": {"architecture": "resnet18_b", "recipe": {"normalization": "unit"}}, "crop_px": 32,
        "weights_sha256": files.file_sha256(Path("weights.safetensors")),
        "mean": [1.0] * 3, "std": [2.0] * 3, "classes": ["7", "x", "1"],
    }  # fmt: skip
    Path("weights.json").write_text(json.dumps(ours))
    with pytest.raises(ValueError, match=r"resnet18_b with weights\.safetensors: the data's classes are not .*: 0, 2"):
        imported(packed, "resnet18_b", Path("weights.safetensors"))
    two = with_classes(packed, Path("two"), ["1", "7"])
    run = imported(two, "resnet18_b", Path("weights.safetensors"))
    assert info(run, "weights.json")["normalization"] == "unit"
    assert info(run, "run.json")["class_order"] == "2 of the weights' 3 classes, by name"
    rows = safetensors.torch.load_file(run_files.RUNS / run.name / "weights.safetensors")["fc.bias"]
    assert torch.equal(rows, network.state_dict()["fc.bias"][[2, 0]])


def with_classes(packed: Path, folder: Path, classes: list[str]) -> Path:
    """A folder with the manifest of a test split of these classes."""
    folder.mkdir()
    manifest = files.read_json(packed / "val.manifest.json") | {"classes": classes}
    (folder / "val.manifest.json").write_text(json.dumps(manifest))
    return folder


def of_torchvision(monkeypatch: pytest.MonkeyPatch, sha256: str) -> None:
    """Lets torchvision's file be one that begins with this hash."""
    own = libraries.published("torchvision", "resnet18", "IMAGENET1K_V1")
    changed = dataclasses.replace(own, hash_start=sha256[:8])
    monkeypatch.setattr(libraries, "published", lambda *names: changed)


def test_torchvisions_weights_are_fetched_checked_and_cut_to_the_datas_synsets(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, mirrored = models.resnet18(), Path("mirror/resnet18-f37072fd.pth")
    torch.save(theirs.state_dict(), mirrored)
    of_torchvision(monkeypatch, files.file_sha256(mirrored))
    six = with_classes(packed, Path("six"), SYNSETS)
    run = imported(six, "resnet18_b", source="torchvision/resnet18.IMAGENET1K_V1")
    about = info(run, "run.json")
    assert about["file"] == "data/downloads/weights/resnet18-f37072fd.pth"
    assert about["tested_with"]["top1_error_percent"] == 30.242
    assert (about["class_order"], info(run, "weights.json")["crop_px"]) == (
        "6 of the weights' 1000 classes, by ImageNet's synsets",
        224,
    )
    kept = safetensors.torch.load_file(run_files.RUNS / run.name / "weights.safetensors")
    assert torch.equal(kept["fc.weight"], theirs.fc.weight[:6])
    assert torch.equal(kept["conv1.weight"], theirs.conv1.weight)


def test_another_file_under_the_name_is_refused_with_what_to_do(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mirror/resnet18-f37072fd.pth").write_bytes(b"a web page")
    without_network(monkeypatch)
    with pytest.raises(OSError, match=r"start of the SHA-256 is \w{8} and should be f37072fd") as error:
        imported(packed, "resnet18_b", source="torchvision/resnet18.IMAGENET1K_V1")
    assert "https://download.pytorch.org/models/resnet18-f37072fd.pth: no network" in str(error.value)
    assert "at data/downloads/weights/resnet18-f37072fd.pth yourself" in str(error.value)


def without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any) -> bool:
        raise download.UselessError("no network")

    monkeypatch.setattr(download, "download", refuse)


def test_timms_weights_are_taken_from_where_a_person_put_them(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_network(monkeypatch)
    source, kept = "timm/mobilenetv3_small_050.lamb_in1k", Path("data/downloads/weights")
    six = with_classes(packed, Path("six"), SYNSETS)
    with pytest.raises(OSError, match=r"huggingface\.co/timm/mobilenetv3_small_050\.lamb_in1k/resolve/main/model"):
        imported(six, "timm.mobilenetv3_small_050", source=source)
    theirs = timm.create_model("mobilenetv3_small_050")
    safetensors.torch.save_file(theirs.state_dict(), kept / "mobilenetv3_small_050.lamb_in1k.safetensors")
    run = imported(six, "timm.mobilenetv3_small_050", source=source)
    found = safetensors.torch.load_file(run_files.RUNS / run.name / "weights.safetensors")
    assert torch.equal(found["classifier.weight"], theirs.classifier.weight[:6])
    assert info(run, "run.json")["tested_with"]["interpolation"] == "bicubic"


def test_weights_of_another_network_are_refused(packed: Path) -> None:
    torch.save(models.resnet34(num_classes=10).state_dict(), "mine.pth")
    with pytest.raises(ValueError, match=r"not of this architecture: of its 122 the file has besides 96: layer1\.2"):
        imported(packed, "resnet18_b", Path("mine.pth"), crop_px=32)


def test_torchvisions_inception_sees_pixels_from_minus_one_to_one() -> None:
    said = libraries.published("torchvision", "inception_v3", "IMAGENET1K_V1")
    assert (said.mean, said.std, said.crop_px) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 299)
