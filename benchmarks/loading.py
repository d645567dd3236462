"""Images a second: our FFCV loader, FFCV's own decoder on the same files, and torchvision's ImageFolder + DataLoader.

Every variant decodes the same photographs, crops 8 to 100 % of the area to 224 pixels, mirrors half of them and
makes batches of 128. Rounds alternate between the variants and their medians are compared, so that a machine that
slows down slows all of them. The page cache is warm. On a machine that others work on, the processors' seconds an
image, of all threads and processes, say more than the clock's.
"""

import argparse
import json
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import psutil
import torch
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from ilsvrc.config.specs import FormSpec
from ilsvrc.datasets import folder
from ilsvrc.loading.batches import open_training
from ilsvrc.packing import c_extension, jpeg, writer
from ilsvrc.packing.beton import open_packed

CROP_PX, BATCH = 224, 128
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BASELINE = "torchvision, float32"
FORMS = {
    "original JPEG": FormSpec(data="benchmark"),
    "JPEG, short side 375": FormSpec(data="benchmark", short_side_px=375),
    "raw, short side 375": FormSpec(data="benchmark", short_side_px=375, encoding="raw"),
}
Epoch = Callable[[int], Iterable[object]]


class Round(NamedTuple):
    images_per_second: float
    cpu_ms_an_image: float


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        variants = {
            name: make
            for name, make in every_variant(options.archive, Path(scratch), options.workers).items()
            if not options.only or name == BASELINE or any(word in name for word in options.only)
        }
        found = measure({name: make() for name, make in variants.items()}, options.rounds, options.epochs)
    report(found, options)


def arguments() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("archive", type=Path, help="a tar of <split>/<class>/<image>, such as flowers17.tar")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--epochs", type=int, default=3, help="epochs in a round")
    options.add_argument("--only", nargs="*", help="variants whose name has one of these words, and the baseline")
    options.add_argument("--json", type=Path, help="file for every round's rate")
    return options.parse_args()


def every_variant(archive: Path, scratch: Path, workers: int) -> dict[str, Callable[[], Epoch]]:
    """Name -> what makes it ready. FFCV's own pipelines come last: they mark numba's types for later compilations."""

    def path(form: str) -> Path:
        return pack(archive, scratch, form, workers)

    return {
        **{f"ilsvrc, {form}": lambda form=form: ours(path(form), workers, "ffcv") for form in FORMS},
        "ilsvrc without FFCV, original JPEG": lambda: ours(path("original JPEG"), workers, "pillow"),
        BASELINE: lambda: torchvision(archive, scratch, workers, floats=True),
        "torchvision, uint8": lambda: torchvision(archive, scratch, workers, floats=False),
        "whole originals decoded, no more": lambda: decoding(path("original JPEG"), workers),
        **{f"stock FFCV, {form}": lambda form=form: stock(path(form), workers) for form in FORMS},
    }


def pack(archive: Path, scratch: Path, form: str, workers: int) -> Path:
    beton = scratch / f"{form}.beton"
    if not beton.exists():
        samples = [sample for sample in folder.samples(scratch, {"path": str(archive)}) if sample.split == "train"]
        labels = {name: label for label, name in enumerate(sorted({sample.label_name for sample in samples}))}
        writer.pack(samples, labels, scratch, FORMS[form], beton, workers)
    return beton


def ours(beton: Path, workers: int, loader: str) -> Epoch:
    return open_training(
        loader, beton, crop="area_aspect", crop_px=CROP_PX, flip=True, batch_size=BATCH, seed=0, workers=workers
    ).epoch


def stock(beton: Path, workers: int) -> Epoch:
    from ffcv.fields.basics import IntDecoder
    from ffcv.fields.rgb_image import RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import RandomHorizontalFlip, ToTensor

    image = [RandomResizedCropRGBImageDecoder((CROP_PX, CROP_PX)), RandomHorizontalFlip(), ToTensor()]
    loader = Loader(
        str(beton), batch_size=BATCH, num_workers=workers, order=OrderOption.RANDOM, drop_last=True,
        pipelines={"image": image, "label": [IntDecoder(), ToTensor()]},
    )  # fmt: skip
    return lambda epoch: loader


def torchvision(archive: Path, scratch: Path, workers: int, floats: bool) -> Epoch:
    if not (scratch / "pictures").exists():
        with tarfile.open(archive) as tar:
            tar.extractall(scratch / "pictures", filter="data")
    train = next(path for path in sorted((scratch / "pictures").rglob("train")) if path.is_dir())
    steps = [transforms.RandomResizedCrop(CROP_PX), transforms.RandomHorizontalFlip()]
    last = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)] if floats else [transforms.PILToTensor()]
    loader = DataLoader(
        datasets.ImageFolder(str(train), transforms.Compose(steps + last)),
        batch_size=BATCH, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=True,
    )  # fmt: skip
    return lambda epoch: loader


def decoding(beton: Path, workers: int) -> Epoch:
    """libjpeg-turbo alone, in threads, an image at a time: where a loader that decodes whole images ends."""
    opened = open_packed(beton)
    content = opened.mapped()

    def decode(index: int) -> tuple[tuple[int]]:
        jpeg.decode(opened.payload(content, index).tobytes(), int(opened.widths[index]), int(opened.heights[index]))
        return ((0,),)

    def epoch(number: int) -> Iterator[object]:
        with ThreadPoolExecutor(workers) as threads:
            yield from threads.map(decode, range(opened.num_images))

    return epoch


def measure(variants: dict[str, Epoch], rounds: int, epochs: int) -> dict[str, list[Round]]:
    """Each round's rates; a first, unmeasured epoch warms caches, workers and compilers."""
    for epoch in variants.values():
        count_images(epoch(0))
    found: dict[str, list[Round]] = {name: [] for name in variants}
    for number in range(rounds):
        for name, epoch in variants.items():
            started, cpu = time.perf_counter(), cpu_seconds()
            images = sum(count_images(epoch(1 + number * epochs + k)) for k in range(epochs))
            seconds, cpu = time.perf_counter() - started, cpu_seconds() - cpu
            found[name].append(Round(images / seconds, 1e3 * cpu / images))
    return found


def cpu_seconds() -> float:
    """Of this process, its threads, and its children, those that have ended included."""
    own = psutil.Process()
    alive = [child.cpu_times() for child in own.children(recursive=True)]
    return sum(own.cpu_times()[:4]) + sum(sum(times[:4]) for times in alive)


def count_images(batches: Iterable[object]) -> int:
    return sum(len(batch[0]) for batch in batches)  # type: ignore[index]


def report(found: dict[str, list[Round]], options: argparse.Namespace) -> None:
    print(f"{options.archive.name}, {options.workers} workers, {options.rounds} rounds of {options.epochs} epochs,")
    print(f"torch {torch.__version__}, load average {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores,")
    print(
        f"kernels {'compiled' if c_extension.path() else 'not compiled'}; ratios are of medians, against {BASELINE}\n"
    )
    print("| loader | images/s | slowest to fastest round | ratio | CPU ms an image | ratio |")
    print("|---|---|---|---|---|---|")
    base_rate, base_cpu = medians(found[BASELINE])
    for name, rounds in found.items():
        rate, cpu = medians(rounds)
        span = f"{min(rounds).images_per_second:.0f} to {max(rounds).images_per_second:.0f}"
        print(f"| {name} | {rate:.0f} | {span} | {rate / base_rate:.2f} | {cpu:.2f} | {base_cpu / cpu:.2f} |")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def medians(rounds: list[Round]) -> tuple[float, float]:
    rate, cpu = (statistics.median(column) for column in zip(*rounds, strict=True))
    return rate, cpu


if __name__ == "__main__":
    main()
