"""Packs one split of a data set into a .beton, with its manifest and the list of its images."""

import argparse
import csv
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ilsvrc.config.specs import FormSpec, PackSpec, parse_specification
from ilsvrc.datasets._card import SPLITS, Sample, joined, parted
from ilsvrc.packing import index, jpeg
from ilsvrc.packing.index import Index
from ilsvrc.packing.writer import Packing, pack, summary
from ilsvrc.runtime import counter_rng, files
from ilsvrc.runtime.entry_point import parser, run
from ilsvrc.runtime.messages import say

COLUMNS = ("index", "name", "label", "label_name", "width", "height")


def main(arguments: argparse.Namespace) -> None:
    """Writes `--beton`, then `--images` and `--mean-image`, then `--manifest`."""
    told = parse_specification(PackSpec, arguments.spec)
    form = FormSpec(**told.model_dump(exclude={"compare"}))
    source = json.loads(arguments.source.read_text())
    classes, label_sets = source["classes"], source.get("label_sets")
    samples = _ordered(index.read(arguments.index, arguments.split), form)
    labels = {name: label for label, name in enumerate(label_names(classes, label_sets))}
    if jpeg.turbojpeg() is None:
        say("libturbojpeg is not on this machine: damage in the middle of a JPEG goes unseen")
    started = time.perf_counter()
    packing = pack(
        samples, labels, arguments.index.parent, form, arguments.beton, arguments.workers, compare=told.compare
    )
    seconds = time.perf_counter() - started
    _write_images(arguments.images, packing, samples)
    _write_mean_image(arguments.mean_image, packing)
    manifest = describe(form, arguments.split, classes, packing, samples, label_sets)
    files.write_text(arguments.manifest, json.dumps(manifest, indent=1) + "\n")
    say(_closing_line(arguments.split, packing, seconds))


def label_names(classes: Sequence[str], label_sets: Sequence[Sequence[int]] | None) -> list[str]:
    """What the packed labels stand for, by number: classes, or sets of classes."""
    if label_sets is None:
        return list(classes)
    return [joined(classes[index] for index in each) for each in label_sets]


def describe(
    form: FormSpec, split: str, classes: Sequence[str], packing: Packing, samples: Sequence[Sample],
    label_sets: Sequence[Sequence[int]] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The manifest: the same for the same pictures and form, whenever, wherever and by however many workers."""
    found = Counter(samples[place].label_name for place in packing.kept)
    if label_sets is not None:
        found = Counter(name for label_name in found.elements() for name in parted(label_name))
    return {
        "spec": form.model_dump(mode="json", exclude_defaults=True),
        "split": split,
        "classes": list(classes),
        **({} if label_sets is None else {"label_sets": [list(each) for each in label_sets]}),
        "counts": {name: found[name] for name in classes},
        **summary(packing),
        "bad_images": {samples[place].name: reason for place, reason in packing.bad.items()},
    }


def _ordered(samples: Index, form: FormSpec) -> Index:
    """As the archive has them, or shuffled, the same on every machine."""
    if form.order == "archive":
        return samples
    return Index(samples[place] for place in counter_rng.permutation(0, 0, np.arange(len(samples))).tolist())


def _write_mean_image(path: Path, packing: Packing) -> None:
    unfinished = path.with_name(f"{path.name}.tmp")
    with unfinished.open("wb") as file:
        np.save(file, packing.mean_image.mean())
    unfinished.replace(path)


def _write_images(path: Path, packing: Packing, samples: Sequence[Sample]) -> None:
    unfinished = path.with_name(f"{path.name}.tmp")
    with unfinished.open("w", newline="", errors="surrogateescape") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for row, (place, record) in enumerate(zip(packing.kept, packing.records, strict=True)):
            image, sample = record["f0"], samples[place]
            rows.writerow((row, sample.name, record["f1"], sample.label_name, image["width"], image["height"]))
    unfinished.replace(path)


def _closing_line(split: str, packing: Packing, seconds: float) -> str:
    stored = ", ".join(f"{count} {how.replace('_', ' ')}" for how, count in sorted(packing.how.items()))
    skipped = f", {len(packing.bad)} left out as broken" if packing.bad else ""
    return (
        f"packed {split}: {len(packing.kept)} images, {len(packing.kept) / seconds:.0f} images/s,"
        f" {packing.sizes.sum() / 1e6:.1f} MB ({stored}{skipped})"
    )


def arguments() -> argparse.ArgumentParser:
    """The stage's options."""
    options = parser(__doc__)
    options.add_argument("--spec", required=True, help="specs.PackSpec as JSON")
    options.add_argument("--source", required=True, type=Path, help="source.json of acquire")
    options.add_argument("--index", required=True, type=Path, help="index.csv of acquire")
    options.add_argument("--split", required=True, choices=SPLITS)
    options.add_argument("--beton", required=True, type=Path)
    options.add_argument("--manifest", required=True, type=Path)
    options.add_argument("--images", required=True, type=Path)
    options.add_argument("--mean-image", required=True, type=Path, help="float32 [S, S, 3], 0 to 255, as .npy")
    options.add_argument("--workers", type=int, default=1)
    return options


if __name__ == "__main__":
    run(main, arguments())
