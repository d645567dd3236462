"""Images a second that are packed: ours against FFCV's own DatasetWriter in `jpg` mode, on the same files and cores.

Rounds alternate between the variants and their medians are compared, so that a machine that slows down slows all of
them; on a machine that others work on, the processors' time an image says more than the clock's. The page cache is
warm, and both sides end with a finished file. Ours also reads it back and hashes it. With `verify: structure` the
pictures are listed several times, as 1000 of them are decoded however many there are.
"""

import argparse
import contextlib
import io
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ffcv.fields import IntField, RGBImageField
from ffcv.writer import DatasetWriter
from PIL import Image

from ilsvrc.config.specs import FormSpec
from ilsvrc.datasets import folder
from ilsvrc.datasets._card import Sample
from ilsvrc.packing.pixel_statistics import NUM_MEASURED
from ilsvrc.packing.read_bytes import sample_bytes
from ilsvrc.packing.writer import pack

QUALITY = 90  # FFCV's default
LISTED = 20 * NUM_MEASURED
HERE = Path()


class Round(NamedTuple):
    images_per_second: float
    cpu_ms_an_image: float


class Pictures:
    """What FFCV's writer asks for: RGB pixels and a label."""

    def __init__(self, samples: Sequence[Sample], labels: dict[str, int]) -> None:
        self.samples, self.labels = samples, labels

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, place: int) -> tuple[Image.Image, int]:
        sample = self.samples[place]
        picture = Image.open(io.BytesIO(sample_bytes(sample, HERE))).convert("RGB")
        return picture, self.labels[sample.label_name]


def main() -> None:
    given = arguments()
    samples = list(folder.samples(HERE, {"path": str(given.archive.absolute())}))
    samples = samples[:: max(1, len(samples) // given.images)]
    for sample in samples:  # into the page cache
        sample_bytes(sample, HERE)
    with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
        found = measure(variants(samples, Path(scratch, "x.beton"), given), given.rounds)
    report(found, given, len(samples))


def arguments() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("archive", type=Path, help="a tar of <split>/<class>/<image>, such as flowers17.tar")
    options.add_argument("--images", type=int, default=10_000, help="pictures at most, evenly spaced")
    options.add_argument("--short-side", type=int, default=400, help="pixels that pictures are made smaller to")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--scratch", type=Path)
    return options.parse_args()


Variant = tuple[Callable[[], object], int, str]  # what packs, how many pictures, the variant that it is compared with


def variants(samples: list[Sample], beton: Path, given: argparse.Namespace) -> dict[str, Variant]:
    """Name -> how the pictures are packed."""
    labels = {name: label for label, name in enumerate(sorted({sample.label_name for sample in samples}))}
    times = -(-LISTED // len(samples))
    many = [replace(sample, name=f"{n}/{sample.name}") for n in range(times) for sample in samples]
    side, longest = given.short_side, longest_side(samples, given.short_side)

    def ours(listed: list[Sample], **form: object) -> Callable[[], object]:
        made = FormSpec(data="benchmark", **form)
        return lambda: pack(listed, labels, HERE, made, beton, given.workers)

    def stock(**options: object) -> Callable[[], object]:
        fields = {"image": RGBImageField(write_mode="jpg", **options), "label": IntField()}
        writer = DatasetWriter(str(beton), fields, num_workers=given.workers)
        return lambda: writer.from_indexed_dataset(Pictures(samples, labels))

    whole, smaller = "FFCV, jpg", f"FFCV, jpg, longest side {longest}"
    return {
        whole: (stock(), len(samples), whole),
        "ilsvrc, verify: structure": (ours(many, verify="structure"), len(many), whole),
        "ilsvrc, verify: decode": (ours(samples), len(samples), whole),
        smaller: (stock(max_resolution=longest), len(samples), smaller),
        f"ilsvrc, re-encoded, short side {side}": (
            ours(samples, short_side_px=side, jpeg_quality=QUALITY), len(samples), smaller,
        ),
    }  # fmt: skip


def longest_side(samples: Sequence[Sample], short_side_px: int) -> int:
    """FFCV bounds the longest side: the one that the median picture has at this short side."""
    sizes = [Image.open(io.BytesIO(sample_bytes(s, HERE))).size for s in samples[:: max(1, len(samples) // 200)]]
    return round(short_side_px * statistics.median(max(size) / min(size) for size in sizes))


def measure(named: dict[str, Variant], rounds: int) -> dict[str, list[Round]]:
    found: dict[str, list[Round]] = {name: [] for name in named}
    for _ in range(rounds):
        for name, (run, num_images, _) in named.items():
            found[name].append(timing(run, num_images))
    return {f"{name}|{named[name][2]}": times for name, times in found.items()}


def timing(run: Callable[[], object], num_images: int) -> Round:
    cpu, started = processors_seconds(), time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):  # FFCV's bar
        run()
    for child in multiprocessing.active_children():
        child.join()
    seconds = time.perf_counter() - started
    return Round(num_images / seconds, 1000 * (processors_seconds() - cpu) / num_images)


def processors_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    return sum(os.times()[:4])


def report(found: dict[str, list[Round]], given: argparse.Namespace, num_images: int) -> None:
    median = {
        name.split("|")[0]: Round(*np.median(np.array(rounds), axis=0).tolist()) for name, rounds in found.items()
    }
    load = os.getloadavg()[0]
    print(
        f"\n{given.archive.name}: {num_images} pictures, {given.workers} workers, {given.rounds} rounds,"
        f" load {load:.1f}\n"
    )
    print("| | images/s, median (least to most) | ms of processors | images/s to FFCV's | processors to FFCV's |")
    print("|---|---|---|---|---|")
    for key, rounds in found.items():
        name, other = key.split("|")
        rates = [one.images_per_second for one in rounds]
        faster = median[name].images_per_second / median[other].images_per_second
        cheaper = median[other].cpu_ms_an_image / median[name].cpu_ms_an_image
        spread = f"{median[name].images_per_second:.0f} ({min(rates):.0f} to {max(rates):.0f})"
        print(f"| {name} | {spread} | {median[name].cpu_ms_an_image:.2f} | {faster:.2f} | {cheaper:.2f} |")


if __name__ == "__main__":
    main()
