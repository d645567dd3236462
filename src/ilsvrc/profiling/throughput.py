"""Images a second of a training's parts on this machine: disk, decoding, loader and network."""

import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.config import specs
from ilsvrc.loading import batches
from ilsvrc.loading.contract import Batch
from ilsvrc.packing import beton_layout, jpeg
from ilsvrc.packing.beton import Packed
from ilsvrc.runtime import precision
from ilsvrc.runtime.distributed import World
from ilsvrc.training import build, data, inputs, loop
from ilsvrc.training.preflight import setup

SECONDS = 3.0  # of each measurement; a training's step may take longer
READ_IMAGES, DECODED_IMAGES = 2000, 1000
CPU_BATCH = 8  # images a step where there is no GPU: the rate changes little with more


@dataclass(frozen=True)
class Rate:
    """Images a second of one part; `conditions` says of which images, and how."""

    part: str
    images_per_second: float
    conditions: str


@dataclass(frozen=True)
class Machine:
    """The means that a training has here: CPU threads, GPUs (0 or 1), and `loader`: auto, ffcv or pillow."""

    threads: int
    gpus: int
    loader: str


def disk(opened: Packed) -> Rate:
    """Rate of payloads in random order, read from the disk and not from memory where the kernel lets go of them."""
    random = np.random.default_rng(0).permutation(opened.num_images)[:READ_IMAGES]
    file = os.open(opened.path, os.O_RDONLY)
    try:
        for advice in (os.POSIX_FADV_DONTNEED, os.POSIX_FADV_RANDOM):
            os.posix_fadvise(file, 0, 0, advice)
        done = rate(len(os.pread(file, int(opened.sizes[i]), int(opened.offsets[i]))) > 0 for i in random)
    finally:
        os.close(file)
    return Rate("disk", done, f"{opened.sizes.mean() / 1e3:.0f} kB an image, in random order")


def decoding(opened: Packed, threads: int) -> Rate:
    """Rate of whole JPEGs, decoded by libjpeg-turbo alone."""
    indices = np.random.default_rng(0).permutation(np.flatnonzero(is_jpeg(opened)))[:DECODED_IMAGES]
    content = opened.mapped()

    def decode(index: int) -> int:
        payload = opened.payload(content, index).tobytes()
        return len(jpeg.decode(payload, int(opened.widths[index]), int(opened.heights[index])))

    megapixels = (opened.widths * opened.heights).mean() / 1e6
    with ThreadPoolExecutor(threads) as pool:
        rounds = (indices[start : start + 4 * threads] for start in range(0, len(indices), 4 * threads))
        done = rate(len(list(pool.map(decode, some))) for some in rounds)
    return Rate("decode", done, f"whole JPEGs of {megapixels:.2f} megapixels, {threads} threads")


def loader(beton: Path, spec: specs.TrainSpec, manifest: Manifest, machine: Machine) -> Rate:
    """Rate of training batches as the recipe asks for them, thrown away."""
    recipe = spec.recipe
    opened = batches.open_training(
        machine.loader, beton, policy=data.loader_crops(spec, manifest), batch_size=recipe.batch_size, seed=spec.seed,
        workers=machine.threads, order=recipe.order, repeats=recipe.repeats,
    )  # fmt: skip
    with closing(opened):
        done = rate((len(batch.labels) for batch in endless(opened)), skip=2)
    conditions = f"{machine.loader}, {recipe.crop} crops of {spec.crop_px} px, {machine.threads} threads"
    return Rate("loader", done, conditions)


def network(
    beton: Path, spec: specs.TrainSpec, manifest: Manifest, world: World, requested_precision: str, machine: Machine
) -> Rate:
    """Rate of training steps on noise: forward, backward and update."""
    recipe, threads = spec.recipe, torch.get_num_threads()
    group = recipe.batch_norm_group if isinstance(recipe.batch_norm_group, int) else CPU_BATCH
    size = recipe.batch_size if machine.gpus else min(recipe.batch_size, group)
    spec = setup.standalone(spec, size)
    chosen = precision.choose(requested_precision if recipe.precision == "auto" else recipe.precision, world.device)
    noise = batches.open_training("synthetic", beton, policy=data.loader_crops(spec, manifest), batch_size=size, seed=0)
    torch.set_num_threads(machine.threads)
    beside = inputs.TrainingInputs(packed=beton, mean_image=beton.with_suffix(".mean_image.npy"), loader="synthetic")
    training = build.prepare(spec, manifest, len(noise), world, chosen, beside)
    training.network.train()
    # the sums that a step returns wait for the device
    steps = (int(loop.train_step(training, batch, 0)[2]) for batch in endless(noise))
    done = rate(steps, skip=3 if machine.gpus else 1)
    torch.set_num_threads(threads)
    return Rate(spec.architecture, done, f"forward, backward and update, {chosen}, {world.device.type}")


def is_jpeg(opened: Packed) -> npt.NDArray[np.bool_]:
    """Images that are stored as JPEG, bool `[N]`."""
    encoded: npt.NDArray[np.bool_] = opened.modes == beton_layout.JPEG
    return encoded


def endless(opened: batches.TrainingBatches) -> Iterator[Batch]:
    """Batches of epoch after epoch, without an end."""
    for epoch in count():
        yield from opened.epoch(epoch)


def rate(numbers: Iterable[int], skip: int = 0) -> float:
    """Sum of `numbers` a second, over SECONDS or what there is, the first `skip` of them not counted."""
    done, begin = 0, time.perf_counter()
    for step, number in enumerate(numbers, start=1 - skip):
        if step <= 0:
            begin = time.perf_counter()
            continue
        done += number
        if time.perf_counter() - begin > SECONDS:
            break
    return done / max(time.perf_counter() - begin, 1e-9)
