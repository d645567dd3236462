"""Every recipe trains: two real steps of a network that it is for, on a few digits.

`make test` tries as many recipes as use every mechanism once, `make test-all` tries all.
"""

import math
import re
from fnmatch import fnmatchcase
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import records
import safetensors.torch
import small_training
import torch

from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.config import registry, specs
from ilsvrc.config.recipe import Recipe
from ilsvrc.config.recipe_files import resolve_recipe
from ilsvrc.config.schema import read_yaml
from ilsvrc.loading import batches
from ilsvrc.loading.views import View
from ilsvrc.models.common import reference_counts
from ilsvrc.runtime import files
from ilsvrc.runtime.distributed import World
from ilsvrc.training import build, data, loop
from ilsvrc.training.inputs import TrainingInputs
from ilsvrc.training.job import Inputs, Outputs, Resources, WorkerJob

RECIPES = registry.names("recipes")
PARAMETERS = {name: int(row["parameters"]) for name, row in reference_counts.architectures().items()}
NOBODYS = {"vgg_384": "vgg_c", "vgg_jittered": "vgg_c", "bn_inception_x5": "bn_inception",
           "bn_inception_x30": "bn_inception", "quick": "resnet18", "fast": "resnet18"}  # fmt: skip
# Together they use every key of a recipe and every choice of it; `make test-all` runs the others.
FAST = {"bag_of_tricks", "cuda_convnet_cifar", "densenet", "fast", "ghostnet", "googlenet", "inception_v4", "levit",
        "nin", "preact_resnet_cifar", "shufflenet", "stochastic_depth_svhn", "vgg_384", "vgg_jittered",
        "wrn_cifar", "zfnet"}  # fmt: skip
TEACHER = "shufflenet_g1_0_25x"
EACH = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in RECIPES]
STEPS = 2


def smallest_network(recipe: str) -> str:
    """The network with the fewest parameters of those that the recipe is for."""
    patterns = read_yaml(registry.PACKAGE / registry.FOLDERS["recipes"] / f"{recipe}.yaml").get("paper_of", ())
    own = [name for name in PARAMETERS if any(fnmatchcase(name, pattern) for pattern in patterns)]
    return min(own, key=PARAMETERS.__getitem__) if own else NOBODYS.get(recipe, "resnet50_b")


@cache
def smallest_px(architecture: str) -> int:
    """The least side that the network takes, as its refusal of a smaller one says."""
    with torch.device("meta"), pytest.raises(ValueError, match="px or more, not 3") as error:
        registry.architecture(architecture)(num_classes=10, input_px=3)
    found = re.search(r"of (\d+) px or more", str(error.value))
    assert found
    return int(found.group(1))


def specification(recipe_name: str) -> specs.TrainSpec:
    """A run of the recipe that differs in sizes only: of batches, groups and pictures, and of the teacher."""
    architecture = smallest_network(recipe_name)
    whole = resolve_recipe(recipe_name, architecture, {})
    crop_px = max(16, smallest_px(architecture))  # padding by 4 px may leave nothing of smaller pictures
    size = 12 if whole.repeats == 3 else 8
    changes: dict[str, Any] = {"batch_size": size, "precision": "float32"}
    if whole.batch_norm_group:
        changes["batch_norm_group"] = 4 if whole.batch_norm_group < whole.batch_size else size
    if whole.short_side_px:
        scale = crop_px / (whole.crop_px or registry.input_px(architecture))
        changes["short_side_px"] = [max(crop_px, round(side * scale)) for side in whole.short_side_px]
    if whole.teacher:
        changes["teacher"] = TEACHER
    recipe = resolve_recipe(recipe_name, architecture, changes)
    return specs.TrainSpec(
        form=small_training.form(), architecture=architecture, crop_px=crop_px, recipe=recipe, seed=0
    )


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packed digits, with their mean image."""
    folder = small_training.pack_digits(tmp_path_factory.mktemp("digits"), small_training.form())
    shown = batches.open_testing("pillow", folder / "train.beton", views=[View(36, 36)], batch_size=96)
    np.save(folder / "train.mean_image.npy", next(iter(shown)).images[:, 0].float().mean(dim=0).numpy())
    return folder


def weights_of(architecture: str, crop_px: int, digits: Path) -> Path:
    """Untrained weights of a network as a run leaves them."""
    recipe = Recipe(batch_size=8, epochs=1, learning_rate=0.1)
    spec = specs.TrainSpec(
        form=small_training.form(), architecture=architecture, crop_px=crop_px, recipe=recipe, seed=0
    )
    folder = digits / architecture
    folder.mkdir(exist_ok=True)
    path = folder / "weights.safetensors"
    torch.manual_seed(0)
    safetensors.torch.save_file(build.build(spec, 10).state_dict(), path)
    info = records.weights_info(
        spec=spec.model_dump(), weights_sha256=files.file_sha256(path), num_classes=10, crop_px=crop_px,
        mean=[100.0] * 3, std=[60.0] * 3,
    )  # fmt: skip
    info.write(folder / "weights.json")
    return path


def job(digits: Path, spec: specs.TrainSpec) -> WorkerJob:
    start, teacher = spec.recipe.start_from, spec.recipe.teacher
    packed = Inputs(
        digits / "train.beton", digits / "train.manifest.json", digits / "val.beton", digits / "val.manifest.json",
        start=weights_of(start, spec.crop_px, digits) if start else None,
        teacher=weights_of(teacher, smallest_px(teacher), digits) if teacher else None,
    )  # fmt: skip
    nowhere = Outputs(*map(Path, ("weights.safetensors", "weights.json", "history.csv", "run.json")))
    return WorkerJob(spec, "digits/a/recipe/seed=0-0", packed, nowhere, digits, Resources(loader="pillow"))


@pytest.mark.parametrize("recipe_name", EACH)
def test_two_steps_of_every_recipe_have_finite_losses_and_move_the_weights(recipe_name: str, digits: Path):
    spec = specification(recipe_name)
    asked, manifest = job(digits, spec), Manifest.read(digits / "train.manifest.json")
    with data.opened(asked.inputs, asked.resources, spec, manifest, World()) as (training_batches, watched):
        given = TrainingInputs.of(asked)
        training = build.prepare(spec, manifest, len(training_batches), World(), "float32", given)
        before = {name: p.detach().clone() for name, p in training.network.named_parameters()}
        loop.in_training_mode(training)
        steps = islice(enumerate(training_batches.epoch(0)), STEPS)
        losses = [float(loop.train_step(training, batch, step)[0]) for step, batch in steps]
        assert len(next(iter(watched)).labels) == min(spec.recipe.batch_size, watched.num_images)
    assert len(losses) == STEPS
    assert all(map(math.isfinite, losses))
    after = dict(training.network.named_parameters())
    assert all(bool(p.isfinite().all()) for p in after.values())
    moved = [name for name, p in before.items() if not torch.equal(p, after[name])]
    assert len(moved) > len(before) / 2


def test_all_else_is_the_recipes_own():
    sizes = {"batch_size", "batch_norm_group", "short_side_px", "precision", "teacher"}
    for name in RECIPES:
        spec, whole = specification(name), resolve_recipe(name, smallest_network(name), {}).model_dump()
        assert {key for key, value in spec.recipe.model_dump().items() if value != whole[key]} <= sizes
    assert set(NOBODYS) | FAST <= set(RECIPES)


def mechanisms(recipe_name: str) -> set[tuple[str, Any]]:
    """Keys that a recipe sets other than by default, each with its choice, or "set" where it is a number or a list."""
    whole = resolve_recipe(recipe_name, smallest_network(recipe_name), {}).model_dump()
    unset = {key: field.get_default(call_default_factory=True) for key, field in Recipe.model_fields.items()}
    return {
        (key, value if value is None or isinstance(value, (str, bool)) else "set")
        for key, value in whole.items()
        if value != unset[key]
    }


def test_the_recipes_that_every_run_of_the_tests_tries_use_all_that_any_recipe_uses():
    used = {name: mechanisms(name) for name in RECIPES}
    assert set().union(*(used[name] for name in FAST)) == set().union(*used.values())


def test_a_rate_that_a_network_has_not_is_refused_but_for_zero():
    spec = small_training.run("bn_inception", dropout=0.0, drop_path=0.0).spec
    with torch.device("meta"):
        assert build.build(spec, 10)
        with pytest.raises(ValueError, match="bn_inception has no dropout"):
            build.build(small_training.run("bn_inception", dropout=0.1).spec, 10)
