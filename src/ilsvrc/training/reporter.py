"""Reporter of a training: to the progress bar, the checkpoint, the log and MLflow."""

from dataclasses import asdict

from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.config import specs
from ilsvrc.runtime import hardware, messages, progress
from ilsvrc.runtime.stop_signal import StopSignal
from ilsvrc.tracking import mlflow_runs
from ilsvrc.training import checkpoint, history, launch, outputs
from ilsvrc.training.checkpoint import Identity
from ilsvrc.training.history import Row
from ilsvrc.training.job import Resources, WorkerJob
from ilsvrc.training.machine import Machine
from ilsvrc.training.run_fields import commit_tag, mean_rate
from ilsvrc.training.state import Progress, Training
from ilsvrc.training.work_folder import RUN_ID


class Reporter:
    """Listener of one training; speaks, writes and logs in the main process."""

    def __init__(
        self,
        job: WorkerJob,
        manifest: Manifest,
        training: Training,
        identity: Identity,
        machine: Machine,
        bar: progress.Bar,
        stop: StopSignal,
    ) -> None:
        self.job, self.training, self.identity, self.machine, self.bar, self.stop = (
            job, training, identity, machine, bar, stop
        )  # fmt: skip
        self.is_saving = True
        self.tracker = tracker_of(job, manifest)
        self.rows: list[Row] = []

    def start(self, so_far: Progress, steps_an_epoch: int) -> None:
        """Resumes the progress of a checkpoint; MLflow's run begins."""
        self.rows = list(so_far.history)
        steps = len(so_far.history) * steps_an_epoch + so_far.step
        self.bar.resume(steps * self.training.batch_size)
        if not self.training.world.is_main:
            return
        self.tracker.open()
        if steps:
            messages.say(f"{self.job.run} goes on after {len(self.rows)} epochs and {so_far.step} steps")

    def stepped(self, num_images: int) -> None:
        """A step is done."""
        self.bar.update(num_images)

    def should_stop(self) -> bool:
        """True if a signal asked this process to end."""
        return self.stop.received

    def save(self, so_far: Progress) -> None:
        """Saves a checkpoint, and its resources for the launcher; on a full disk training goes on."""
        if not self.training.world.is_main:
            return
        try:
            checkpoint.save(self.job.work, self.training, so_far, identity=self.identity, machine=asdict(self.machine))
            launch.keep_resources(self.job.work, Resources.of(asdict(self.machine)))
        except OSError as error:
            if self.is_saving:
                messages.say(f"{error}; training goes on, and would begin again from the checkpoint before")
            self.is_saving = False
            return
        self.is_saving = True

    def epoch_ended(self, row: Row) -> None:
        """Logs an epoch that the checkpoint holds."""
        if not self.training.world.is_main:
            return
        self.rows.append(row)
        messages.log(f"{self.job.run}: {history.as_line(row, self.training.schedule.epochs)}")
        error, name = history.watched(row)
        self.bar.note = f"epoch {row['epoch']}, {name} {error:.1f} %"
        self.tracker.log_epochs(self.rows)

    def finish(self) -> None:
        """The closing line; MLflow's run ends."""
        seconds = sum(row["seconds"] for row in self.rows)
        precision, rate = self.machine.precision, mean_rate(self.rows)
        self.tracker.finish(self.rows, {"train_seconds": f"{seconds:.1f}", "precision": precision})
        row = outputs.reported(self.training, self.rows)
        error, name = history.watched(row)
        best = f" (epoch {row['epoch']}, the best)" if self.training.best_checkpoint is not None else ""
        messages.say(
            f"trained {self.job.run}: {error:.1f} % validation {name}{best} "
            f"after {len(self.rows)} epochs, {seconds:.0f} s, {rate:.0f} images/s, {precision}"
        )


def tracker_of(job: WorkerJob, manifest: Manifest) -> mlflow_runs.Tracker:
    """The run in MLflow."""
    spec = job.spec
    tags = {
        "run": job.run,
        "data": spec.form.data,
        "architecture": spec.architecture,
        "commit": commit_tag(),
        "manifest": manifest.content_sha256,
        "hardware": hardware.describe(job.resources.gpus),
        "weights": str(job.outputs.weights),
    }
    parameters = {**spec.recipe.model_dump(mode="json"), "architecture": spec.architecture, "crop_px": spec.crop_px}
    parameters |= {"seed": spec.seed, "data": spec.form.data}
    return mlflow_runs.Tracker(title(job.run, spec), job.work / RUN_ID, mlflow_runs.flat(parameters), tags)


def title(run: str, spec: specs.TrainSpec) -> str:
    """Title of a run for a person: `alexnet quick epochs=3 seed=0`."""
    _, architecture, recipe, _ = run.split("/")
    return " ".join((architecture, *recipe.split(","), f"seed={spec.seed}"))
