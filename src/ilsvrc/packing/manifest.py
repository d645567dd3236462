"""Manifest, image list and mean image of a packed split."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from ilsvrc.artifacts.manifest import Manifest, StoredBytes
from ilsvrc.config.specs import FormSpec
from ilsvrc.datasets._card import Sample, join_classes, split_classes
from ilsvrc.datasets._census import Source
from ilsvrc.packing.pixel_statistics import Colours, Matrix, principal_components
from ilsvrc.packing.writer import Packing
from ilsvrc.runtime import files

COLUMNS = ("index", "name", "label", "label_name", "width", "height")
HOW = ("passed_through", "encoded", "raw")


class PixelStatistics(TypedDict):
    """Fields of the manifest."""

    num_measured: int
    mean: list[float]
    std: list[float]
    eigenvalues: list[float]
    eigenvectors: Matrix


def label_names(source: Source) -> list[str]:
    """Names of the packed labels by number: classes, or sets of classes."""
    if source.label_sets is None:
        return list(source.classes)
    return [join_classes(source.classes[index] for index in label_set) for label_set in source.label_sets]


def describe(
    form: FormSpec, split: str, classes: Sequence[str], packing: Packing, samples: Sequence[Sample],
    label_sets: Sequence[Sequence[int]] | None = None,
) -> Manifest:  # fmt: skip
    """The manifest: the same for the same images and form, whenever, wherever and by however many workers."""
    counts = Counter(samples[place].label_name for place in packing.kept)
    if label_sets is not None:
        counts = Counter(name for label_name in counts.elements() for name in split_classes(label_name))
    return Manifest(
        spec=form,
        split=split,
        classes=list(classes),
        label_sets=None if label_sets is None else [list(label_set) for label_set in label_sets],
        counts={name: counts[name] for name in classes},
        num_images=len(packing.kept),
        content_sha256=packing.content_sha256,
        **pixel_statistics(packing.colours),
        stored={how: packing.how[how] for how in HOW},
        stored_bytes=stored_bytes(packing),
        bad_images={samples[place].name: reason for place, reason in packing.bad.items()},
    )


def pixel_statistics(colours: Colours) -> PixelStatistics:
    """The manifest's statistics of the measured images' pixels."""
    eigenvalues, eigenvectors = principal_components(colours.covariance())
    return {
        "num_measured": colours.num_measured,
        "mean": colours.mean(),
        "std": colours.std(),
        "eigenvalues": eigenvalues,
        "eigenvectors": eigenvectors,
    }


def stored_bytes(packing: Packing) -> StoredBytes:
    """Sizes of the stored images."""
    sizes = packing.sizes
    return StoredBytes(min=int(sizes.min()), max=int(sizes.max()), mean=int(sizes.sum()) / len(sizes))


def write_mean_image(path: Path, packing: Packing) -> None:
    """The mean image of the split, float32 `[S, S, 3]`, 0 to 255, as .npy."""
    with files.atomically(path) as unfinished, unfinished.open("wb") as file:
        np.save(file, packing.mean_image.mean())


def write_images(path: Path, packing: Packing, samples: Sequence[Sample]) -> None:
    """A CSV of `COLUMNS`, one row an image in the packed file's order."""
    with files.atomically(path) as unfinished, unfinished.open("w", newline="", errors="surrogateescape") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for row, (place, record) in enumerate(zip(packing.kept, packing.records, strict=True)):
            image, sample = record["f0"], samples[place]
            rows.writerow((row, sample.name, record["f1"], sample.label_name, image["width"], image["height"]))
