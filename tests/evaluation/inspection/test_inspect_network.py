"""The inspection of a network on a few digits."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import records
import small_training
import torch
from PIL import Image
from safetensors.torch import save_file

from ilsvrc.artifacts import run_files
from ilsvrc.config import registry, specs
from ilsvrc.evaluation.inspection import album
from ilsvrc.stages import inspect as inspect_stage


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_training.pack_digits(tmp_path_factory.mktemp("packed"), small_training.form())


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)


def look(packed: Path, **changes) -> tuple[dict, dict[str, bytes]]:
    """What the stage says of a small network as it starts, and its pictures."""
    run = small_training.run("resnet20_cifar")
    there = run_files.RUNS / run.name
    there.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    save_file(registry.architecture("resnet20_cifar")(num_classes=10).state_dict(), there / "weights.safetensors")
    info = {
        "key": specs.key8(run.spec), "spec": json.loads(specs.specification(run.spec)), "crop_px": 32,
        "weights_sha256": hashlib.sha256((there / "weights.safetensors").read_bytes()).hexdigest(),
        "manifest_sha256": "0", "mean": [40.0] * 3, "std": [80.0] * 3,
        "num_classes": 10, "classes": small_training.CLASSES,
    }  # fmt: skip
    (there / "weights.json").write_text(json.dumps(info))
    given = {
        "run": run.name, "weights": there / "weights.safetensors", "weights-info": there / "weights.json",
        "train": packed / "train.beton", "val": packed / "val.beton", "val-manifest": packed / "val.manifest.json",
        "nearest-of": 2000, "output": "out/inspect.json", "pictures": "out/pictures", "loader": "pillow", **changes,
    }  # fmt: skip
    words = [f"--{name}={value}" for name, value in given.items() if value is not None]
    inspect_stage.main(inspect_stage.arguments().parse_args(words))
    return json.loads(Path("out/inspect.json").read_text()), {
        str(path): path.read_bytes() for path in sorted(Path("out").rglob("*")) if path.is_file()
    }


def test_a_network_is_inspected_and_each_picture_is_there(packed, capsys):
    found, files = look(packed)
    labels = small_training.digits().target[96:126]
    first = sorted({int(label): place for place, label in reversed(list(enumerate(labels)))}.values())[:5]
    assert [row["label"] for row in found["nearest"]] == [str(labels[place]) for place in first]
    assert [row["test"] for row in found["nearest"]] == [f"pictures/val_{place}.jpg" for place in first]
    assert [row["label"] for row in found["occlusion"]] == [row["label"] for row in found["saliency"]]
    assert [row["map"] for row in found["saliency"]] == [f"pictures/saliency_{place}.png" for place in first[:3]]
    assert all(0 <= row["lowest_percent"] <= row["highest_percent"] <= 100 for row in found["occlusion"])
    assert found["nearest_images"] == 96
    for row in found["nearest"]:
        distances = [near["distance"] for near in row["neighbours"]]
        assert len(distances) == 6 and distances == sorted(distances)
    named = set(text(found))
    assert {f"out/{name}" for name in named} == set(files) - {"out/inspect.json"}
    for name in named:
        Image.open(io.BytesIO(files[f"out/{name}"])).verify()
    assert Image.open(Path("out/pictures/kernels.png")).size == (4 * 36 + 3 * 2,) * 2
    assert "inspected digits" in capsys.readouterr().err


def text(value: object) -> list[str]:
    """All names of pictures in what the stage says."""
    if isinstance(value, dict):
        return [name for inner in value.values() for name in text(inner)]
    if isinstance(value, list):
        return [name for inner in value for name in text(inner)]
    return [value] if isinstance(value, str) and value.startswith("pictures/") else []


def test_neighbours_are_called_what_they_are(packed):
    found, _ = look(packed)
    target = small_training.digits().target
    for near in (near for row in found["nearest"] for near in row["neighbours"]):
        place = int(near["image"].removeprefix("pictures/train_").removesuffix(".jpg"))
        assert near["label"] == str(target[place])


def test_the_same_weights_are_the_same_bytes(packed):
    assert look(packed) == look(packed)


def test_without_training_pictures_the_rest_is_looked_at(packed):
    found, _ = look(packed, train=None)
    assert {"kernels", "occlusion", "saliency"} == set(found) - {"run", "weights_sha256", "nearest_of"}


def test_no_more_training_pictures_are_compared_than_asked_for(packed):
    found, _ = look(packed, **{"nearest-of": 7})
    assert found["nearest_images"] == 7
    last = [near["image"] for near in found["nearest"][0]["neighbours"]]
    assert set(last) <= {f"pictures/train_{place}.jpg" for place in (0, 16, 32, 48, 63, 79, 95)}


def test_the_first_pictures_of_sets_of_classes_are_of_different_sets_that_hold_any():
    manifest = records.manifest(label_sets=[[], [0, 2], [1]], classes=["sea", "road", "sand"])
    assert album.first_places(np.array([0, 2, 2, 1, 1]), manifest, 5).tolist() == [1, 3]
    assert [album.label_name(manifest, label) for label in range(3)] == ["none", "sea, sand", "road"]
