"""Outputs of a finished training: its weights, its history, and what they were made from and with."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import safetensors.torch
import torch

from ilsvrc.artifacts import run_files
from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.artifacts.run_info import RunInfo
from ilsvrc.artifacts.weights_info import WeightsInfo
from ilsvrc.config import specs
from ilsvrc.evaluation import load_network
from ilsvrc.models.common.normalization import Normalization
from ilsvrc.runtime import files
from ilsvrc.training import build, history
from ilsvrc.training.history import Row
from ilsvrc.training.job import WorkerJob
from ilsvrc.training.machine import Machine
from ilsvrc.training.run_fields import cost, environment, measured, names
from ilsvrc.training.state import Progress, Training


def write(
    job: WorkerJob,
    manifest: Manifest,
    training: Training,
    so_far: Progress,
    machine: Machine,
    num_images: int,
) -> None:
    """Writes the run's files, each whole or not at all."""
    write_weights(weights_of(training), job.outputs.weights)
    files.write_text(job.outputs.history, history.as_csv(so_far.history))
    weights_info_of(job, manifest).write(job.outputs.weights_info)
    run_info_of(job, len(manifest.classes), training, so_far, machine, num_images).write(job.outputs.run_info)


def weights_info_of(job: WorkerJob, manifest: Manifest) -> WeightsInfo:
    """weights.json of the weights that were written."""
    return WeightsInfo(
        key=run_files.run_key(job.run),
        spec=json.loads(specs.specification(job.spec)),
        weights_sha256=files.file_sha256(job.outputs.weights),
        manifest_sha256=manifest.content_sha256,
        crop_px=job.spec.crop_px,
        mean=manifest.mean,
        std=manifest.std,
        classes=manifest.classes,
        num_classes=len(manifest.classes),
        label_sets_sha256=manifest.label_sets_sha256,
    )


def run_info_of(
    job: WorkerJob, num_classes: int, training: Training, so_far: Progress, machine: Machine, num_images: int
) -> RunInfo:
    """run.json of a training: what it measured, and the machine that it ran on."""
    named = names(job.run, job.spec.seed)
    return RunInfo(
        key=run_files.run_key(job.run),
        spec=json.loads(specs.specification(job.spec)),
        **named | {"recipe_name": named["recipe_name"].split(",")[0]},
        **measured(so_far.history),
        **asdict(machine),
        **environment(job.resources.gpus),
        num_images=num_images,
        reported_epoch=reported(training, so_far.history)["epoch"],
        **cost(partial(build.build, job.spec, num_classes), job.spec.crop_px),
    )


def write_weights(state: dict[str, torch.Tensor], path: Path) -> None:
    """Writes a safetensors file, whole or not at all."""
    with files.atomically(path) as unfinished:
        safetensors.torch.save_file({name: value.cpu().contiguous() for name, value in state.items()}, unfinished)


def weights_of(training: Training) -> dict[str, torch.Tensor]:
    """Tested weights by name, in float32, and what the normalisation keeps beside them, such as a mean image."""
    normalization = training.objective.normalization
    assert isinstance(normalization, Normalization)
    with training.swapped():
        state = {name: value.detach().clone() for name, value in training.network.state_dict().items()}
    state |= {load_network.NORMALIZATION + name: value for name, value in normalization.kept().items()}
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def reported(training: Training, rows: list[Row]) -> Row:
    """The row of the epoch whose weights are written."""
    return rows[training.best_checkpoint.epoch - 1 if training.best_checkpoint is not None else -1]
