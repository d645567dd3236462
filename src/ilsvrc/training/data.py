"""Training and validation images of a recipe: batches, crops, augmentation, mixup and normalisation."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.config import specs
from ilsvrc.config.recipe import Recipe
from ilsvrc.evaluation import multilabel_metrics
from ilsvrc.loading import batches, mean_image_windows, random_crops
from ilsvrc.loading.contract import Batch
from ilsvrc.loading.views import View, square_px
from ilsvrc.models.common.normalization import Normalization, central
from ilsvrc.packing import beton
from ilsvrc.runtime import counter_rng, files
from ilsvrc.runtime.distributed import World
from ilsvrc.training import validation
from ilsvrc.training.augmentation import Augmentation
from ilsvrc.training.job import Inputs, Resources
from ilsvrc.training.mixup_cutmix import Mixing
from ilsvrc.training.state import Augment, Mixup, NormalizationInputs

COLOURS = ("lighting", "lighting_unit", "brightness", "contrast", "saturation", "hue", "rand_augment", "erasing")
LOOK = (
    "crop", "flip", "short_side_px", "area", "aspect", "aspect_draw", "swap_aspect", "padding_px", "padding",
    "interpolation",
)  # fmt: skip


@contextmanager
def opened(
    inputs: Inputs, resources: Resources, spec: specs.TrainSpec, manifest: Manifest, world: World
) -> Iterator[tuple[batches.TrainingBatches, batches.TestingBatches]]:
    """Batches to train on, and to validate on: training images that the recipe holds out, else the test split.

    Validation on the test split chooses nothing, unless the recipe says `monitor: test`.
    """
    recipe = spec.recipe
    shard: dict[str, Any] = {"rank": world.rank, "world_size": world.size, "workers": resources.threads}
    train_places = validation_places = None
    if recipe.validation_fraction:
        labels = beton.open_packed(inputs.train).labels
        train_places, validation_places = held_out(labels, manifest, recipe.validation_fraction, spec.seed)
    training = batches.open_training(
        resources.loader, inputs.train, policy=loader_crops(spec, manifest), batch_size=recipe.batch_size,
        seed=spec.seed, subset=train_places, order=recipe.order, repeats=recipe.repeats,
        crop_px_in=partial(recipe.crop_px_in, crop_px=spec.crop_px) if recipe.grows_px else None, **shard,
    )  # fmt: skip
    validation = inputs.val if validation_places is None else inputs.train
    center = [View(short_side_px(spec), spec.crop_px)]
    micro_batch = max(1, recipe.batch_size // (world.size * max(1, resources.accumulate)))  # fits memory in training
    testing = batches.open_testing(
        resources.loader, validation, views=center, batch_size=micro_batch, subset=validation_places, **shard
    )
    with closing(training), closing(testing):
        yield training, testing


def held_out(labels: np.ndarray, manifest: Manifest, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of the images to train on and to validate on, a part of each class."""
    if manifest.label_sets is None:
        return validation.held_out(labels, fraction, seed)
    members = multilabel_metrics.members(manifest.label_sets, len(manifest.classes))
    return validation.held_out_multilabel(labels, members, fraction, seed)


def crops_of(spec: specs.TrainSpec, manifest: Manifest) -> random_crops.CropPolicy:
    """Crop policy of training; padding is 0 after normalisation."""
    zero = {"unit": [128] * 3, "none": [0] * 3}.get(spec.recipe.normalization, [round(m) for m in manifest.mean])
    chosen = {name: getattr(spec.recipe, name) for name in LOOK}
    return random_crops.CropPolicy(crop_px=spec.crop_px, fill=(zero[0], zero[1], zero[2]), **chosen)


def loader_crops(spec: specs.TrainSpec, manifest: Manifest) -> random_crops.CropPolicy:
    """Crop policy of the loader: that of training, or the whole image, which is whitened before it is cropped."""
    policy = crops_of(spec, manifest)
    if spec.recipe.normalization != "gcn_zca":
        return policy
    return replace(policy, crop="patch", short_side_px=(spec.crop_px, spec.crop_px), flip=False)


def short_side_px(spec: specs.TrainSpec) -> int:
    """Short side of validation images before the central crop: the default, or the nearest in training.

    The whole of small images; VGG's Q = S for one S, and 256 of ResNet's 256 to 480.
    """
    recipe, default_px = spec.recipe, square_px(spec.crop_px)
    if recipe.crop == "padding":
        return spec.crop_px
    if recipe.short_side_px is None or recipe.crop == "area_aspect":
        return default_px
    low, high = recipe.short_side_px
    return min(max(default_px, low), high)


def normalization_of(spec: specs.TrainSpec, manifest: Manifest, mean_image: Path | None) -> Normalization:
    """Normalisation of a recipe; its mean image has the size of the images that are cropped."""
    image = None
    if spec.recipe.normalization == "mean_image":
        if mean_image is None or not mean_image.exists():
            raise ValueError(f"normalization: mean_image wants {mean_image}, which is not there; run snakemake again")
        image = mean_image_windows.scaled(torch.from_numpy(read_mean_image(mean_image)), short_side_px(spec))
    return Normalization(manifest.mean, manifest.std, spec.recipe.normalization, image)


def read_mean_image(path: Path) -> np.ndarray:
    """The mean image float32 `[S, S, 3]` that packing wrote.

    Raises:
        files.DamagedError: the file is cut short or no array.
    """
    try:
        image: np.ndarray = np.load(path)
    except (ValueError, EOFError) as error:
        raise files.DamagedError(path, f"is no mean image ({error})") from None
    return image


def mean_image_inputs(
    spec: specs.TrainSpec, manifest: Manifest, normalization: Normalization
) -> NormalizationInputs | None:
    """Windows of the mean image that lie under a batch's crops; None: the central window, for all.

    Where crops leave the central square or change its scale there is nothing under them (He et al. 2015 subtract one
    mean image of the crop's size from all); while crops grow, the mean image grows with them.
    """
    image, policy = normalization.mean_image, crops_of(spec, manifest)
    if image is None or (spec.recipe.crop not in mean_image_windows.ALIGNED and spec.recipe.grows_px is None):
        return None

    @cache
    def under_all(side: int) -> Tensor:
        return central(mean_image_windows.scaled(image, round(len(image) * side / spec.crop_px)), side, side)

    def means(batch: Batch, epoch: int) -> Tensor | None:
        side = batch.images.shape[1]
        if policy.crop not in mean_image_windows.ALIGNED:
            return under_all(side).expand(len(batch.labels), -1, -1, -1)
        return None if batch.boxes is None else mean_image_windows.mean_image_crops(image, batch.boxes, policy.at(side))

    return means


def augmentation_of(recipe: Recipe, manifest: Manifest) -> Augment | None:
    """Augmentation of a batch on the device; None if the recipe asks for none."""
    statistics = (manifest.mean, manifest.std, manifest.eigenvalues, manifest.eigenvectors)
    augmentation = Augmentation(*statistics, **{name: getattr(recipe, name) for name in COLOURS})
    if augmentation.changes_nothing:
        return None
    return lambda batch, seed, epoch: augmentation(batch.images, seed, epoch, sample_keys(batch))


def sample_keys(batch: Batch) -> Tensor:
    """Keys of a batch's images for random numbers `[N]`: each showing of an image in an epoch has its own."""
    if batch.repeat_index is None:
        return batch.indices
    return torch.from_numpy(counter_rng.pack_keys(batch.indices.numpy(), batch.repeat_index.numpy()))


def mixing_of(recipe: Recipe, num_classes: int, seed: int, world: World) -> Mixup | None:
    """Mixup or CutMix of pairs of neighbours: the same at any number of processes.

    Raises:
        ValueError: a process's shard of a batch would cut a pair.
    """
    if not recipe.mixup and not recipe.cutmix:
        return None
    if world.size > 1 and recipe.batch_size % (2 * world.size):
        raise ValueError(
            f"mixup and cutmix mix pairs: batch_size = {recipe.batch_size} is not a multiple of twice the "
            f"{world.size} processes; set it by training: {{batch_size: ...}} in params.yaml, or processes (profile)"
        )
    mixing = Mixing(recipe.mixup, recipe.cutmix, 2 if recipe.batch_size % 2 == 0 else None)
    return lambda images, labels, epoch, step: mixing(images, labels, num_classes, seed, epoch, step)
