"""What a recipe says, as objects that train."""

import argparse
import inspect
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import torch

from ilsvrc import plugins, results, runs
from ilsvrc.layers import Classifier
from ilsvrc.loading import batches, packed
from ilsvrc.pixels import Normalization
from ilsvrc.training import batch_norm, initialization, optimizer, precision, validation
from ilsvrc.training.distributed import World
from ilsvrc.training.loop import Training
from ilsvrc.training.objective import Objective
from ilsvrc.training.schedule import Schedule
from ilsvrc.views import View, square_px


@contextmanager
def opened(given: argparse.Namespace, spec: runs.TrainSpec, world: World) -> Iterator[tuple[Any, Any]]:
    """Batches to train on, and to watch: training images that the recipe holds out, else the test split.

    What is watched on the test split chooses nothing; the recipe's own checks see to that.
    """
    recipe = spec.recipe
    share: dict[str, Any] = {"rank": world.rank, "world_size": world.size, "workers": given.threads}
    chosen = apart = None
    if recipe.validation_fraction:
        labels = packed.open_packed(given.train).labels
        chosen, apart = validation.held_out(labels, recipe.validation_fraction, spec.seed)
    look: dict[str, Any] = {"crop": recipe.crop, "crop_px": spec.crop_px, "flip": recipe.flip}
    look["order"] = recipe.order
    training = batches.open_training(
        given.loader, given.train, **look, batch_size=recipe.batch_size, seed=spec.seed, subset=chosen, **share
    )
    watched = given.val if apart is None else given.train
    center = [View(square_px(spec.crop_px), spec.crop_px)]
    testing = batches.open_testing(
        given.loader, watched, views=center, batch_size=recipe.batch_size, subset=apart, **share
    )
    with closing(training), closing(testing):
        yield training, testing


def prepare(
    spec: runs.TrainSpec, manifest: results.Info, steps_an_epoch: int, world: World, number_format: str
) -> Training:
    """The network with its first weights, its objective, optimizer and schedule."""
    recipe, dtype = spec.recipe, precision.weights_dtype(number_format)
    network = build(spec, len(manifest["classes"]))
    initialization.initialize(network, recipe.initialization, spec.seed)
    network = place(network, world, dtype)
    batch_norm.group_statistics(network, recipe.batch_norm_group, recipe.batch_size, world)
    normalization = Normalization(manifest["mean"], manifest["std"], recipe.normalization).to(world.device, dtype)
    return Training(
        network=network,
        objective=Objective(network, normalization, recipe.label_smoothing),
        optimizer=optimizer.make_optimizer(
            network,
            recipe.optimizer,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            decay=recipe.decay,
        ),
        schedule=schedule_of(spec, steps_an_epoch),
        batch_size=recipe.batch_size,
        seed=spec.seed,
        world=world,
        autocast=precision.autocast(number_format, world.device),
        clip_norm=recipe.clip_norm,
    )


def place(network: Classifier, world: World, dtype: torch.dtype) -> Classifier:
    """`network` on this process's device, or spread over its devices."""
    network = network.to(world.device, dtype).to(memory_format=torch.channels_last)
    if world.more_devices:
        network.spread(world.device, *world.more_devices)
    return network


def build(spec: runs.TrainSpec, num_classes: int) -> Classifier:
    """The network, with the recipe's dropout where it sets one."""
    builder: Callable[..., Classifier] = plugins.architecture(spec.architecture)
    if spec.recipe.dropout is None:
        return builder(num_classes=num_classes, input_px=spec.crop_px)
    if "dropout" not in inspect.signature(builder).parameters:
        raise ValueError(f"{spec.architecture} has no dropout; take dropout out of training: in params.yaml")
    return builder(num_classes=num_classes, input_px=spec.crop_px, dropout=spec.recipe.dropout)


def schedule_of(spec: runs.TrainSpec, steps_an_epoch: int) -> Schedule:
    """The recipe's learning rates."""
    recipe = spec.recipe
    return Schedule(
        kind=recipe.schedule,
        rate=recipe.learning_rate,
        epochs=recipe.epochs,
        steps_an_epoch=steps_an_epoch,
        warmup_epochs=recipe.warmup_epochs,
        milestones=recipe.step_epochs,
        patience=recipe.plateau_epochs,
        factor=recipe.decay_factor,
    )


def number_format(given: argparse.Namespace, spec: runs.TrainSpec, world: World) -> str:
    """The precision that the recipe says, else what the machine's owner asked for."""
    asked = given.precision if spec.recipe.precision == "auto" else spec.recipe.precision
    return precision.choose(asked, world.device)
