"""Builder of a training: the objects that a recipe describes."""

import inspect
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.artifacts.weights_info import WeightsInfo
from ilsvrc.config import registry, specs
from ilsvrc.config.recipe import Recipe
from ilsvrc.evaluation import load_network
from ilsvrc.loading.contract import Batch
from ilsvrc.models.common import classifier_names
from ilsvrc.models.common.layers import Classifier
from ilsvrc.models.common.normalization import Normalization
from ilsvrc.models.pretrained import own_names, read_weights
from ilsvrc.runtime import messages, precision
from ilsvrc.runtime.distributed import World
from ilsvrc.training import batch_norm, data, dropout, initialization, optimizer, parameter_groups, transfer
from ilsvrc.training.best_checkpoint import BestEpoch
from ilsvrc.training.inputs import TrainingInputs
from ilsvrc.training.labels import Labels, MultiLabel, SingleLabel
from ilsvrc.training.loss import Distillation, Objective, Teacher
from ilsvrc.training.max_norm import renormalize_filters
from ilsvrc.training.prefetch import ahead
from ilsvrc.training.schedule import Schedule, in_steps
from ilsvrc.training.state import NormalizationInputs, Training
from ilsvrc.training.weight_averaging import WeightAverage
from ilsvrc.training.whitening import crop_windows, fit_whitening

STEPS = ("momentum", "weight_decay", "decay", "nesterov", "rate_in_momentum", "square_momentum", "epsilon")


def prepare(
    spec: specs.TrainSpec, manifest: Manifest, steps_an_epoch: int, world: World, chosen_precision: str,
    inputs: TrainingInputs | None = None,
) -> Training:  # fmt: skip
    """Training as it starts: the network with its first weights, objective, optimizer, schedule and optional parts."""
    recipe, dtype, inputs = spec.recipe, precision.weights_dtype(chosen_precision), inputs or TrainingInputs()
    check_sizes(spec)
    network, settings, frozen = first_network(spec, manifest, world, dtype, inputs)
    normalization, normalization_inputs = normalization_of(spec, manifest, world, dtype, inputs)
    labels = labels_of(manifest, world)
    distillation = distillation_of(recipe, inputs.teacher, world, dtype, labels)
    return Training(
        network=network,
        objective=Objective(network, normalization, recipe.label_smoothing, distillation, labels),
        optimizer=optimizer.make_optimizer(
            network, recipe.optimizer, **settings._asdict(), **{name: getattr(recipe, name) for name in STEPS}
        ),
        schedule=schedule_of(recipe, steps_an_epoch),
        batch_size=recipe.batch_size,
        seed=spec.seed,
        world=world,
        autocast=precision.autocast(chosen_precision, world.device),
        clip_norm=recipe.clip_norm,
        clip_adaptive=recipe.clip_adaptive,
        grad_scaler=precision.LossScale() if chosen_precision == "float16" else None,
        micro_batches=inputs.accumulate,
        augment=data.augmentation_of(recipe, manifest),
        normalization_inputs=normalization_inputs,
        mixup=data.mixing_of(recipe, len(manifest.classes), spec.seed, world),
        project_weights=partial(renormalize_filters, largest_rms=recipe.largest_filter_rms)
        if recipe.largest_filter_rms else None,
        weight_average=averages_of(network, recipe, steps_an_epoch, world),
        best_checkpoint=BestEpoch(network) if recipe.report_epoch == "best" else None,
        frozen=frozen,
        name_of=inputs.name_of,
        not_compiled=inputs.not_compiled,
    )  # fmt: skip


def normalization_of(
    spec: specs.TrainSpec, manifest: Manifest, world: World, dtype: torch.dtype, inputs: TrainingInputs
) -> tuple[Normalization, NormalizationInputs | None]:
    """Normalisation on the device, and the inputs that it takes with each batch."""
    if spec.recipe.normalization == "gcn_zca":
        whitening = fit_whitening(spec, manifest, inputs, world)
        return whitening.to(world.device, dtype), crop_windows(spec, manifest)
    normalization = data.normalization_of(spec, manifest, inputs.mean_image).to(world.device, dtype)
    return normalization, data.mean_image_inputs(spec, manifest, normalization)


def first_network(
    spec: specs.TrainSpec, manifest: Manifest, world: World, dtype: torch.dtype, inputs: TrainingInputs
) -> tuple[Classifier, parameter_groups.LayerSettings, list[torch.nn.Module]]:
    """The network as it starts, on its device; settings of single layers, and the frozen modules."""
    recipe = spec.recipe
    network = build(spec, len(manifest.classes))
    initialization.initialize(network, recipe.initialization, spec.seed)
    if recipe.zero_last_gamma:
        initialization.zero_last_gammas(network)
    classifier = classifier_names.classifier_names(partial(build, spec)) if inputs.start else set()
    taken: list[str] = []
    if inputs.start:
        start = read_start(inputs.start, network, classifier, world)
        taken = transfer.take_over(network, start, recipe.start_layers, classifier)
    network = place(network, world, dtype)
    settings = parameter_groups.layer_settings(network, recipe.bias_rate, recipe.layer_rates, recipe.layer_decays)
    settings = settings.times(transfer.rates(network, taken, recipe.trunk_rate))
    batch_norm.group_statistics(network, recipe.batch_norm_group, recipe.batch_size, world, inputs.accumulate)
    dropout.draw_for_whole_batch(network)
    frozen = transfer.freeze(network, classifier, recipe.trained_layers)
    return network, settings, frozen


def read_start(path: Path, network: Classifier, classifier: set[str], world: World) -> dict[str, Tensor]:
    """Weights to start from, by the network's names; the first process says what was taken for what."""
    found = read_weights.read_weights(path)
    named = own_names.by_own_names(found.state, network.state_dict(), classifier)
    if world.rank == 0 and (said := (*found.said, *named.said)):
        messages.say(f"start_from: {path}: {'; '.join(said)}")
    return named.state


def place(network: Classifier, world: World, dtype: torch.dtype) -> Classifier:
    """Moves `network` to this process's device, or spreads it over its devices."""
    network = network.to(world.device, dtype).to(memory_format=torch.channels_last)
    if world.more_devices:
        network.spread(world.device, *world.more_devices)
    return network


def build(spec: specs.TrainSpec, num_classes: int) -> Classifier:
    """The network, with the recipe's dropout and drop-path where it sets them; 0 is what a network without has."""
    builder: Callable[..., Classifier] = registry.architecture(spec.architecture)
    offered = inspect.signature(builder).parameters
    requested = {name: getattr(spec.recipe, name) for name in ("dropout", "drop_path")}
    for name, rate in requested.items():
        if rate and name not in offered:
            raise ValueError(f"{spec.architecture} has no {name}; take {name} out of training: in params.yaml")
    options = {name: rate for name, rate in requested.items() if rate is not None and name in offered}
    return builder(num_classes=num_classes, input_px=spec.crop_px, **options)


def check_sizes(spec: specs.TrainSpec) -> None:
    """Refuses crops that grow before a network that cannot take the smaller ones.

    Raises:
        ValueError: names the recipe's key.
    """
    for side in sorted({spec.recipe.crop_px_in(epoch, spec.crop_px) for epoch in range(spec.recipe.epochs or 1)}):
        if side == spec.crop_px:
            continue
        try:
            with torch.device("meta"), torch.no_grad():
                build(spec, 2).eval().outputs(torch.empty(2, 3, side, side))
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"grows_px: {spec.architecture} for crops of {spec.crop_px} px cannot take crops of {side} px "
                f"({str(error).split(';')[0]}); set grows_px: null by training: {{...}} in params.yaml"
            ) from None


def labels_of(manifest: Manifest, world: World) -> Labels:
    """Kind of the packed labels: one class an image, or several."""
    if manifest.label_sets is None:
        return SingleLabel()
    return MultiLabel(manifest.label_sets, len(manifest.classes), world.device)


def distillation_of(
    recipe: Recipe, teacher: Path | None, world: World, dtype: torch.dtype, labels: Labels
) -> Distillation | None:
    """Distillation of a recipe; None if it has no teacher."""
    if recipe.teacher is None:
        return None
    assert teacher, "a run with a teacher is given its weights"
    network, normalization = load_network.trained(WeightsInfo.read(teacher.with_name("weights.json")), teacher)
    teacher_network = Teacher(network.to(world.device, dtype), normalization.to(world.device, dtype))
    return Distillation(teacher_network, recipe.distillation, recipe.temperature, recipe.distillation_weight, labels)


def recompute_statistics(recipe: Recipe, training: Training, batches: Any) -> None:
    """Recomputes the statistics of batch norms over training images, if the recipe asks for it."""
    if recipe.batch_norm_recomputed_over is None:
        return

    epoch = 0 if recipe.grows_px is None else training.schedule.epochs - 1  # crops as they are tested

    def forward(batch: Batch) -> None:
        batch = next(ahead(iter([batch]), training.world.device))
        images = batch.images if training.augment is None else training.augment(batch, training.seed, epoch)
        values = None if training.normalization_inputs is None else training.normalization_inputs(batch, epoch)
        for rows in training.micro_batch_rows(len(images)):
            with training.autocast():
                means = None if values is None else values[rows]
                training.network(training.objective.normalization(images[rows], means))

    with training.swapped(), closing(batches.epoch(epoch)) as shards:
        batch_norm.recompute(
            training.network, forward, shards, recipe.batch_norm_recomputed_over, recipe.batch_size, training.world,
            training.frozen,
        )  # fmt: skip
        if training.weight_average is not None:
            training.weight_average.keep_statistics()


def averages_of(network: Classifier, recipe: Recipe, steps_an_epoch: int, world: World) -> WeightAverage | None:
    """Weight average of a recipe; None if it has none."""
    if recipe.averaging == "none":
        return None
    from_step = recipe.averaging_from_epoch * steps_an_epoch
    return WeightAverage(network, recipe.averaging, recipe.averaging_decay, from_step, world)


def schedule_of(recipe: Recipe, steps_an_epoch: int) -> Schedule:
    """Learning rate schedule of a recipe, in steps."""
    steps = partial(in_steps, steps_an_epoch=steps_an_epoch)
    scale = recipe.batch_size / (recipe.reference_batch_size or recipe.batch_size)  # Goyal et al. 2017, section 2.1
    milestones = [steps(epoch, None) for epoch in recipe.step_epochs] + list(recipe.step_iterations)
    return Schedule(
        kind=recipe.schedule,
        rate=recipe.learning_rate * scale,
        total_steps=steps(recipe.epochs, recipe.iterations),
        steps_an_epoch=steps_an_epoch,
        warmup_steps=steps(recipe.warmup_epochs, recipe.warmup_iterations),
        warmup_rate=recipe.warmup_rate and recipe.warmup_rate * scale,
        warmup_from=recipe.warmup_from and recipe.warmup_from * scale,
        lowest_rate=recipe.lowest_rate * scale,
        milestones=milestones,
        decay_steps=max(1, steps(recipe.decay_epochs, recipe.decay_iterations)),
        factor=recipe.decay_factor,
        power=recipe.power,
        patience=recipe.plateau_epochs,
        most_falls=recipe.most_falls,
    )


def precision_of(spec: specs.TrainSpec, requested: str, world: World) -> str:
    """The precision that the recipe says, else the one that the machine's owner requested."""
    in_recipe = spec.recipe.precision
    return precision.choose(requested if in_recipe == "auto" else in_recipe, world.device)
