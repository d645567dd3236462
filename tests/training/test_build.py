"""What a recipe's keys do together: lengths, transfer, averages, groups, mean images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import records
import small_training
import torch

from ilsvrc.artifacts import manifest as manifests
from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.config import runs, specs
from ilsvrc.config.params import Params
from ilsvrc.config.recipe import Recipe
from ilsvrc.config.recipe_files import resolve_recipe
from ilsvrc.evaluation import predict_split
from ilsvrc.loading.batches import Batch
from ilsvrc.pipeline.wiring import Pipeline
from ilsvrc.runtime.distributed import World
from ilsvrc.training import batch_norm, build, data
from ilsvrc.training.job import Inputs, Resources

LEAST = {"epochs": 2, "batch_size": 8, "learning_rate": 0.1}
BOOK = {"dataset": "digits", "architectures": ["resnet18"], "recipe": "quick", "protocols": ["single_crop"]}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_training.pack_digits(tmp_path_factory.mktemp("digits"), small_training.form())


def the_run(**training: Any) -> runs.Run:
    (run,) = runs.expand(Params(**BOOK | {"training": training}))
    return run


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"warmup_epochs": 5}, (5.0, 0, (), (32000, 48000))),
        ({"step_epochs": [100, 150]}, (0.0, 400, (100, 150), ())),
        ({"epochs": 9}, (0.0, 400, (), (32000, 48000))),
    ],
)
def test_a_length_in_epochs_replaces_the_recipes_in_iterations(given: dict[str, Any], expected: tuple[Any, ...]):
    recipe = resolve_recipe("resnet_cifar", "resnet110_cifar", given)
    keys = ("warmup_epochs", "warmup_iterations", "step_epochs", "step_iterations")
    assert tuple(getattr(recipe, key) for key in keys) == expected


def test_an_exponential_decay_in_iterations_replaces_the_recipes_in_epochs():
    recipe = resolve_recipe("googlenet", "googlenet", {"decay_iterations": 320000})
    assert (recipe.decay_epochs, recipe.decay_iterations) == (None, 320000)


@pytest.mark.parametrize(
    "both",
    [
        {"warmup_epochs": 1, "warmup_iterations": 3},
        {"schedule": "step", "step_epochs": [1], "step_iterations": [3]},
        {"schedule": "exponential", "decay_epochs": 1, "decay_iterations": 3},
    ],
)
def test_a_length_is_in_epochs_or_in_iterations(both: dict[str, Any]):
    with pytest.raises(ValueError, match=r"give (warmup|step|decay)_epochs or .*_iterations, one of them"):
        Recipe(**LEAST | both)


def test_an_average_that_would_never_begin_is_an_error():
    with pytest.raises(ValueError, match="averaging_from_epoch = 200 must be below epochs = 90"):
        resolve_recipe("googlenet", "googlenet", {"epochs": 90})
    assert resolve_recipe("googlenet", "googlenet", {"epochs": 90, "averaging": "none"}).epochs == 90


def test_every_rate_of_a_recipe_grows_with_the_batch():
    sizes = {"batch_size": 32, "reference_batch_size": 8, "epochs": 10, "warmup_epochs": 2}
    schedule = build.schedule_of(Recipe(learning_rate=0.1, warmup_from=0.01, lowest_rate=0.02, **sizes), 1)
    assert [schedule.learning_rate(step) for step in (0, 1, 2, 10)] == pytest.approx([0.04, 0.22, 0.4, 0.08])


def test_levits_rates_are_those_of_its_script():
    schedule = build.schedule_of(resolve_recipe("paper", "levit_256", {"batch_size": 8192, "repeats": 1}), 100)
    assert [schedule.learning_rate(step) for step in (0, 250, 500)] == pytest.approx([1e-6, 0.0040005, 0.008])
    assert schedule.learning_rate(100_000) == pytest.approx(1e-5)


@pytest.mark.parametrize("given", [{}, {"warmup_epochs": 1, "warmup_rate": 0.01}])
def test_a_warm_up_from_a_rate_is_one_that_rises(given: dict[str, Any]):
    with pytest.raises(ValueError, match="warmup_from wants warmup_epochs or warmup_iterations, and no warmup_rate"):
        Recipe(**LEAST | given, warmup_from=0.01)


def test_held_out_images_are_not_called_test_images():
    with pytest.raises(ValueError, match=r"monitor: test .* validation_fraction"):
        resolve_recipe("alexnet", "alexnet", {"validation_fraction": 0.1})
    changed = {"validation_fraction": 0.1, "monitor": "validation"}
    assert resolve_recipe("alexnet", "alexnet", changed).validation_fraction == 0.1


def test_how_a_teacher_is_listened_to_changes_no_teacher():
    plain = the_run(teacher="resnet34").teacher
    how = the_run(teacher="resnet34", temperature=4, distillation="hard", distillation_weight=0.9).teacher
    assert plain is not None and how is not None
    assert how.name == plain.name


@pytest.mark.parametrize(("normalization", "expected"), [("mean_image", ["train.mean_image.npy"]), ("mean", [])])
def test_only_a_run_that_subtracts_the_mean_image_waits_for_it(normalization: str, expected: list[str]):
    flow = Pipeline(Params(**BOOK | {"training": {"normalization": normalization}}))
    (run,) = flow.runs
    assert flow.mean_image(run) == [f"{flow.packed}/{name}" for name in expected]


@pytest.mark.parametrize(
    ("architecture", "training", "expected"),
    [
        ("vgg_a", {}, (80, (91, 91))),  # of 224 px from 256
        ("resnet18", {"crop_px": 112}, (112, (128, 240))),  # of 224 px from 256 to 480
        ("resnet18", {"crop_px": 224}, (224, (256, 480))),
        ("vgg_a", {"short_side_px": [90, 100]}, (80, (90, 100))),
    ],
)
def test_papers_sizes_before_the_crop_go_with_the_crop(
    architecture: str, training: dict[str, Any], expected: tuple[int, tuple[int, int]]
):
    book = BOOK | {"architectures": [architecture], "recipe": "paper", "training": training}
    (run,) = runs.expand(Params(**book))
    assert (run.spec.crop_px, run.spec.recipe.short_side_px) == expected
    assert ("short_side_px" in run.changes) == ("short_side_px" in training)


def test_a_file_to_start_from_leaves_the_runs_folder_four_deep(tmp_path):
    (tmp_path / "resnet.pth").write_bytes(b"weights")
    name = the_run(start_from=str(tmp_path / "resnet.pth")).name
    assert name.startswith("digits/resnet18/quick,start_from=resnet.pth/seed=0-")


def spec_of(architecture: str = "resnet18", crop_px: int = 32, **recipe: Any) -> specs.TrainSpec:
    return specs.TrainSpec(
        form=specs.FormSpec(data="digits"), architecture=architecture, crop_px=crop_px, recipe=Recipe(**LEAST | recipe)
    )


@pytest.mark.parametrize(
    ("crop_px", "training", "expected"),
    [
        (224, {}, 256),
        (224, {"short_side_px": [256, 480]}, 256),
        (224, {"short_side_px": [384, 384]}, 384),  # VGG: Q = S
        (32, {"short_side_px": [32, 32]}, 32),
        (24, {"short_side_px": [32, 32]}, 32),  # cuda-convnet
        (32, {"crop": "padding"}, 32),
        (224, {"crop": "area_aspect", "short_side_px": [384, 384]}, 256),  # which has no use for it
    ],
)
def test_pictures_are_watched_at_a_size_that_training_showed(crop_px: int, training: dict[str, Any], expected: int):
    assert data.short_side_px(spec_of(crop_px=crop_px, **training)) == expected


def mixed(recipe: Recipe, size: int) -> list[torch.Tensor]:
    """A batch in shares, as so many processes mix it: pictures, then classes."""
    mix = data.mixing_of(recipe, 10, 0, World(0, size))
    images = torch.arange(recipe.batch_size * 3.0).reshape(-1, 1, 1, 3)
    labels = torch.arange(recipe.batch_size) % 10
    shares = zip(images.chunk(size), labels.chunk(size), strict=True)
    return [torch.cat(parts) for parts in zip(*(mix(*share, 0, 5) for share in shares), strict=True)]


@pytest.mark.parametrize("group", [None, 4, 8])
def test_pictures_are_mixed_alike_at_any_number_of_processes(group: int | None):
    recipe = Recipe(**LEAST | {"mixup": 1.0, "batch_norm_group": group})
    alone, four = mixed(recipe, 1), mixed(recipe, 4)
    assert not torch.equal(alone[0].flatten(), torch.arange(24.0))
    assert all(map(torch.equal, alone, four))


def test_pictures_that_cannot_be_mixed_two_and_two_are_an_error():
    recipe = Recipe(**LEAST | {"mixup": 1.0, "batch_size": 10})
    with pytest.raises(ValueError, match=r"batch_size = 10 is not a multiple of twice the 4 processes"):
        mixed(recipe, 4)


@pytest.mark.parametrize(
    ("accumulate", "size", "group", "said"),
    [
        (0, 1, None, "accumulate = 0 micro-batches cannot be made of the 8 images"),
        (9, 1, None, "accumulate = 9 micro-batches cannot be made of the 8 images"),
        (3, 2, None, "accumulate = 3 micro-batches cannot be made of the 2 images"),
        (4, 1, 4, "batch_norm_group = 4"),
        (2, 2, 4, "batch_norm_group = 4"),
    ],
)
def test_parts_of_a_batch_leave_whole_groups(accumulate: int, size: int, group: int | None, said: str):
    batch_size = 4 if accumulate == 3 else 8
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
    with pytest.raises(ValueError, match=said):
        batch_norm.group_statistics(network, group, batch_size, World(0, size), accumulate)


def test_parts_of_a_batch_of_whole_groups_have_the_groups_of_the_whole():
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
    batch_norm.group_statistics(network, 2, 8, World(), 2)
    images = torch.randn(8, 3, 2, 2)
    parts = torch.cat([network(part) for part in images.chunk(2)])
    expected = torch.cat([torch.nn.BatchNorm2d(3)(pair) for pair in images.chunk(4)])
    assert torch.allclose(parts, expected, atol=1e-6)


def test_a_network_without_batch_norm_takes_any_parts():
    batch_norm.group_statistics(torch.nn.Sequential(torch.nn.Linear(3, 3)), 8, 8, World(), 4)


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [("float16", "cpu", "float32"), ("float16", "cuda", "float16"), ("bfloat16", "cpu", "bfloat16")],
)
def test_a_network_of_half_precision_is_tested_without_a_gpu_too(precision: str, device: str, expected: str):
    weights = records.weights_info(spec=json.loads(specs.specification(spec_of(precision=precision))))
    assert predict_split.test_precision(weights, "auto", torch.device(device)) == expected


@pytest.mark.parametrize(("accumulate", "size", "expected"), [(1, 1, 8), (2, 1, 4), (2, 2, 2)])
def test_watching_takes_no_more_memory_than_training(accumulate: int, size: int, expected: int, packed: Path):
    train, val = packed / "train.beton", packed / "val.beton"
    given = Inputs(train, manifests.beside(train), val, manifests.beside(val))
    resources, manifest = Resources(loader="pillow", accumulate=accumulate), Manifest.read(given.train_manifest)
    with data.opened(given, resources, spec_of(), manifest, World(0, size)) as (_, watched):
        assert len(next(iter(watched)).labels) == expected


GROWS = {"grows_px": (16, 32), "grows_epochs": (0, 1)}


@pytest.mark.parametrize(("architecture", "crop_px"), [("alexnet", 80), ("vgg_a", 64), ("cuda_convnet_cifar", 32)])
def test_a_network_that_knows_one_size_refuses_pictures_that_grow(architecture: str, crop_px: int):
    spec = spec_of(architecture, crop_px, **GROWS)
    with pytest.raises(ValueError, match=rf"grows_px: {architecture} .* cannot take crops of {crop_px // 2} px .*null"):
        build.check_sizes(spec)
    build.check_sizes(spec_of(architecture, crop_px))


def test_a_network_of_any_size_takes_pictures_that_grow():
    build.check_sizes(spec_of("resnet18", 64, **GROWS))


@pytest.mark.parametrize(("crop", "expected"), [("patch", 5.125), ("area_aspect", 31.5)])
def test_the_mean_image_grows_with_the_pictures(crop: str, expected: float, tmp_path: Path):
    """Its 64 columns are 0, 1, 2, ...: the fourth of 40 is of the old ones from 4.8 to 6.4, scaled twice."""
    np.save(tmp_path / "mean.npy", np.tile(np.arange(64, dtype=np.float32)[None, :, None], (64, 1, 3)))
    spec = spec_of(crop_px=64, crop=crop, normalization="mean_image", **GROWS)
    manifest = records.manifest(mean=[0.0] * 3, std=[1.0] * 3)
    means = data.mean_image_inputs(spec, manifest, data.normalization_of(spec, manifest, tmp_path / "mean.npy"))
    windows = torch.tensor([[40, 40, 3, 0, 0]])
    under = means(Batch(torch.zeros(1, 32, 32, 3), torch.zeros(1, dtype=torch.int64), torch.zeros(1), None, windows), 0)
    assert under.shape == (1, 32, 32, 3)
    columns = 0 if crop == "patch" else slice(None)
    assert under[0, 0, columns, 0].mean().item() == pytest.approx(expected, abs=0.1)
