"""Trainings whose images are whitened: fitted once, the same in every process, and kept with the weights."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import small_training
import torch

from ilsvrc.artifacts import run_files
from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.artifacts.weights_info import WeightsInfo
from ilsvrc.config import runs, specs
from ilsvrc.config.recipe import Recipe
from ilsvrc.evaluation import load_network
from ilsvrc.loading import batches, random_crops
from ilsvrc.loading.views import View
from ilsvrc.models.common.zca_whitening import fitted
from ilsvrc.runtime.distributed import World
from ilsvrc.training import build, data, inputs, loop
from ilsvrc.training.whitening import NAME, check, fit_whitening, shard_moments

FREQUENT = str(Path(small_training.__file__).with_name("frequent_checkpoints"))
WHITE = {"normalization": "gcn_zca", "crop": "padding", "padding_px": 2}


def specification(crop_px: int = 16, **recipe: Any) -> specs.TrainSpec:
    given = {"epochs": 1, "batch_size": 16, "learning_rate": 0.02, "precision": "float32"} | WHITE | recipe
    return specs.TrainSpec(
        form=small_training.form(), architecture="nin_cifar", crop_px=crop_px, recipe=Recipe(**given)
    )


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_training.pack_digits(tmp_path_factory.mktemp("packed"), small_training.form())


@pytest.fixture(scope="module")
def manifest(packed: Path) -> Manifest:
    return Manifest.read(packed / "train.manifest.json")


@pytest.fixture(scope="module")
def trained(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[runs.Run, Path]:
    """A run on two processes, without MLflow, whose import is slow."""
    at, run = tmp_path_factory.mktemp("run"), runs.Run(recipe_name="small", changes={}, spec=specification())
    env = small_training.environment(PYTHONPATH=FREQUENT, CHECKPOINTS="as_ever")
    done = small_training.train(run, packed, at, env=env, processes=2, threads=2)
    assert done.returncode == 0, done.stderr
    return run, at


def test_two_processes_whiten_alike_and_the_weights_hold_what_predicting_needs(trained, packed, manifest):
    run, at = trained
    folder = at / run_files.RUNS / run.name
    info = WeightsInfo.read(folder / "weights.json")
    _, normalization = load_network.trained(info, folder / "weights.safetensors")
    mean, matrix = fitted(shard_moments(16, inputs.TrainingInputs(packed=packed / "train.beton"), World()))
    assert torch.allclose(normalization.center, mean, atol=1e-4)
    assert torch.allclose(normalization.matrix, matrix, atol=1e-4)
    shown = batches.open_testing("pillow", packed / "train.beton", views=[View(16, 16)], batch_size=96)
    seen = normalization(next(iter(shown)).images[:, 0])
    assert seen.shape == (96, 3, 16, 16)
    assert 0.05 < seen.var(dim=0).mean() < 1


def test_a_resume_has_the_same_bits_and_other_pictures_are_fitted_anew(trained, packed, manifest):
    run, at = trained
    work = at / "work" / specs.key8(run.spec)
    beside = inputs.TrainingInputs(packed=packed / "nowhere.beton", work=work)
    kept = safetensors.torch.load_file(work / NAME)
    whitening = fit_whitening(run.spec, manifest, beside, World())
    assert torch.equal(whitening.matrix, kept["matrix"]) and torch.equal(whitening.center, kept["mean"])
    with pytest.raises(ValueError, match=r"nowhere.beton is not there"):
        fit_whitening(run.spec, manifest.model_copy(update={"content_sha256": "other"}), beside, World())


def test_what_training_shows_is_cut_out_of_whitened_pictures(packed, manifest):
    spec = specification(crop="padding", padding="reflect")
    loaded = data.loader_crops(spec, manifest)
    assert (loaded.crop, loaded.crop_px, loaded.flip, loaded.short_side_px) == ("patch", 16, False, (16, 16))
    opened = batches.open_training("pillow", packed / "train.beton", policy=loaded, batch_size=16, seed=0)
    batch = next(iter(opened.epoch(3)))
    training = build.prepare(
        spec, manifest, 6, World(), "float32", inputs.TrainingInputs(packed=packed / "train.beton")
    )
    windows = training.normalization_inputs(batch, 3)
    side, keys = torch.full((16,), 16).numpy(), batch.indices.numpy()
    drawn = random_crops.draw(data.crops_of(spec, manifest), 0, 3, keys, side, side).crop_boxes[:, 0]
    assert windows.tolist() == drawn.tolist()
    assert windows[:, 2:4].abs().max() == 2 and 0 < windows[:, 4].sum() < 16
    assert training.normalization_inputs(batch, 4).tolist() != windows.tolist()
    assert training.objective.normalization.reflect
    assert float(loop.train_step(training, batch, 0)[0]) > 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"crop_px": 64}, "whitens images of 48 px at most, not 64; set crop_px"),
        ({"crop": "area_aspect"}, r"whitens whole images; set crop: padding, or crop: patch and short_side_px: \[16"),
        ({"crop": "patch"}, "whitens whole images"),  # of 18 px, by default
        (
            {"grows_px": (8, 16), "grows_epochs": (0, 1), "epochs": 2},
            "whitens images of one size; set grows_px: null",
        ),
        ({"crop": "patch", "short_side_px": (20, 20)}, "whitens whole images"),
    ],
)
def test_what_shows_no_whole_small_pictures_is_refused(changes, said):
    with pytest.raises(ValueError, match=f"normalization: gcn_zca {said}"):
        check(specification(**changes))


def test_whole_pictures_are_those_of_no_augmentation():
    check(specification(crop="patch", short_side_px=(16, 16)))
    check(specification(crop_px=48))
