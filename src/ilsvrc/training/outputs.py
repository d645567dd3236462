"""What a finished training leaves: its weights, its history, and what they were made from and with."""

import json
from dataclasses import asdict
from datetime import UTC, datetime

import safetensors.torch
import torch

from ilsvrc.artifacts import run_files
from ilsvrc.config import specs
from ilsvrc.evaluation import load_network
from ilsvrc.models.common import flops
from ilsvrc.models.common.normalization import Normalization
from ilsvrc.runtime import files, hardware
from ilsvrc.training import build, history
from ilsvrc.training.history import Row
from ilsvrc.training.job import WorkerJob
from ilsvrc.training.machine import Machine
from ilsvrc.training.state import Progress, Training


def write(
    job: WorkerJob,
    manifest: files.Info,
    training: Training,
    so_far: Progress,
    machine: Machine,
    num_images: int,
) -> None:
    """Writes the run's files, each whole or not at all."""
    state = weights_of(training)
    with files.atomically(job.outputs.weights) as unfinished:
        safetensors.torch.save_file({name: value.cpu().contiguous() for name, value in state.items()}, unfinished)
    made_from = {"key": run_files.run_key(job.run), "spec": json.loads(specs.specification(job.spec))}
    weights = {
        **made_from,
        "weights_sha256": files.file_sha256(job.outputs.weights),
        "manifest_sha256": manifest["content_sha256"],
        "crop_px": job.spec.crop_px,
        **{name: manifest[name] for name in ("mean", "std", "classes")},
        "num_classes": len(manifest["classes"]),
        **run_files.of_sets(manifest),
    }
    about = {**made_from, **describe(job, so_far.history, machine), "num_images": num_images}
    about["reported_epoch"] = reported(training, so_far.history)["epoch"]
    about |= cost(job.spec, len(manifest["classes"]))
    files.write_text(job.outputs.history, history.as_csv(so_far.history))
    files.write_text(job.outputs.weights_info, json.dumps(weights, indent=1) + "\n")
    files.write_text(job.outputs.run_info, json.dumps(about, indent=1) + "\n")


def weights_of(training: Training) -> dict[str, torch.Tensor]:
    """Tested weights by name, in float32, and what the normalisation keeps beside them, such as a mean image."""
    normalization = training.objective.normalization
    assert isinstance(normalization, Normalization)
    with training.swapped():
        state = {name: value.detach().clone() for name, value in training.network.state_dict().items()}
    state |= {load_network.NORMALIZATION + name: value for name, value in normalization.kept().items()}
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def describe(job: WorkerJob, rows: list[Row], machine: Machine) -> files.Info:
    """What run.json holds beside the specification: names, times, machine, versions, commit."""
    label, architecture, recipe, _ = job.run.split("/")
    return {
        "run": job.run,
        "dataset": label,
        "architecture": architecture,
        "recipe_name": recipe.split(",")[0],
        "seed": job.spec.seed,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "epochs": len(rows),
        "train_seconds": sum(row["seconds"] for row in rows),
        "images_per_second": mean_rate(rows),
        **asdict(machine),
        "hardware": hardware.describe(job.resources.gpus),
        "versions": hardware.versions(),
        **hardware.commit(),
    }


def reported(training: Training, rows: list[Row]) -> Row:
    """The row of the epoch whose weights are written."""
    return rows[training.best_checkpoint.epoch - 1 if training.best_checkpoint is not None else -1]


def cost(spec: specs.TrainSpec, num_classes: int) -> dict[str, int]:
    """Parameters and multiply-adds of the network at test time, at the size that it was trained at."""
    with torch.device("meta"):
        found = flops.count(build.build(spec, num_classes), spec.crop_px)
    return {"parameters": found.parameters, "multiply_adds": found.multiply_adds}


def mean_rate(rows: list[Row]) -> float:
    """Images a second over all epochs."""
    images = sum(row["seconds"] * row["images_per_second"] for row in rows)
    return float(images / sum(row["seconds"] for row in rows))
