"""Acquisition of a data set: its archives in place, an index of its images and source.json."""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ilsvrc.config import registry
from ilsvrc.config.specs import SourceSpec
from ilsvrc.datasets import _index
from ilsvrc.datasets._card import SPLITS
from ilsvrc.datasets._census import Census, Source, describe, portable, with_names
from ilsvrc.runtime import files, locks
from ilsvrc.runtime.progress import track


@dataclass(frozen=True)
class AcquireJob:
    """Inputs and outputs of `acquire`; the archives that the card names are written beside `source`."""

    spec: SourceSpec
    source: Path  # source.json, in the data set's raw folder
    index: Path  # index.csv


def acquire(job: AcquireJob) -> str:
    """Downloads what is missing, and writes `job.index`, then `job.source`; returns a line that sums it up.

    One process at a time: what another one acquired while this one waited for it is not acquired again.

    Raises:
        ValueError: `data.path` is not set, or the images are not those that the card describes.
        OSError: a file cannot be downloaded, read or written.
    """
    dataset, options = job.spec.dataset, job.spec.options
    module = registry.load("datasets", dataset)
    if module.CARD.path and not options.path:
        raise ValueError(f"data.path in params.yaml is not set; for {dataset} it should name {module.CARD.path}")
    job.source.parent.mkdir(parents=True, exist_ok=True)
    with locks.one_maker(job.source.with_suffix(".lock"), str(job.source.parent)) as made_meanwhile:
        if made_meanwhile and _is_acquired(job):
            return f"acquired {dataset}: another process did, just now"
        return _acquire(job, module)


def _acquire(job: AcquireJob, module: ModuleType) -> str:
    dataset, options, raw = job.spec.dataset, job.spec.options.model_dump(), job.source.parent
    module.acquire(raw, options)
    census = Census()
    unchecked = job.index.with_name(f"{job.index.name}.unchecked")
    try:
        _index.write(unchecked, census.counting(with_names(track(module.samples(raw, options), f"index {dataset}"))))
        source = describe(job.spec, module.CARD, census)
        files.move(unchecked, job.index)
        _index.sign(job.index)
    finally:
        unchecked.unlink(missing_ok=True)
    source.write(job.source)
    return _closing_line(dataset, source, census)


def _is_acquired(job: AcquireJob) -> bool:
    """True if all outputs are there, made from the same specification."""
    try:
        made_so = Source.read(job.source).spec == portable(job.spec)
    except (OSError, ValueError):
        return False
    return made_so and job.index.exists()


def _closing_line(dataset: str, source: Source, census: Census) -> str:
    counts = ", ".join(f"{census.num_images(split)} in {split}" for split in SPLITS)
    combinations = "" if source.label_sets is None else f" in {len(source.label_sets)} combinations"
    return f"acquired {dataset}: {source.num_images} images ({counts}) of {len(source.classes)} classes{combinations}"
