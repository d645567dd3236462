"""Set-up of a probe: a run that depends on no other and takes little memory, and a batch of different classes."""

from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.config import specs
from ilsvrc.loading import batches
from ilsvrc.loading.contract import Batch
from ilsvrc.loading.views import View
from ilsvrc.packing.beton import open_packed
from ilsvrc.runtime.distributed import World
from ilsvrc.training import batch_norm, build, data
from ilsvrc.training.inputs import TrainingInputs
from ilsvrc.training.prefetch import ahead
from ilsvrc.training.preflight.probe import Probe
from ilsvrc.training.schedule import Schedule

NUM_IMAGES = 8
WITHOUT_DRAWS = {"dropout": 0.0, "drop_path": 0.0, "label_smoothing": 0.0, "precision": "float32"}


class Plan(NamedTuple):
    """Schedule of a recipe, and a line on its batches."""

    schedule: Schedule
    message: str


def plan(packed: Path, spec: specs.TrainSpec, manifest: Manifest, loader: str) -> Plan:
    """The recipe's schedule for the packed images.

    Raises:
        ValueError: recipe, network and images do not fit each other.
    """
    recipe = spec.recipe
    with torch.device("meta"):
        build.build(spec, 2)  # refuses rates that the network has not, which are 0 from here on
    opened = batches.open_training(
        loader, packed, policy=data.loader_crops(spec, manifest), batch_size=recipe.batch_size, seed=spec.seed,
        order=recipe.order, repeats=recipe.repeats,
    )  # fmt: skip
    with closing(opened):
        batch_norm.check_groups(recipe.batch_norm_group, recipe.batch_size, 1)
        schedule = build.schedule_of(recipe, len(opened))
    end = f"{schedule.epochs} epochs of {len(opened)} steps of {recipe.batch_size} images"
    rates = f"learning rate {schedule.learning_rate(0):.3g} to {schedule.rate:.3g}"
    return Plan(schedule, f"{end}, {spec.crop_px} px, {rates}")


def probe(
    packed: Path, spec: specs.TrainSpec, manifest: Manifest, world: World, planned: Schedule, loader: str,
    threads: int,
) -> Probe:  # fmt: skip
    """The training as the recipe starts it, in float32 and without random draws, and a batch of different classes."""
    batch = batch_of_all_classes(packed, spec, world, loader)
    torch.set_num_threads(threads)  # ffcv's import sets it to one
    group = spec.recipe.batch_norm_group
    shared = group if isinstance(group, int) and len(batch.labels) % group == 0 else None
    small = changed(standalone(spec, len(batch.labels)), **WITHOUT_DRAWS, batch_norm_group=shared)
    mean_image = packed.with_suffix(".mean_image.npy")
    inputs = TrainingInputs(packed=packed, mean_image=mean_image, loader=loader, threads=threads)
    training = build.prepare(small, manifest, 1, world, "float32", inputs)
    training.augment = training.mixup = training.weight_average = None
    training.network.train()
    return Probe(spec, training, batch, planned, len(manifest.classes))


def batch_of_all_classes(packed: Path, spec: specs.TrainSpec, world: World, loader: str) -> Batch:
    """Central crops of NUM_IMAGES training images, of as many classes as there are, on the device."""
    center = View(data.short_side_px(spec), spec.crop_px)
    opened = batches.open_testing(
        loader, packed, views=[center], batch_size=NUM_IMAGES, subset=indices_of_all_classes(packed)
    )
    with closing(opened):
        batch: Batch = next(ahead(iter(opened), world.device))
    return batch._replace(images=batch.images[:, 0], boxes=None)


def indices_of_all_classes(packed: Path) -> np.ndarray:
    """Places of NUM_IMAGES training images or all: the first of each class, then the second, and so on."""
    labels = open_packed(packed).labels
    by_class = np.argsort(labels, kind="stable")
    firsts = np.searchsorted(labels[by_class], labels[by_class])
    turn = np.arange(len(labels)) - firsts
    chosen: np.ndarray = by_class[np.lexsort((labels[by_class], turn))][:NUM_IMAGES]
    return chosen


def standalone(spec: specs.TrainSpec, batch_size: int) -> specs.TrainSpec:
    """`spec` in small batches, without a teacher, from its own initialisation."""
    return changed(spec, batch_size=batch_size, repeats=1, teacher=None, start_from=None, trained_layers="all")


def changed(spec: specs.TrainSpec, **recipe: Any) -> specs.TrainSpec:
    """`spec` with other values of some of the recipe's keys, not validated again."""
    return spec.model_copy(update={"recipe": spec.recipe.model_copy(update=recipe)})
