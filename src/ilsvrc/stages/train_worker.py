"""One process of a training; `stages/train.py` starts it through torchrun."""

from ilsvrc.runtime import parent_death

if __name__ == "__main__":
    parent_death.die_with_parent()  # before torch is imported, which takes seconds

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from ilsvrc.artifacts import run_files
from ilsvrc.config import specs
from ilsvrc.runtime import distributed, entry_point, files, messages, progress
from ilsvrc.runtime.distributed import World
from ilsvrc.stages import train
from ilsvrc.training import build, checkpoint, data, inputs, loop, outputs, torch_compile
from ilsvrc.training.health_checks import StoppedError
from ilsvrc.training.loop import Progress
from ilsvrc.training.reporter import Reporter, title

SECONDS_FOR_THE_CAUSE = 5.0  # a process whose peer died hears of it first, and torchrun ends it
OUT_OF_MEMORY = (
    "the GPU's memory is too small ({error}); give the run more GPUs by --set-resources train:gpu=<n>, or set a lower "
    "batch_size by training: {{batch_size: ...}} in params.yaml"
)


def main(given: argparse.Namespace) -> None:
    """Trains what is left of the run; the main process writes its files."""
    wishes = StopWishes()
    with distributed.joined(given.gpus) as world, first_failure_speaks(given.work, world, wishes):
        train_run(given, world, wishes)


class StopWishes:
    """Hears the signals that end a training; it goes on until its next check, and a checkpoint."""

    def __init__(self) -> None:
        self.heard = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.heard = True

    def give_way(self) -> None:
        """Where this process fails, SIGTERM is torchrun's, which ends all after one that died: it ends this one too."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self.heard:
            sys.exit(1)


def train_run(given: argparse.Namespace, world: World, wishes: StopWishes) -> None:
    """Checkpoint or start, epochs, outputs."""
    spec: specs.TrainSpec = specs.parse_specification(specs.TrainSpec, given.spec)
    manifest = files.read_json(given.train_manifest)
    identity = identity_of(given, manifest)
    kept = found_checkpoint(given, identity, world)
    number_format = kept["machine"]["precision"] if kept else build.number_format(given, spec, world)
    with ExitStack() as stack:
        training_batches, watched = stack.enter_context(data.opened(given, spec, manifest, world))
        torch.set_num_threads(given.threads)  # ffcv's import sets it to one
        chosen = machine(given, world, number_format, kept)
        chosen["compile"] = compiles(given, spec, len(training_batches), world, kept)
        before = inputs.Given.by(given, spec.recipe, not_compiled(given, world, chosen))
        training = build.prepare(spec, manifest, len(training_batches), world, number_format, before)
        so_far = checkpoint.restore(kept, training) if kept else Progress()
        require_one_start(given.work, so_far, world)
        facts = {"identity": identity, "machine": chosen}
        total = training.schedule.total_steps * spec.recipe.batch_size
        shown = stack.enter_context(progress.bar(title(given.run, spec), total, disable=not world.is_main))
        reporter = Reporter(given, spec, manifest, training, facts, shown, wishes)
        reporter.start(so_far, len(training_batches))
        loop.train(training, training_batches, lambda: watched, so_far, reporter)
        build.recompute_statistics(spec.recipe, training, training_batches)
        if world.is_main:
            outputs.write(given, spec, manifest, training, so_far, facts["machine"], training_batches.num_images)
            reporter.finish()


def identity_of(given: argparse.Namespace, manifest: files.Info) -> files.Info:
    """What a checkpoint must have been made from: the specification, the images, the weights that go before."""
    before = {role: path.with_name("weights.json") for role in ("start", "teacher") for path in getattr(given, role)}
    weights = {role: files.read_json(path)["weights_sha256"] for role, path in before.items()}
    return {"spec": given.spec, "manifest_sha256": manifest["content_sha256"], **run_files.of_sets(manifest), **weights}


def found_checkpoint(given: argparse.Namespace, identity: files.Info, world: World) -> Any:
    """The run's checkpoint; without one that fits, MLflow's run of an earlier attempt is left to itself."""
    kept, why = checkpoint.load(given.work, identity)
    if world.is_main and why:
        messages.say(why)
        if kept is not None:  # else the next one would put it in the place of the one before, the only good one
            (given.work / checkpoint.NAME).unlink(missing_ok=True)
    if world.is_main and kept is None:
        (given.work / train.RUN_ID).unlink(missing_ok=True)
    return kept


def require_one_start(work: Path, so_far: Progress, world: World) -> None:
    """Refuses processes that do not stand at the same step: a node may see another folder.

    Raises:
        ValueError: names the folder.
    """
    found = world.everyones((len(so_far.history), so_far.step))
    if len(set(found)) > 1:
        told = ", ".join(f"{epochs} epochs and {step} steps" for epochs, step in sorted(set(found)))
        raise ValueError(f"processes found checkpoints after {told} in {work}; let all nodes see the same folder")


@contextmanager
def first_failure_speaks(work: Path, world: World, wishes: StopWishes) -> Iterator[None]:
    """Lets one process tell what went wrong; the log has what the others say."""
    try:
        yield
    except StoppedError as stopped:
        if world.is_main:
            (work / train.STOPPED).write_text(f"{stopped}")
        sys.exit(train.TRY_AGAIN)
    except Exception as error:
        if world.size > 1 and not isinstance(error, (ValueError, OSError)):
            messages.log(traceback.format_exc())
            wishes.give_way()
            time.sleep(SECONDS_FOR_THE_CAUSE)
        if not claims_to_be_first(work, error):
            messages.log(traceback.format_exc())
            sys.exit(1)
        if said := world.hangs(error):
            raise ValueError(said) from error
        if isinstance(error, torch.OutOfMemoryError):
            raise ValueError(OUT_OF_MEMORY.format(error=str(error).split(". ")[0])) from error
        raise


def claims_to_be_first(work: Path, error: Exception) -> bool:
    """No other process of this training has failed before."""
    try:
        with (work / train.FAILURE).open("x") as file:
            file.write(f"{error}\n")
    except FileExistsError:
        return False
    return True


def machine(given: argparse.Namespace, world: World, number_format: str, kept: Any) -> dict[str, Any]:
    """What the machine settles, and how often the training was taken up again."""
    return {
        "processes": world.size,
        "threads": given.threads,
        "precision": number_format,
        "loader": given.loader,
        "gpus": given.gpus,
        "accumulate": given.accumulate,
        "device": world.device.type,
        "resumed": kept["machine"]["resumed"] + 1 if kept else 0,
    }


def compiles(given: argparse.Namespace, spec: specs.TrainSpec, steps: int, world: World, kept: Any) -> str:
    """Whether the training compiles its network, "on" or "off": as it began, else as the machine's owner chose."""
    if kept:
        return str(kept["machine"].get("compile", "off"))  # once there was no such choice
    return torch_compile.choose(given.compile, world.device, build.schedule_of(spec.recipe, steps).total_steps)


def not_compiled(given: argparse.Namespace, world: World, chosen: dict[str, Any]) -> Callable[[str], None] | None:
    """Who hears that compiling failed, where anything is compiled: the run's record, and the person."""

    def tell(why: str) -> None:
        chosen["compile"] = "off"
        if world.is_main:
            messages.say(f"{given.run} is trained without torch.compile, which failed: {why}")

    return tell if chosen["compile"] == "on" else None


if __name__ == "__main__":
    entry_point.run(main, train.arguments())
