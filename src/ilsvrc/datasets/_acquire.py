"""Acquisition of a data set: its archives in place, an index of its images and source.json."""

from dataclasses import dataclass
from pathlib import Path

from ilsvrc.config import registry
from ilsvrc.config.specs import SourceSpec
from ilsvrc.datasets import _index
from ilsvrc.datasets._card import SPLITS
from ilsvrc.datasets._census import Census, Source, describe
from ilsvrc.runtime import files
from ilsvrc.runtime.progress import track


@dataclass(frozen=True)
class AcquireJob:
    """Inputs and outputs of `acquire`; the archives that the card names are written beside `source`."""

    spec: SourceSpec
    source: Path  # source.json, in the data set's raw folder
    index: Path  # index.csv


def acquire(job: AcquireJob) -> str:
    """Downloads what is missing, and writes `job.index`, then `job.source`; returns a line that sums it up.

    Raises:
        ValueError: `data.path` is not set, or the images are not those that the card describes.
        OSError: a file cannot be downloaded, read or written.
    """
    dataset, options, raw = job.spec.dataset, job.spec.options.model_dump(), job.source.parent
    module = registry.load("datasets", dataset)
    if module.CARD.path and not job.spec.options.path:
        raise ValueError(f"data.path in params.yaml is not set; for {dataset} it should name {module.CARD.path}")
    raw.mkdir(parents=True, exist_ok=True)
    module.acquire(raw, options)
    census = Census()
    unchecked = job.index.with_name(f"{job.index.name}.unchecked")
    try:
        _index.write(unchecked, census.counting(track(module.samples(raw, options), f"index {dataset}")))
        source = describe(job.spec, module.CARD, census)
        files.move(unchecked, job.index)
        _index.sign(job.index)
    finally:
        unchecked.unlink(missing_ok=True)
    source.write(job.source)
    return _closing_line(dataset, source, census)


def _closing_line(dataset: str, source: Source, census: Census) -> str:
    counts = ", ".join(f"{census.num_images(split)} in {split}" for split in SPLITS)
    combinations = "" if source.label_sets is None else f" in {len(source.label_sets)} combinations"
    return f"acquired {dataset}: {source.num_images} images ({counts}) of {len(source.classes)} classes{combinations}"
