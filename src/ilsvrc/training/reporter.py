"""Who hears how a training goes: the progress bar, the checkpoint, the log and MLflow."""

import argparse
import json
from typing import Any, Protocol

from ilsvrc.config import specs
from ilsvrc.runtime import files, hardware, messages
from ilsvrc.stages import train
from ilsvrc.tracking import mlflow_runs
from ilsvrc.training import checkpoint, history, outputs
from ilsvrc.training.history import Row
from ilsvrc.training.loop import Progress, Training


class Wishes(Protocol):
    """Signals of a person or the machine."""

    heard: bool  # one that ends a training


class Reporter:
    """Hears how one training goes; speaks, writes and logs in the main process."""

    def __init__(
        self,
        given: argparse.Namespace,
        spec: specs.TrainSpec,
        manifest: files.Info,
        training: Training,
        facts: dict[str, Any],
        shown: Any,
        wishes: Wishes,
    ) -> None:
        self.wishes, self.is_saving = wishes, True
        self.given, self.spec, self.training, self.facts, self.shown = given, spec, training, facts, shown
        self.tracker = tracker_of(given, spec, manifest)
        self.rows: list[Row] = []

    def start(self, so_far: Progress, steps_an_epoch: int) -> None:
        """Takes up what a checkpoint held; MLflow's run begins."""
        self.rows = list(so_far.history)
        steps = len(so_far.history) * steps_an_epoch + so_far.step
        self.shown.resume(steps * self.training.batch_size)
        if not self.training.world.is_main:
            return
        self.tracker.open()
        if steps:
            messages.say(f"{self.given.run} goes on after {len(self.rows)} epochs and {so_far.step} steps")

    def stepped(self, num_images: int) -> None:
        """A step is done."""
        self.shown.update(num_images)

    def wants_stop(self) -> bool:
        """A signal asked this process to end."""
        return self.wishes.heard

    def save(self, progress: Progress) -> None:
        """Keeps a checkpoint, and beside it what the launcher must know of it; on a full disk training goes on."""
        if not self.training.world.is_main:
            return
        try:
            checkpoint.save(self.given.work, self.training, progress, **self.facts)
        except OSError as error:
            if self.is_saving:
                messages.say(f"{error}; training goes on, and would begin again from the checkpoint before")
            self.is_saving = False
            return
        self.is_saving = True
        chosen = {name: self.facts["machine"][name] for name in train.CHOICES}
        files.write_text(self.given.work / train.MACHINE, json.dumps(chosen))

    def epoch_ended(self, row: Row) -> None:
        """Tells of an epoch that the checkpoint holds."""
        if not self.training.world.is_main:
            return
        self.rows.append(row)
        messages.log(f"{self.given.run}: {history.as_line(row, self.training.schedule.epochs)}")
        error, name = history.watched(row)
        self.shown.note = f"epoch {row['epoch']}, {name} {error:.1f} %"
        self.tracker.log_epochs(self.rows)

    def finish(self) -> None:
        """The closing line; MLflow's run ends."""
        seconds = sum(row["seconds"] for row in self.rows)
        number_format, rate = self.facts["machine"]["precision"], outputs.mean_rate(self.rows)
        self.tracker.finish(self.rows, {"train_seconds": f"{seconds:.1f}", "precision": number_format})
        row = outputs.reported(self.training, self.rows)
        error, name = history.watched(row)
        best = f" (epoch {row['epoch']}, the best)" if self.training.best is not None else ""
        messages.say(
            f"trained {self.given.run}: {error:.1f} % validation {name}{best} "
            f"after {len(self.rows)} epochs, {seconds:.0f} s, {rate:.0f} images/s, {number_format}"
        )


def tracker_of(given: argparse.Namespace, spec: specs.TrainSpec, manifest: files.Info) -> mlflow_runs.Tracker:
    """The run in MLflow."""
    commit = hardware.commit()
    tags = {
        "run": given.run,
        "data": spec.form.data,
        "architecture": spec.architecture,
        "commit": f"{commit['commit'] or 'unknown'}{' with changes' if commit['dirty'] else ''}",
        "manifest": manifest["content_sha256"],
        "hardware": hardware.describe(given.gpus),
        "weights": str(given.weights),
    }
    parameters = {**spec.recipe.model_dump(mode="json"), "architecture": spec.architecture, "crop_px": spec.crop_px}
    parameters |= {"seed": spec.seed, "data": spec.form.data}
    return mlflow_runs.Tracker(title(given.run, spec), given.work / train.RUN_ID, mlflow_runs.flat(parameters), tags)


def title(run: str, spec: specs.TrainSpec) -> str:
    """What a person calls a run: `alexnet quick epochs=3 seed=0`."""
    _, architecture, recipe, _ = run.split("/")
    return " ".join((architecture, *recipe.split(","), f"seed={spec.seed}"))
