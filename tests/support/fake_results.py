"""Finished runs as the stages leave them, made in a moment: what scoring and reporting are tested on."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ilsvrc.artifacts import run_files
from ilsvrc.config import ensembles, runs, specs
from ilsvrc.config.recipe import Recipe
from ilsvrc.evaluation import prediction_file, predictions

FORM = specs.FormSpec(data="digits", short_side_px=91, upscale=True, encoding="raw")
LABELS = np.array([0, 0, 1, 1, 2, 2, 3, 3])
CLASSES = [str(i) for i in range(6)]
MANIFEST_SHA256 = "5e" * 32


def run(architecture: str = "resnet18", seed: int = 0, swept: Mapping[str, Any] | None = None) -> runs.Run:
    """A run of the recipe `quick` with its true name."""
    recipe = Recipe(**{"epochs": 3, "batch_size": 8, "learning_rate": 0.05, **(swept or {})})
    spec = specs.TrainSpec(form=FORM, architecture=architecture, crop_px=80, recipe=recipe, seed=seed)
    return runs.Run(recipe_name="quick", changes=dict(swept or {}), spec=spec)


def probabilities(wrong: Sequence[int] = (), num_classes: int = len(CLASSES)) -> np.ndarray:
    """Rows that give the label 0.7, but the images `wrong`, which give the label the least."""
    found = np.full((len(LABELS), num_classes), 0.3 / (num_classes - 1), np.float32)
    found[np.arange(len(LABELS)), LABELS] = 0.7
    found[list(wrong), LABELS[list(wrong)]] = 0.01
    return found


def write_run(run: runs.Run, wrong: Mapping[str, Sequence[int]] | None = None, **changes: Any) -> None:
    """Writes what training and prediction leave of `run` under the working directory's results/."""
    folder = run_files.RUNS / run.name
    folder.mkdir(parents=True)
    weights = run.name.encode()
    (folder / "weights.safetensors").write_bytes(weights)
    identity = {"key": specs.key8(run.spec), "spec": json.loads(specs.specification(run.spec))}
    sha256 = hashlib.sha256(weights).hexdigest()
    info = {
        **identity, "weights_sha256": sha256, "manifest_sha256": "0a" * 32, "crop_px": 80,
        "mean": [33.0] * 3, "std": [70.0] * 3, "num_classes": len(CLASSES), "classes": CLASSES,
    }  # fmt: skip
    (folder / "weights.json").write_text(json.dumps(info))
    (folder / "run.json").write_text(json.dumps(identity | facts(run) | changes))
    (folder / "history.csv").write_text(history(run))
    for protocol, images in (wrong or {"single_crop": [0], "ten_crop": []}).items():
        write_prediction(run, protocol, sha256, probabilities(images))


def write_prediction(run: runs.Run, protocol: str, weights_sha256: str, found: np.ndarray, **changes: Any) -> None:
    """Writes predictions of the eight images."""
    spec = {
        "run_key": specs.key8(run.spec), "protocol": protocol, "revision": 1,
        "weights_sha256": weights_sha256, "manifest_sha256": MANIFEST_SHA256, "classes": CLASSES[: found.shape[1]],
    }  # fmt: skip
    images = np.array([f"{label}/{i}.png" for i, label in enumerate(LABELS)])
    path = prediction_file.prediction_file(run.name, protocol)
    predictions.write_prediction(path, predictions.keep(found, LABELS, images, spec | changes))


def facts(run: runs.Run) -> dict[str, Any]:
    """What run.json holds beside the run's identity."""
    return {
        "run": run.name, "dataset": run.spec.form.data, "architecture": run.spec.architecture,
        "recipe_name": run.recipe_name, "changes": run.changes, "seed": run.spec.seed,
        "train_seconds": 83.25, "images_per_second": 161.5, "epochs": 3, "parameters": 11181642,
        "multiply_adds": 300000000, "hardware": "2 cores of a test", "versions": {"torch": "2.14.1"},
        "commit": "0123abc", "dirty": False, "precision": "float32", "processes": 1, "threads": 2,
        "mlflow_run_id": None,
    }  # fmt: skip


def history(run: runs.Run, epochs: int = 3) -> str:
    """history.csv: a loss that falls, no validation."""
    start = 1 + sum(map(ord, run.name)) % 97 / 97
    lines = [
        "epoch,learning_rate,train_loss,train_error_percent,validation_loss,validation_top1_error_percent,"
        "validation_top5_error_percent,seconds,images_per_second"
    ]
    for epoch in range(1, epochs + 1):
        loss = start * math.exp(-epoch / (epochs / 3))
        lines.append(f"{epoch},0.05,{loss:.4f},{min(90.0, 30 * loss):.4f},,,,9.25,161.5")
    return "\n".join(lines) + "\n"


def data_spec(*named: runs.Run, swept: Sequence[str] = (), **more: Any) -> str:
    """`--spec` of score and report."""
    names = [run.name for run in named]
    return json.dumps({"runs": names, "protocols": ["single_crop", "ten_crop"], "swept": list(swept), **more})


def ensemble(name: str, *of: runs.Run, together: bool = False, average: str = "probabilities") -> dict[str, Any]:
    """An entry of the specification's `ensembles`."""
    protocols = [["single_crop", "ten_crop"]] if together else [["single_crop"], ["ten_crop"]]
    networks = ensembles.composition(run.spec.architecture for run in of)
    names = [run.name for run in of]
    return {"name": name, "networks": networks, "members": names, "protocols": protocols, "average": average}


def at(folder: Path) -> dict[str, Path]:
    """The files that score and report write."""
    return {
        "scores": folder / "results/scores.csv", "metrics": folder / "results/metrics.json",
        "curves": folder / "results/curves.csv", "report": folder / "results/report.html",
        "tables": folder / "results/tables", "figures": folder / "results/figures",
    }  # fmt: skip
