"""What limits a training on this machine: rates of disk, decoding, loader and network for params.yaml, in a minute.

Needs the packed files (`snakemake --cores all data`); writes nothing.
"""

import argparse
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ilsvrc.config import params, specs
from ilsvrc.loading import batches
from ilsvrc.packing import beton_layout, jpeg
from ilsvrc.packing.beton import Packed, open_packed
from ilsvrc.pipeline import first_runs, wiring
from ilsvrc.runtime import cli, distributed, files, hardware
from ilsvrc.runtime.distributed import World
from ilsvrc.training import build, data, inputs, loop
from ilsvrc.training.preflight import setup

SECONDS = 3.0  # of each measurement; a training's step may take longer
READ_IMAGES, DECODED_IMAGES = 2000, 1000
CPU_BATCH = 8  # images a step where there is no GPU: the rate changes little with more


class Rate(NamedTuple):
    """Images a second of one part."""

    part: str
    images_per_second: float
    of: str


def main(given: argparse.Namespace) -> None:
    """Measures, prints the table, and says what limits."""
    flow = wiring.Pipeline(params.load(given.params))
    beton = first_runs.packed_train(flow)
    specs = first_runs.first_runs(flow, given.architectures)
    opened, manifest = open_packed(beton), files.read_json(beton.with_suffix(".manifest.json"))
    shared = [disk(opened), *([decoding(opened, given.threads)] if is_jpeg(opened).any() else [])]
    print_rates(shared, head=True)
    with distributed.joined(given.gpus) as world:
        for spec in specs:
            mine = [loader(beton, spec, manifest, given), network(beton, spec, manifest, world, given)]
            print_rates(mine)
            print(verdict(spec, opened, [shared[0], *mine], given), flush=True)


def disk(opened: Packed) -> Rate:
    """Payloads in random order, read from the disk and not from memory where the kernel lets go of them."""
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
    """Whole JPEGs, by libjpeg-turbo alone."""
    indices = np.random.default_rng(0).permutation(np.flatnonzero(is_jpeg(opened)))[:DECODED_IMAGES]
    content = opened.mapped()

    def decode(index: int) -> int:
        payload = opened.bytes_of(content, index).tobytes()
        return len(jpeg.decode(payload, int(opened.widths[index]), int(opened.heights[index])))

    megapixels = (opened.widths * opened.heights).mean() / 1e6
    with ThreadPoolExecutor(threads) as pool:
        rounds = (indices[start : start + 4 * threads] for start in range(0, len(indices), 4 * threads))
        done = rate(len(list(pool.map(decode, some))) for some in rounds)
    return Rate("decode", done, f"whole JPEGs of {megapixels:.2f} megapixels, {threads} threads")


def loader(beton: Path, spec: specs.TrainSpec, manifest: files.Info, given: argparse.Namespace) -> Rate:
    """Training batches as the recipe asks for them, thrown away."""
    recipe = spec.recipe
    opened = batches.open_training(
        given.loader, beton, look=data.loaded(spec, manifest), batch_size=recipe.batch_size, seed=spec.seed,
        workers=given.threads, order=recipe.order, repeats=recipe.repeats,
    )  # fmt: skip
    with closing(opened):
        done = rate((len(batch.labels) for batch in endless(opened)), skip=2)
    return Rate("loader", done, f"{given.loader}, {recipe.crop} crops of {spec.crop_px} px, {given.threads} threads")


def network(beton: Path, spec: specs.TrainSpec, manifest: files.Info, world: World, given: argparse.Namespace) -> Rate:
    """Steps on noise: forward, backward and update."""
    recipe, threads = spec.recipe, torch.get_num_threads()
    group = recipe.batch_norm_group if isinstance(recipe.batch_norm_group, int) else CPU_BATCH
    size = recipe.batch_size if given.gpus else min(recipe.batch_size, group)
    spec = setup.alone(spec, size)
    number_format = build.number_format(given, spec, world)
    noise = batches.open_training("synthetic", beton, look=data.loaded(spec, manifest), batch_size=size, seed=0)
    torch.set_num_threads(given.threads)
    beside = inputs.Given(packed=beton, mean_image=beton.with_suffix(".mean_image.npy"), loader="synthetic")
    training = build.prepare(spec, manifest, len(noise), world, number_format, beside)
    training.network.train()
    # the sums that a step returns wait for the device
    steps = (int(loop.train_step(training, batch, 0)[2]) for batch in endless(noise))
    done = rate(steps, skip=3 if given.gpus else 1)
    torch.set_num_threads(threads)
    return Rate(spec.architecture, done, f"forward, backward and update, {number_format}, {world.device.type}")


def verdict(spec: specs.TrainSpec, opened: Packed, rates: list[Rate], given: argparse.Namespace) -> str:
    """One sentence: what limits, and what to change."""
    from_disk, loading, computing = rates
    parts = [loading, computing] if fits_in_memory(opened) else rates
    least = min(parts, key=lambda each: each.images_per_second)
    seconds = opened.num_images / least.images_per_second
    what = "the network" if least is computing else f"the {least.part}"
    start = f"{spec.architecture}: {what} limits, {seconds / 60:.1f} minutes for {opened.num_images} images"
    if least is computing:
        return f"{start}; loading keeps up; faster is {faster_network(given)}"
    if least is from_disk:
        return f"{start}; a faster disk for data/packed helps, or {smaller(opened)}"
    return f"{start}; {faster_loader(opened, given)}"


def faster_network(given: argparse.Namespace) -> str:
    """What speeds up a network."""
    return "more GPUs (--set-resources train:gpu=<n>)" if given.gpus else "a GPU, or training: {crop_px: ...}"


def faster_loader(opened: Packed, given: argparse.Namespace) -> str:
    """What speeds up loading."""
    if given.loader == "pillow":
        return "use --set-resources train:loader=ffcv"
    cores = len(os.sched_getaffinity(0))
    more = f"use more of the {cores} cores (--set-threads train={cores}), or " if given.threads < cores else ""
    return f"{more}set {smaller(opened)}"


def smaller(opened: Packed) -> str:
    """A packed form that is read or decoded faster."""
    if not is_jpeg(opened).any():
        return "data: {encoding: jpeg} or a lower short_side_px in params.yaml"
    return "data: {short_side_px: 256}, and where the disk has room encoding: raw, in params.yaml"


def fits_in_memory(opened: Packed) -> bool:
    """The kernel can keep the whole file after the first epoch."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return opened.path.stat().st_size < 0.5 * memory_bytes


def is_jpeg(opened: Packed) -> np.ndarray:
    """Which images are stored encoded."""
    return opened.modes == beton_layout.JPEG


def endless(opened: batches.TrainingBatches) -> Iterator[batches.Batch]:
    """Epoch after epoch."""
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


def print_rates(rates: list[Rate], head: bool = False) -> None:
    """Lines of the table."""
    if head:
        print(f"{'':<24}{'images/s':>10}  of")
    for part, images_per_second, of in rates:
        print(f"{part:<24}{images_per_second:>10.0f}  {of}", flush=True)


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = cli.parser(__doc__)
    parser.add_argument("architectures", nargs="*", help="those of params.yaml where none is named")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of the loader, and on a CPU")
    parser.add_argument("--gpus", type=int, choices=(0, 1), default=min(1, hardware.num_gpus()))
    parser.add_argument("--precision", default="auto", help="auto, float32, bfloat16 or float64")
    parser.add_argument("--loader", default="ffcv", help="ffcv or pillow")
    return parser


if __name__ == "__main__":
    setup.with_trainings_memory()
    cli.run(main, arguments())
