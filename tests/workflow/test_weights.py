"""Pretrained networks, from params.yaml to the report: nothing is trained, and train is not packed."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from checkouts import Checkout, new_checkout
from PIL import Image
from torchvision import models

CLASSES = ("n01440764", "n01443537", "n01484850")  # zeros, ones and twos
BOOK = {
    "dataset": "folder",
    "data": {"path": "pictures"},
    "weights": {
        "resnet18_b": {"source": "weights/mine.pth", "crop_px": 32},
        "mobilenetv3_small_050": {"source": "timm/lamb_in1k", "crop_px": 32},
    },
    "protocols": ["single_crop"],
    "costs": False,
}


def write_pictures(folder: Path) -> None:
    """Six digits of each of three classes, 64 px: four to train on, two to test."""
    from sklearn.datasets import load_digits  # here, because it takes a second to import

    digits = load_digits()
    for label, name in enumerate(CLASSES):
        for i, at in enumerate(np.flatnonzero(digits.target == label)[:6]):
            grey = np.kron(digits.images[at] * 15, np.ones((8, 8))).astype(np.uint8)
            place = folder / ("val" if i < 2 else "train") / name / f"{i}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            content = io.BytesIO()
            Image.fromarray(grey).convert("RGB").save(content, "PNG")
            place.write_bytes(content.getvalue())


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which a person's file and one of timm's were tested."""
    checkout = new_checkout(tmp_path_factory.mktemp("weights"))
    write_pictures(checkout.folder / "pictures")
    torch.manual_seed(0)
    (checkout.folder / "weights").mkdir()
    torch.save(models.resnet18(num_classes=3).state_dict(), checkout.folder / "weights/mine.pth")
    downloads = checkout.folder / "data/downloads/weights"
    downloads.mkdir(parents=True)
    state = timm.create_model("mobilenetv3_small_050").state_dict()
    safetensors.torch.save_file(state, downloads / "mobilenetv3_small_050.lamb_in1k.safetensors")
    checkout.write("params.yaml", **BOOK)
    jobs = {"acquire": 1, "pack": 1, "import_weights": 2, "predict": 2, "inspect": 2, "score": 1}
    jobs |= {"report": 1, "record": 1}
    assert checkout.jobs() == jobs
    checkout.snakemake()
    return checkout


def test_they_are_scored_like_any_run_and_nothing_is_left_to_do(tested: Checkout) -> None:
    with (tested.folder / "results/scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["architecture"], row["source"], row["train_seconds"], row["num_images"]) for row in rows] == [
        ("timm.mobilenetv3_small_050", "timm/mobilenetv3_small_050.lamb_in1k", "", "6"),
        ("resnet18_b", "mine.pth", "", "6"),
    ]
    metrics = json.loads((tested.folder / "results/metrics.json").read_text())["pictures"]
    assert list(metrics) == ["timm.mobilenetv3_small_050,timm-lamb_in1k", "resnet18_b,file-mine"]
    assert tested.jobs() == {}


def test_the_report_marks_them_and_says_what_was_assumed(tested: Checkout) -> None:
    report = (tested.folder / "results/report.html").read_text()
    assert "pretrained: mine.pth" in report
    assert (
        "mine.pth: classes: assumed: the data&#39;s, sorted by name; normalization: assumed: ImageNet&#39;s" in report
    )
    assert "classes: 3 of the weights&#39; 1000 classes, by ImageNet&#39;s synsets" in report
    assert "pretrained weights" in report  # why the paper's figure is not comparable
    assert "Learning curves" not in report


def test_their_protocols_stand_under_a_run_in_mlflow(tested: Checkout) -> None:
    code = (
        "from ilsvrc.tracking import mlflow_store; client, experiment = mlflow_store.connect();"
        "print(sorted((r.data.tags.get('source', ''), r.info.run_name, len(r.data.metrics) > 0)"
        " for r in client.search_runs([experiment])))"
    )
    said = tested.run("python", "-c", code).stdout.splitlines()[-1]
    library = "timm/mobilenetv3_small_050.lamb_in1k"
    assert said == str(
        [
            ("", "report", False),
            ("", "single_crop", True),
            ("", "single_crop", True),
            ("mine.pth", "resnet18_b mine.pth", True),
            (library, f"timm.mobilenetv3_small_050 {library}", True),
        ]
    )


def test_what_was_pulled_is_checked_and_kept(tested: Checkout) -> None:
    said = tested.run("ilsvrc", "verify").stdout
    assert "2 of 2 runs of params.yaml are here and as they should be; nothing removed" in said
    assert "nothing to prune" in tested.run("ilsvrc", "prune").stdout


def test_they_classify_a_picture(tested: Checkout) -> None:
    picture = "pictures/val/n01440764/0.png"
    said = tested.run("ilsvrc", "classify", "resnet18_b", picture, "--json").stdout
    assert {guess["class"] for guess in json.loads(said)[0]["guesses"]} == set(CLASSES)


def test_an_unknown_tag_stops_before_any_job(tested: Checkout) -> None:
    tested.write("other.yaml", **BOOK | {"weights": {"resnet18_b": "torchvision/V1"}})
    done = tested.snakemake("--dry-run", "--configfile", "other.yaml", check=False)
    assert done.returncode == 1
    assert "torchvision has no weights 'V1' of resnet18; there are: IMAGENET1K_V1, DEFAULT" in done.stderr + done.stdout
