"""Bottleneck of a training on this machine: rates of disk, decoding, loader and network, in a minute.

Needs the packed images; writes nothing.
"""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ilsvrc.artifacts import manifest as manifests
from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.config import specs
from ilsvrc.packing.beton import Packed, open_packed
from ilsvrc.profiling import throughput
from ilsvrc.profiling.throughput import Machine, Rate
from ilsvrc.runtime import distributed, hardware

TABLE_HEAD = f"{'':<24}{'images/s':>10}  of"


@dataclass(frozen=True)
class BottleneckJob:
    """The trainings to measure: packed training images (`.beton`), the first run of each architecture, the machine.

    `precision` is auto, float32, bfloat16 or float64; a recipe that names one goes before.
    """

    beton: Path
    specs: tuple[specs.TrainSpec, ...]
    machine: Machine
    precision: str = "auto"


@dataclass(frozen=True)
class Limit:
    """The slowest part of an architecture's training, minutes of an epoch at its rate, and advice in a sentence."""

    architecture: str
    rates: tuple[Rate, ...]  # loader and network
    part: str
    epoch_minutes: float
    advice: str


@dataclass(frozen=True)
class Bottleneck:
    """Rates that all trainings share (disk, decoding), and the limit of each architecture."""

    shared: tuple[Rate, ...]
    limits: tuple[Limit, ...]


def measure(job: BottleneckJob, follow: Callable[[str], None] = lambda line: None) -> Bottleneck:
    """Measures each part, a few seconds each; `follow` gets each line of `as_text` as soon as it is known."""
    opened, manifest = open_packed(job.beton), Manifest.read(manifests.beside(job.beton))
    shared, limits = measure_storage(opened, job.machine), []
    follow("\n".join([TABLE_HEAD, *map(table_line, shared)]))
    with distributed.process_group(job.machine.gpus) as world:
        for spec in job.specs:
            loading = throughput.loader(job.beton, spec, manifest, job.machine)
            computing = throughput.network(job.beton, spec, manifest, world, job.precision, job.machine)
            limits.append(find_limit(spec.architecture, opened, (shared[0], loading, computing), job.machine))
            follow(limit_text(limits[-1]))
    return Bottleneck(shared, tuple(limits))


def measure_storage(opened: Packed, machine: Machine) -> tuple[Rate, ...]:
    """Rates of the disk and, where the images are stored as JPEG, of decoding whole ones."""
    disk = throughput.disk(opened)
    return (disk, throughput.decoding(opened, machine.threads)) if throughput.is_jpeg(opened).any() else (disk,)


def find_limit(architecture: str, opened: Packed, rates: tuple[Rate, Rate, Rate], machine: Machine) -> Limit:
    """The slowest of disk, loader and network; the disk counts where the packed file does not fit in memory."""
    disk, loading, computing = rates
    parts = [loading, computing] if fits_in_memory(opened) else rates
    slowest = min(parts, key=lambda each: each.images_per_second)
    if slowest is computing:
        part, advice = "network", f"loading keeps up; faster is {faster_network(machine)}"
    elif slowest is disk:
        part, advice = "disk", f"a faster disk for data/packed helps, or {smaller(opened)}"
    else:
        part, advice = "loader", faster_loader(opened, machine)
    minutes = opened.num_images / slowest.images_per_second / 60
    sentence = f"{architecture}: the {part} limits, {minutes:.1f} minutes for {opened.num_images} images; {advice}"
    return Limit(architecture, (loading, computing), part, minutes, sentence)


def faster_network(machine: Machine) -> str:
    """Advice on the network's speed."""
    return "more GPUs (--set-resources train:gpu=<n>)" if machine.gpus else "a GPU, or training: {crop_px: ...}"


def faster_loader(opened: Packed, machine: Machine) -> str:
    """Advice on the loader's speed."""
    if machine.loader == "pillow":
        return "use --set-resources train:loader=ffcv"
    cores = hardware.num_cores()
    more = f"use more of the {cores} cores (--set-threads train={cores}), or " if machine.threads < cores else ""
    return f"{more}set {smaller(opened)}"


def smaller(opened: Packed) -> str:
    """Advice on a packed format that is read or decoded faster."""
    if not throughput.is_jpeg(opened).any():
        return "data: {encoding: jpeg} or a lower short_side_px in params.yaml"
    return "data: {short_side_px: 256}, and where the disk has room encoding: raw, in params.yaml"


def fits_in_memory(opened: Packed) -> bool:
    """True if the kernel can keep the whole file after the first epoch."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return opened.path.stat().st_size < 0.5 * memory_bytes


def as_text(found: Bottleneck) -> str:
    """Table of the rates, and under each architecture's the advice."""
    return "\n".join([TABLE_HEAD, *map(table_line, found.shared), *map(limit_text, found.limits)])


def limit_text(limit: Limit) -> str:
    """Lines of an architecture: its rates and the advice."""
    return "\n".join([*map(table_line, limit.rates), limit.advice])


def table_line(rate: Rate) -> str:
    """Line of a rate."""
    return f"{rate.part:<24}{rate.images_per_second:>10.0f}  {rate.conditions}"


def as_json(found: Bottleneck) -> dict[str, Any]:
    """The same for machines."""
    return asdict(found)
