"""Trainings of seconds: a few digits, packed small, and the command that trains on them."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ilsvrc.artifacts import run_files
from ilsvrc.config import runs, specs
from ilsvrc.config.recipe import Recipe
from ilsvrc.datasets._card import Sample
from ilsvrc.packing import manifest as manifests
from ilsvrc.packing.writer import pack

CLASSES = [str(label) for label in range(10)]
NUM_IMAGES = {"train": 96, "val": 30}


def form(short_side_px: int = 36) -> specs.FormSpec:
    return specs.FormSpec(data="digits", short_side_px=short_side_px, upscale=True, encoding="raw")


def digits() -> Any:
    """scikit-learn's digits: `images` `[N, 8, 8]` from 0 to 16, `target` `[N]`."""
    from sklearn.datasets import load_digits  # here, because importing it takes a second

    return load_digits()


def pack_digits(folder: Path, form: specs.FormSpec) -> Path:
    """Packs 96 digits to train on and 30 others, in `folder`."""
    start = 0
    for split, count in NUM_IMAGES.items():
        _pack(folder, split, form, digits().images[start : start + count], digits().target[start : start + count])
        start += count
    return folder


def _pack(folder: Path, split: str, form: specs.FormSpec, pictures: np.ndarray, labels: np.ndarray) -> None:
    samples, at = [], 0
    with (folder / f"{split}.archive").open("wb") as archive:
        for i, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
            content = _png(picture)
            samples.append(Sample(split, str(label), f"{i}.png", archive.name, at, archive.write(content)))
            at += len(content)
    packing = pack(samples, {name: int(name) for name in CLASSES}, folder, form, folder / f"{split}.beton", 1)
    manifest = manifests.describe(form, split, CLASSES, packing, samples)
    manifest.write(folder / f"{split}.manifest.json")


def _png(picture: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray((picture * 15).astype(np.uint8)).convert("RGB").save(content, "PNG")
    return content.getvalue()


def run(architecture: str = "resnet18", crop_px: int = 32, seed: int = 0, **recipe: Any) -> runs.Run:
    """A run with its true name."""
    quick = {"epochs": 3, "batch_size": 16, "learning_rate": 0.02, "precision": "float32"}
    short_side_px = 36 if crop_px == 32 else crop_px + 4
    spec = specs.TrainSpec(
        form=form(short_side_px), architecture=architecture, crop_px=crop_px, recipe=Recipe(**quick | recipe), seed=seed
    )
    return runs.Run(recipe_name="small", changes={}, spec=spec)


def command(run: runs.Run, packed: Path, **changes: Any) -> list[str]:
    """The command that trains `run` in the working directory; `changes` are arguments."""
    folder = run_files.RUNS / run.name
    given = {
        "spec": specs.specification(run.spec), "run": run.name,
        "train": packed / "train.beton", "train_manifest": packed / "train.manifest.json",
        "val": packed / "val.beton", "val_manifest": packed / "val.manifest.json",
        "weights": folder / "weights.safetensors", "weights_info": folder / "weights.json",
        "history": folder / "history.csv", "run_info": folder / "run.json",
        "work": Path("work") / specs.key8(run.spec), "log": "train.log", "loader": "pillow", **changes,
    }  # fmt: skip
    words = [f"--{key.replace('_', '-')}={value}" for key, value in given.items()]
    return [sys.executable, "-m", "ilsvrc.stages.train", *words]


def environment(**changes: str) -> dict[str, str]:
    """The environment of the tests, without what a person's MLflow would add; a PYTHONPATH goes before the tests'."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    if "PYTHONPATH" in changes and "PYTHONPATH" in kept:
        changes["PYTHONPATH"] += os.pathsep + kept["PYTHONPATH"]
    return kept | {"CUDA_VISIBLE_DEVICES": ""} | changes


def train(
    run: runs.Run, packed: Path, at: Path, env: dict[str, str] | None = None, **changes: Any
) -> "subprocess.CompletedProcess[str]":
    """Trains `run` with `at` as the working directory, and waits."""
    at.mkdir(exist_ok=True, parents=True)
    return subprocess.run(
        command(run, packed, **changes), cwd=at, env=env or environment(), capture_output=True, text=True, timeout=120
    )


def train_here(run: runs.Run, packed: Path, at: Path, **changes: Any) -> None:
    """Trains `run` in this process, without a launcher and MLflow, whose start takes longer than the training."""
    import torch  # here, because other tests of this module's users need none

    from ilsvrc.stages import train as stage
    from ilsvrc.training import job, worker

    at.mkdir(exist_ok=True, parents=True)
    given = stage.job_fields(stage.arguments().parse_args(command(run, packed, **changes)[3:]))
    with chdir(at), _signals_as_they_were(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "mlflow", None)
        patch.setattr(torch, "set_num_threads", lambda number: None)
        given["work"].mkdir(parents=True, exist_ok=True)
        worker.work(job.WorkerJob(**given))


@contextmanager
def _signals_as_they_were() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def start(run: runs.Run, packed: Path, at: Path, **changes: Any) -> "subprocess.Popen[str]":
    """Starts a training with `at` as the working directory."""
    at.mkdir(exist_ok=True, parents=True)
    return subprocess.Popen(
        command(run, packed, **changes), cwd=at, env=environment(), stderr=subprocess.PIPE, text=True
    )


def lines(text: str, but: Sequence[str] = ()) -> list[str]:
    """The lines of `text` without those that hold a word of `but`."""
    return [line for line in text.splitlines() if not any(word in line for word in but)]
