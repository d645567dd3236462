"""Whitening of a training's images: fitted once to the packed training split, and kept beside the checkpoint."""

from contextlib import closing
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.config import specs
from ilsvrc.loading import batches, random_crops
from ilsvrc.loading.contract import Batch
from ilsvrc.loading.views import View
from ilsvrc.models.common.zca_whitening import MAX_PX, Moments, Whitening, fitted, moments
from ilsvrc.runtime import files, messages
from ilsvrc.runtime.distributed import World
from ilsvrc.training import data
from ilsvrc.training.inputs import TrainingInputs
from ilsvrc.training.state import NormalizationInputs

NAME = "whitening.safetensors"
IMAGES_AT_ONCE = 1000


def fit_whitening(spec: specs.TrainSpec, manifest: Manifest, inputs: TrainingInputs, world: World) -> Whitening:
    """Whitening of `normalization: gcn_zca`, the same in every process.

    Fitted to all training images, held out or not as the other statistics are. Where an earlier attempt left its own,
    the main process has it, so that a resume has the same bits.

    Raises:
        ValueError: the recipe does not show whole small images.
    """
    check(spec)
    path: Path | None = inputs.work and inputs.work / NAME
    made_of = {"manifest_sha256": manifest.content_sha256, "crop_px": str(spec.crop_px)}
    own = _read(path, made_of) if path is not None and world.is_main else None
    if not world.all_gather(own is not None)[0]:
        sums = sum_over_processes(shard_moments(spec.crop_px, inputs, world), world)
        if world.is_main:
            own = fitted(sums)
            _write(path, own, made_of)
    size = 3 * spec.crop_px**2
    own = own or (torch.zeros(size), torch.zeros(size, size))  # to which the main process's are added
    mean, matrix = (world.sum(part.to(world.device)) for part in own)
    return Whitening(mean, matrix, spec.recipe.padding == "reflect")


def check(spec: specs.TrainSpec) -> None:
    """Whole images, small enough for a matrix of all their values.

    Raises:
        ValueError: they are not.
    """
    where = "by training: {...} in params.yaml, or another normalization"
    if spec.crop_px > MAX_PX:
        raise ValueError(
            f"normalization: gcn_zca whitens images of {MAX_PX} px at most, not {spec.crop_px}; set crop_px {where}"
        )
    if spec.recipe.grows_px is not None:
        raise ValueError(f"normalization: gcn_zca whitens images of one size; set grows_px: null {where}")
    if spec.recipe.crop not in ("patch", "center", "padding") or data.short_side_px(spec) != spec.crop_px:
        raise ValueError(
            f"normalization: gcn_zca whitens whole images; set crop: padding, or crop: patch and short_side_px: "
            f"[{spec.crop_px}, {spec.crop_px}] {where}"
        )


def shard_moments(side_px: int, inputs: TrainingInputs, world: World) -> Moments:
    """Moments of the central squares at `side_px` of this process's shard of the images."""
    assert inputs.packed, "whitening is fitted to packed images"
    messages.log(f"whitening: fitting to the images of {inputs.packed}")
    opened = batches.open_testing(
        inputs.loader, inputs.packed, views=[View(side_px, side_px)], batch_size=IMAGES_AT_ONCE,
        rank=world.rank, world_size=world.size, workers=inputs.threads,
    )  # fmt: skip
    with closing(opened):
        return moments((batch.images[:, 0] for batch in opened), side_px)


def sum_over_processes(sums: Moments, world: World) -> Moments:
    """Sums of the moments over all processes."""
    return Moments(*(world.sum(part.to(world.device)).cpu() for part in sums))


def crop_windows(spec: specs.TrainSpec, manifest: Manifest) -> NormalizationInputs:
    """Windows of the recipe's crops in whitened images: of a batch and an epoch int64 `[N, 5]`, None for noise."""
    policy = data.crops_of(spec, manifest)

    def windows(batch: Batch, epoch: int) -> Tensor | None:
        if batch.boxes is None:
            return None
        sides = np.full(len(batch.labels), policy.crop_px)
        boxes = random_crops.draw(policy, spec.seed, epoch, data.sample_keys(batch).numpy(), sides, sides)
        return torch.from_numpy(boxes.crop_boxes[:, 0])

    return windows


def _read(path: Path, made_of: dict[str, str]) -> tuple[Tensor, Tensor] | None:
    try:
        with safe_open(path, "pt") as file:
            return (file.get_tensor("mean"), file.get_tensor("matrix")) if file.metadata() == made_of else None
    except (OSError, SafetensorError):  # not there, or damaged
        return None


def _write(path: Path | None, own: tuple[Tensor, Tensor], made_of: dict[str, str]) -> None:
    if path is None:
        return
    with files.atomically(path) as unfinished:
        safetensors.torch.save_file(dict(zip(("mean", "matrix"), own, strict=True)), unfinished, metadata=made_of)
