"""Pictures of several classes from a table to the report: tiles with patches of colours, and the colours' names."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from checkouts import Checkout, new_checkout
from PIL import Image

from ilsvrc.evaluation import predictions

COLOURS = {
    "red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "yellow": (220, 220, 30),
    "white": (245, 245, 245), "black": (10, 10, 10),
}  # fmt: skip


def plant(folder: Path) -> None:
    """240 tiles to train on and 60 others: grey noise, and patches of no, one or two colours."""
    draws = np.random.default_rng(0)
    folder.mkdir()
    rows = []
    for number in range(300):
        chosen = draws.choice(list(COLOURS), size=draws.choice([0, 1, 2], p=[0.04, 0.48, 0.48]), replace=False)
        tile = draws.normal(128, 15, (32, 32, 3))
        for corner, name in zip(draws.permutation(4), chosen, strict=False):
            y, x = divmod(int(corner), 2)
            tile[16 * y : 16 * y + 16, 16 * x : 16 * x + 16] = COLOURS[name] + draws.normal(0, 10, (16, 16, 3))
        Image.fromarray(tile.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
        rows.append((f"{number}.png", " ".join(chosen), "train" if number < 240 else "test"))
    with (folder / "tiles.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "labels", "split"), *rows])


@pytest.fixture(scope="module")
def tiles(tmp_path_factory) -> Checkout:
    """A checkout in which a small network has learned the colours."""
    checkout = new_checkout(tmp_path_factory.mktemp("several"))
    plant(checkout.folder / "tiles")
    checkout.write(
        "params.yaml",
        dataset="folder",
        data={"path": "tiles/tiles.csv", "name": "colours", "encoding": "raw"},
        architectures=["resnet20_cifar"],
        recipe="quick",
        training={"epochs": 6, "crop": "padding", "padding_px": 2, "crop_px": 32, "validation_fraction": 0.1},
        protocols=["whole"],
        costs=[],
    )
    checkout.snakemake()
    return checkout


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.rglob(pattern)
    return found


def test_sets_are_numbered_alike_in_both_splits(tiles):
    train, val = (
        json.loads(only(tiles.folder / "data/packed", f"{split}.manifest.json").read_text())
        for split in ("train", "val")
    )
    assert train["classes"] == val["classes"] == sorted(COLOURS)
    assert train["label_sets"] == val["label_sets"]
    with (tiles.folder / "tiles/tiles.csv").open() as file:
        listed = {row["file"]: set(row["labels"].split()) for row in csv.DictReader(file)}
    with only(tiles.folder / "data/packed", "val.images.csv").open() as file:
        images = list(csv.DictReader(file))
    told = {image["name"]: {val["classes"][i] for i in val["label_sets"][int(image["label"])]} for image in images}
    assert told == {name: classes for name, classes in listed.items() if int(name[:-4]) >= 240}


def test_the_colours_are_learned_and_scored_by_f2(tiles):
    with (tiles.folder / "results/scores.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["top1_error_percent"] == row["top5_error_percent"] == ""
    assert row["num_images"] == "60"
    # saying all six colours of each tile, with 1.44 on average, would have an F2 of about 60 %
    assert 80 < float(row["f2_low_percent"]) < float(row["f2_percent"]) <= float(row["f2_high_percent"]) <= 100
    assert float(row["mean_average_precision_percent"]) > 85
    (of_run,) = json.loads((tiles.folder / "results/metrics.json").read_text())["colours"].values()
    assert of_run["whole"]["f2_percent"] == float(row["f2_percent"])


def test_the_learning_curve_and_the_report_speak_of_f2(tiles):
    with only(tiles.folder / "results/runs", "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["validation_f2_percent"]) > float(rows[0]["validation_f2_percent"])
    assert rows[-1]["validation_top1_error_percent"] == ""
    report = (tiles.folder / "results/report.html").read_text()
    assert "Highest F2" in report and "Mean average precision, %" in report and "Validation F2, %" in report
    assert "Top-1" not in report and "Not comparable" not in report


def test_classify_lists_each_class_that_the_prediction_says(tiles):
    found = predictions.read_for_scores(only(tiles.folder / "results/predictions", "whole.npz"))
    clearest = int(np.abs(found.probabilities - 0.2).min(axis=1).argmax())  # whatever the precision
    picture = f"tiles/{found.images[clearest]}"
    words = ("ilsvrc", "classify", "resnet20_cifar", picture, "--protocol", "whole", "--json")
    (said,) = json.loads(tiles.run(*words).stdout)
    expected = {found.spec["classes"][k] for k in np.flatnonzero(found.probabilities[clearest] > 0.2)}
    assert {guess["class"] for guess in said["guesses"]} == expected
    assert said["guesses"] == sorted(said["guesses"], key=lambda guess: -guess["probability"])


def test_nothing_is_left_to_do_and_new_labels_train_again(tiles):
    assert tiles.jobs() == {}
    table = tiles.folder / "tiles/tiles.csv"
    before = table.read_bytes()
    table.write_bytes(before.replace(b"green", b"olive"))
    assert {"acquire", "pack", "train", "predict"} <= set(tiles.jobs())
    table.write_bytes(before)
