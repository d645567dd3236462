"""Trainings that need another's weights: a start, a frozen trunk, a teacher."""

import json
from pathlib import Path

import pytest
import small_training
import torch
from safetensors.torch import load_file

from ilsvrc.artifacts import run_files
from ilsvrc.config import runs


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    return small_training.pack_digits(tmp_path_factory.mktemp("packed"), small_training.form())


@pytest.fixture(scope="module")
def first(packed, tmp_path_factory) -> tuple[Path, runs.Run]:
    """A training, and where it stands."""
    at, run = tmp_path_factory.mktemp("first"), small_training.run()
    small_training.train_here(run, packed, at)
    return at, run


def weights_of(at: Path, run: runs.Run) -> Path:
    return at / run_files.RUNS / run.name / "weights.safetensors"


def after(first: tuple[Path, runs.Run], packed: Path, at: Path, role: str, **recipe: object) -> dict[str, torch.Tensor]:
    """What a run that has `first` in the `role` of start or teacher learns."""
    given = small_training.run(epochs=1, **recipe)
    spec = given.spec.model_copy(update={role: first[1].spec})
    run = given.model_copy(update={"spec": spec})
    small_training.train_here(run, packed, at, **{role: weights_of(*first)})
    return load_file(weights_of(at, run))


def test_a_new_classifier_learns_on_a_frozen_trunk(first, packed, tmp_path):
    learned = after(first, packed, tmp_path, "start", start_from="resnet18", trained_layers="classifier")
    before = load_file(weights_of(*first))
    moved = {name for name in before if not torch.equal(learned[name], before[name])}
    assert moved == {"fc.weight", "fc.bias"}  # neither trunk nor running statistics


def test_the_last_stage_learns_too(first, packed, tmp_path):
    learned = after(first, packed, tmp_path, "start", start_from="resnet18", trained_layers=1)
    before = load_file(weights_of(*first))
    moved = {name.split(".")[0] for name in before if not torch.equal(learned[name], before[name])}
    assert moved == {"fc", "layer4"}


def test_everything_learns_from_where_the_other_run_ended(first, packed, tmp_path):
    learned = after(
        first, packed, tmp_path, "start", start_from="resnet18", start_layers="all", trunk_rate=0.1, learning_rate=1e-9
    )
    before = load_file(weights_of(*first))
    own = [name for name in before if name.endswith(("weight", "bias"))]
    assert all(torch.allclose(learned[name], before[name], atol=1e-5) for name in own)


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_a_pupil_learns_from_a_teacher(first, packed, tmp_path, kind):
    taught = {"teacher": "resnet18", "distillation": kind, "temperature": 2.0}
    learned = after(first, packed, tmp_path / "taught", "teacher", **taught)
    alone = small_training.run(epochs=1)
    small_training.train_here(alone, packed, tmp_path / "alone")
    assert not torch.equal(learned["fc.weight"], load_file(weights_of(tmp_path / "alone", alone))["fc.weight"])
    (info,) = (tmp_path / "taught" / run_files.RUNS).rglob("weights.json")
    assert json.loads(info.read_text())["spec"]["teacher"]["architecture"] == "resnet18"


def test_the_mean_image_goes_with_the_weights(packed, tmp_path):
    import numpy as np

    image = np.random.default_rng(0).uniform(0, 255, (36, 36, 3)).astype(np.float32)
    np.save(packed / "train.mean_image.npy", image)
    run = small_training.run(epochs=1, normalization="mean_image", learning_rate=1e-4)
    small_training.train_here(run, packed, tmp_path)
    kept = load_file(weights_of(tmp_path, run))["normalization.mean_image"]
    assert kept.shape == (37, 37, 3)  # 32 * 256 / 224
    assert kept.mean().item() == pytest.approx(image.mean(), rel=1e-3)
