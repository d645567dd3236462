"""Views of a test made ready, and whole evaluations: ours against torchvision's transforms and DataLoader.

Ten crops are torchvision's Resize, TenCrop and ToTensor (float32, mirrors made and stored), and its FiveCrop in uint8
(mirrors left to the device, as are ours); 144 crops are the same 72 windows cut with Pillow in uint8. Every variant
reads the same files of the same photographs; first, the pixels of ours are compared with torchvision's on all of them.
Rounds alternate between the variants and their medians are compared. The page cache is warm. On a machine that others
work on, the processors' milliseconds an image, of all threads and processes, say more than the clock's.
"""

import argparse
import json
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import torch
from PIL import Image
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, models, transforms
from torchvision.transforms import functional

from ilsvrc.config import registry
from ilsvrc.config.specs import FormSpec
from ilsvrc.datasets._card import Sample
from ilsvrc.evaluation.predictor import Predictor, plan, predict
from ilsvrc.evaluation.protocols import googlenet_144_crop, ten_crop_rectangle
from ilsvrc.loading import view_batches
from ilsvrc.loading.views import View, view_box
from ilsvrc.models.common.normalization import Normalization
from ilsvrc.packing import writer
from ilsvrc.runtime import precision

CROP_PX, SQUARE_PX = 224, 256
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
COLUMN_MEAN, COLUMN_STD = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
WINDOWS = {
    "ten crops": ten_crop_rectangle.views(CROP_PX)[:5],
    "144 crops": googlenet_144_crop.views(CROP_PX)[:72],
}
Round = Callable[[], int]  # does all images once and returns how many


class Rates(NamedTuple):
    images_per_second: float
    cpu_ms_an_image: float


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        pictures = extract(options.archive, Path(scratch), options.images)
        beton = pack(pictures, Path(scratch), options.threads)
        print(
            f"{compare(beton, pictures)} views of {options.images} photographs: equal to torchvision's, bit for bit\n"
        )
        for title, variants in every_comparison(beton, pictures, options).items():
            if not options.only or any(word in title for word in options.only):
                report(title, measure(variants, options.rounds), options)


def arguments() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("archive", type=Path, help="a tar of <split>/<class>/<image>, such as flowers17.tar")
    options.add_argument("--threads", type=int, default=2, help="our threads, and torchvision's worker processes")
    options.add_argument("--images", type=int, default=300)
    options.add_argument("--evaluated", type=int, default=32, help="photographs that go through a network")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--only", nargs="*", help="comparisons whose title has one of these words")
    options.add_argument("--json", type=Path, help="file for every round's rate, a line a comparison")
    return options.parse_args()


def extract(archive: Path, scratch: Path, count: int) -> Path:
    """`count` photographs, evenly spread, as <scratch>/pictures/<split>/<class>/<image>."""
    with tarfile.open(archive) as tar:
        members = [member for member in tar if member.isfile() and member.name.lower().endswith((".jpg", ".jpeg"))]
        chosen = members[:: max(1, len(members) // count)][:count]
        for member in chosen:
            parts = Path(member.name).parts
            (target := scratch / "pictures" / "val" / parts[-2]).mkdir(parents=True, exist_ok=True)
            (target / parts[-1]).write_bytes(tar.extractfile(member).read())
    return scratch / "pictures"


def pack(pictures: Path, scratch: Path, workers: int) -> Path:
    """The originals, packed with their own bytes, in ImageFolder's order."""
    listed = datasets.ImageFolder(str(pictures / "val")).samples
    samples = [
        Sample("val", str(label), path, str(Path(path).relative_to(scratch)), 0, Path(path).stat().st_size)
        for path, label in listed
    ]
    labels = {str(label): label for _, label in listed}
    writer.pack(samples, labels, scratch, FormSpec(data="benchmark"), scratch / "val.beton", workers)
    return scratch / "val.beton"


def compare(beton: Path, pictures: Path) -> int:
    """Compares every view of every photograph with torchvision's; returns how many."""
    listed, count = datasets.ImageFolder(str(pictures / "val")), 0
    for views in WINDOWS.values():
        for batch in ours(beton, views, 1):
            theirs = [cut(listed[int(index)][0], views) for index in batch.indices]
            for pixels, images, which in batch.shown:
                for picture, image, view in zip(pixels, images.tolist(), which.tolist(), strict=True):
                    assert torch.equal(picture, theirs[image][view].permute(1, 2, 0)), (batch.indices[image], view)
                    count += 1
    return count


def cut(picture: Image.Image, views: Sequence[View]) -> torch.Tensor:
    """Windows uint8 `[V, 3, 224, 224]` of a picture by torchvision's functions; one resize a scale."""
    resized: dict[int, Image.Image] = {}
    found = []
    for view in views:
        if view.short_side_px not in resized:
            resized[view.short_side_px] = functional.resize(picture, [view.short_side_px])
        _, _, left, top, part_width, part_height, width, height = view_box(view, *picture.size)
        part = functional.crop(resized[view.short_side_px], top, left, part_height, part_width)
        found.append(functional.pil_to_tensor(functional.resize(part, [height, width])))
    return torch.stack(found)


def every_comparison(beton: Path, pictures: Path, options: argparse.Namespace) -> dict[str, dict[str, Round]]:
    """Title -> variant -> a round of it; the first variant is the baseline of the last columns."""
    threads, few = options.threads, options.evaluated
    floats = [transforms.TenCrop(CROP_PX), transforms.Lambda(lambda crops: stacked(crops, functional.to_tensor))]
    whole = [transforms.FiveCrop(CROP_PX), transforms.Lambda(lambda crops: stacked(crops, functional.pil_to_tensor))]
    every = [transforms.Lambda(lambda picture: cut(picture, WINDOWS["144 crops"]))]
    resize = transforms.Resize(SQUARE_PX)
    ten, many = (list(views) for views in WINDOWS.values())
    normalize = transforms.Lambda(lambda crops: (crops - COLUMN_MEAN) / COLUMN_STD)
    return {
        "ten crops": {
            "torchvision, float32": loading(pictures, [resize, *floats], 16, threads),
            "torchvision, uint8": loading(pictures, [resize, *whole], 16, threads),
            "ilsvrc": lambda: sum(len(batch.labels) for batch in ours(beton, ten, threads)),
            "ilsvrc without FFCV": lambda: sum(len(batch.labels) for batch in ours(beton, ten, threads, "pillow")),
        },
        "144 crops": {
            "torchvision, uint8": loading(pictures, every, 4, threads),
            "ilsvrc": lambda: sum(len(batch.labels) for batch in ours(beton, many, threads)),
        },
        "ten crops through ResNet-18": {
            "torchvision": plain(pictures, [resize, *floats, normalize], few, threads),
            "ilsvrc, float32": evaluation(beton, few, threads, "float32"),
            f"ilsvrc, {precision.choose('auto', torch.device('cpu'))}": evaluation(beton, few, threads, "auto"),
        },
    }


def stacked(crops: Sequence[Image.Image], as_tensor: Callable[[Image.Image], torch.Tensor]) -> torch.Tensor:
    return torch.stack([as_tensor(crop) for crop in crops])


def ours(beton: Path, views: Sequence[View], workers: int, loader: str = "ffcv", **options: Any) -> Iterator[Any]:
    with closing(view_batches.open_views(loader, beton, views=views, workers=workers, **options)) as opened:
        torch.set_num_threads(workers)
        yield from opened


def loading(pictures: Path, steps: Sequence[Any], batch_size: int, workers: int, count: int | None = None) -> Any:
    """A DataLoader of torchvision's, read through."""
    listed: Any = datasets.ImageFolder(str(pictures / "val"), transforms.Compose(steps))
    chosen = listed if count is None else Subset(listed, range(count))
    loader = DataLoader(chosen, batch_size=batch_size, num_workers=workers, persistent_workers=True)

    def once() -> int:
        return sum(len(batch[0]) for batch in loader)

    once.loader = loader  # type: ignore[attr-defined]
    return once


def plain(pictures: Path, steps: Sequence[Any], count: int, workers: int) -> Round:
    """The evaluation of torchvision's documentation: every crop in one batch, scores averaged."""
    torch.manual_seed(0)
    network, loader = models.resnet18().eval(), loading(pictures, steps, 4, workers, count).loader

    @torch.inference_mode()
    def once() -> int:
        done = 0
        for crops, _ in loader:
            scores = network(crops.flatten(0, 1)).view(*crops.shape[:2], -1)
            done += len(scores.softmax(dim=-1).mean(dim=1))
        return done

    return once


def evaluation(beton: Path, count: int, workers: int, number_format: str) -> Round:
    """What the stage `predict` does."""
    torch.manual_seed(0)
    device = torch.device("cpu")
    chosen = precision.choose(number_format, device)
    normalize = Normalization([255 * m for m in MEAN], [255 * s for s in STD])
    network = registry.architecture("resnet18_b")()
    predictor = Predictor(network, normalize, device, precision.autocast(chosen, device))
    protocols = {"ten_crop_rectangle": ten_crop_rectangle}
    steps = plan({"ten_crop_rectangle": ten_crop_rectangle.views(CROP_PX)})

    def once() -> int:
        opened = view_batches.open_views("ffcv", beton, views=steps.windows, workers=workers, subset=np.arange(count))
        torch.set_num_threads(workers)
        rows = {"ten_crop_rectangle": np.empty((opened.packed.num_images, 1000), np.float32)}
        with closing(opened):
            return int(predict(predictor, opened, steps, protocols, rows, shown=False).sum())

    return once


def measure(variants: dict[str, Round], rounds: int) -> dict[str, list[Rates]]:
    """Each round's rates; a first, unmeasured one warms caches, workers and compilers."""
    for once in variants.values():
        once()
    found: dict[str, list[Rates]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, once in variants.items():
            started, cpu = time.perf_counter(), cpu_seconds()
            images = once()
            seconds, cpu = time.perf_counter() - started, cpu_seconds() - cpu
            found[name].append(Rates(images / seconds, 1e3 * cpu / images))
    return found


def cpu_seconds() -> float:
    """Of this process, its threads, and its children, those that have ended included."""
    own = psutil.Process()
    alive = [child.cpu_times() for child in own.children(recursive=True)]
    return sum(own.cpu_times()[:4]) + sum(sum(times[:4]) for times in alive)


def report(title: str, found: dict[str, list[Rates]], options: argparse.Namespace) -> None:
    print(f"{title}, {options.threads} threads or workers, {options.rounds} rounds, torch {torch.__version__},")
    print(f"load average {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores; in brackets ratios of processors' time\n")
    bases = [name for name in found if name.startswith("torchvision")]
    print("| | images/s | slowest to fastest round | CPU ms an image |" + "".join(f" : {name} |" for name in bases))
    print("|---|---|---|---|" + "---|" * len(bases))
    middle = {name: Rates(*(statistics.median(column) for column in zip(*all_of, strict=True)))
              for name, all_of in found.items()}  # fmt: skip
    for name, (rate, cpu) in middle.items():
        span = f"{min(found[name]).images_per_second:.1f} to {max(found[name]).images_per_second:.1f}"
        ratios = "".join(f" {rate / middle[base][0]:.2f} ({middle[base][1] / cpu:.2f}) |" for base in bases)
        print(f"| {name} | {rate:.1f} | {span} | {cpu:.1f} |{ratios}")
    print(flush=True)
    if options.json:
        with options.json.open("a") as file:
            file.write(json.dumps({title: found}) + "\n")


if __name__ == "__main__":
    main()
