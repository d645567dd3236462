"""One process of a training; `stages/train.py` starts it through torchrun."""

from ilsvrc.training import processes

if __name__ == "__main__":
    processes.die_with_parent()  # before torch is imported, which takes seconds

import argparse
import inspect
import json
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import safetensors.torch
import torch

from ilsvrc import hardware, plugins, progress, results, runs, tracking
from ilsvrc.loading import batches, packed
from ilsvrc.pixels import Normalization
from ilsvrc.stages import _stage, train
from ilsvrc.training import checkpoint, distributed, history, initialization, loop, optimizer, precision, validation
from ilsvrc.training.distributed import World
from ilsvrc.training.history import Row
from ilsvrc.training.loop import Progress, Training
from ilsvrc.training.objective import Objective
from ilsvrc.training.schedule import Schedule
from ilsvrc.views import View, square_px


def main(given: argparse.Namespace) -> None:
    """Trains what is left of the run; the main process writes its files."""
    spec: runs.TrainSpec = runs.parse_specification(runs.TrainSpec, given.spec)
    manifest = results.read_json(given.train_manifest)
    identity = {"spec": given.spec, "manifest_sha256": manifest["content_sha256"]}
    with ExitStack() as stack:
        world = stack.enter_context(distributed.joined(on_gpu=given.gpus > 0))
        training_batches, watched = stack.enter_context(opened(given, spec, world))
        torch.set_num_threads(given.threads)  # ffcv's import sets it to one
        number_format = precision.choose(wanted_precision(given, spec), world.device)
        training = prepare(spec, manifest, len(training_batches), world, number_format)
        kept, why = checkpoint.load(given.work, identity)
        if why and world.is_main:
            _stage.say(why)
        so_far = checkpoint.restore(kept, training) if kept else Progress()
        facts = {"identity": identity, "machine": machine(given, world, number_format, kept)}
        total = spec.recipe.epochs * len(training_batches) * spec.recipe.batch_size
        shown = stack.enter_context(progress.bar(short_name(given.run), total, disable=not world.is_main))
        reporter = Reporter(given, spec, manifest, training, facts, shown)
        reporter.resumed(so_far, len(training_batches))
        loop.train(training, training_batches, lambda: watched, so_far, reporter)
        if world.is_main:
            finish(given, spec, manifest, training, so_far, facts["machine"], training_batches.num_images)
            reporter.finish()


class Reporter:
    """Hears how the training goes: the progress bar, the checkpoint, the log and MLflow, all in the main process."""

    def __init__(
        self,
        given: argparse.Namespace,
        spec: runs.TrainSpec,
        manifest: results.Info,
        training: Training,
        facts: dict[str, Any],
        shown: Any,
    ) -> None:
        self.given, self.spec, self.training, self.facts, self.shown = given, spec, training, facts, shown
        self.tracker = tracker_of(given, spec, manifest)
        self.rows: list[Row] = []

    def resumed(self, so_far: Progress, steps_an_epoch: int) -> None:
        """Takes up what a checkpoint held."""
        self.rows = list(so_far.history)
        steps = len(so_far.history) * steps_an_epoch + so_far.step
        self.shown.update(steps * self.training.batch_size)
        if steps and self.training.world.is_main:
            _stage.say(f"{self.given.run} goes on after {len(self.rows)} epochs and {so_far.step} steps")

    def stepped(self, num_images: int) -> None:
        """A step is done."""
        self.shown.update(num_images)

    def save(self, progress: Progress) -> None:
        """Keeps a checkpoint, and beside it what the launcher must know of it."""
        if not self.training.world.is_main:
            return
        checkpoint.save(self.given.work, self.training, progress, **self.facts)
        asked = {name: getattr(self.given, name) for name in ("threads", "gpus", "precision", "loader")}
        asked["processes"] = self.training.world.size
        results.write_text(self.given.work / train.MACHINE, json.dumps(asked))

    def epoch_ended(self, row: Row) -> None:
        """Tells of an epoch that the checkpoint holds."""
        if not self.training.world.is_main:
            return
        self.rows.append(row)
        _stage.log(f"{self.given.run}: {history.as_line(row, self.spec.recipe.epochs)}")
        self.shown.set_postfix_str(f"epoch {row['epoch']}, error {row['validation_top1_error_percent']:.1f} %")
        self.tracker.log_epochs(self.rows)

    def finish(self) -> None:
        """The closing line; MLflow's run ends."""
        seconds = sum(row["seconds"] for row in self.rows)
        last, machine = self.rows[-1], self.facts["machine"]
        self.tracker.log_epochs(self.rows)
        self.tracker.finish({"train_seconds": f"{seconds:.1f}", "precision": machine["precision"]})
        _stage.say(
            f"trained {self.given.run}: {last['validation_top1_error_percent']:.1f} % validation top-1 error after "
            f"{len(self.rows)} epochs, {seconds:.0f} s, {mean_rate(self.rows):.0f} images/s, {machine['precision']}"
        )


@contextmanager
def opened(given: argparse.Namespace, spec: runs.TrainSpec, world: World) -> Iterator[tuple[Any, Any]]:
    """Batches to train on, and to watch: training images that the recipe holds out, else the test split.

    What is watched on the test split chooses nothing; the recipe's own checks see to that.
    """
    recipe = spec.recipe
    share = {"rank": world.rank, "world_size": world.size, "workers": given.threads}
    chosen = apart = None
    if recipe.validation_fraction:
        labels = packed.open_packed(given.train).labels
        chosen, apart = validation.held_out(labels, recipe.validation_fraction, spec.seed)
    look = {"crop": recipe.crop, "crop_px": spec.crop_px, "flip": recipe.flip}
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
    network = network.to(world.device, dtype, memory_format=torch.channels_last)
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


def build(spec: runs.TrainSpec, num_classes: int) -> Any:
    """The network, with the recipe's dropout where it sets one."""
    builder = plugins.architecture(spec.architecture)
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


def wanted_precision(given: argparse.Namespace, spec: runs.TrainSpec) -> str:
    """The recipe's word, else the machine's."""
    return str(given.precision if spec.recipe.precision == "auto" else spec.recipe.precision)


def machine(given: argparse.Namespace, world: World, number_format: str, kept: Any) -> dict[str, Any]:
    """What the machine settles, and how often the training was taken up again."""
    return {
        "processes": world.size,
        "threads": given.threads,
        "precision": number_format,
        "loader": given.loader,
        "device": world.device.type,
        "resumed": kept["machine"]["resumed"] + 1 if kept else 0,
    }


def finish(
    given: argparse.Namespace,
    spec: runs.TrainSpec,
    manifest: results.Info,
    training: Training,
    so_far: Progress,
    machine: dict[str, Any],
    num_images: int,
) -> None:
    """Writes the run's files, each whole or not at all."""
    state = {name: value.float() if value.is_floating_point() else value
             for name, value in training.network.state_dict().items()}  # fmt: skip
    given.weights.parent.mkdir(parents=True, exist_ok=True)
    beside = given.weights.with_suffix(".part")
    safetensors.torch.save_file({name: value.cpu().contiguous() for name, value in state.items()}, beside)
    beside.replace(given.weights)
    made_from = {"key": results.run_key(given.run), "spec": json.loads(given.spec)}
    weights = {
        **made_from,
        "weights_sha256": results.file_sha256(given.weights),
        "manifest_sha256": manifest["content_sha256"],
        "crop_px": spec.crop_px,
        **{name: manifest[name] for name in ("mean", "std", "classes")},
        "num_classes": len(manifest["classes"]),
    }
    about = {**made_from, **describe(given, spec, so_far.history, machine), "num_images": num_images}
    results.write_text(given.history, history.as_csv(so_far.history))
    results.write_text(given.weights_info, json.dumps(weights, indent=1) + "\n")
    results.write_text(given.run_info, json.dumps(about, indent=1) + "\n")


def describe(given: argparse.Namespace, spec: runs.TrainSpec, rows: list[Row], machine: dict[str, Any]) -> results.Info:
    """What run.json holds beside the specification: names, times, machine, versions, commit."""
    label, architecture, recipe, _ = given.run.split("/")
    return {
        "run": given.run,
        "dataset": label,
        "architecture": architecture,
        "recipe_name": recipe.split(",")[0],
        "seed": spec.seed,
        "epochs": len(rows),
        "train_seconds": sum(row["seconds"] for row in rows),
        "images_per_second": mean_rate(rows),
        **machine,
        "hardware": hardware.describe(given.gpus),
        "versions": hardware.versions(),
        **hardware.commit(),
    }


def mean_rate(rows: list[Row]) -> float:
    """Images a second over all epochs."""
    return sum(row["seconds"] * row["images_per_second"] for row in rows) / sum(row["seconds"] for row in rows)


def tracker_of(given: argparse.Namespace, spec: runs.TrainSpec, manifest: results.Info) -> tracking.Tracker:
    """The run in MLflow."""
    commit = hardware.commit()
    tags = {
        "run": given.run,
        "data": spec.form.data,
        "architecture": spec.architecture,
        "commit": f"{commit['commit']}{' with changes' if commit['dirty'] else ''}",
        "manifest": manifest["content_sha256"],
        "hardware": hardware.describe(given.gpus),
        "weights": str(given.weights),
    }
    parameters = {**spec.recipe.model_dump(mode="json"), "architecture": spec.architecture, "crop_px": spec.crop_px}
    parameters |= {"seed": spec.seed, "data": spec.form.data}
    return tracking.Tracker(given.run, given.work / "mlflow_run", tracking.flat(parameters), tags)


def short_name(run: str) -> str:
    """What the progress bar calls a run."""
    return "/".join(run.split("/")[:3])


if __name__ == "__main__":
    _stage.run(main, train.arguments())
