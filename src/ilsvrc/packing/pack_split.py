"""Packing of one split: the .beton, its manifest, the list of its images and its mean image."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.config.specs import FormSpec, PackSpec
from ilsvrc.datasets import _index
from ilsvrc.datasets._card import split_classes
from ilsvrc.datasets._census import Census, Source
from ilsvrc.datasets._index import Index
from ilsvrc.packing import manifest
from ilsvrc.packing.beton import open_packed
from ilsvrc.packing.writer import Packing, pack
from ilsvrc.runtime import counter_rng, locks


@dataclass(frozen=True)
class PackJob:
    """Inputs and outputs of `pack_split`."""

    spec: PackSpec
    source: Path  # source.json of acquire
    index: Path  # index.csv of acquire, in the folder that the images' files are relative to
    split: str  # one of datasets' SPLITS
    beton: Path
    manifest: Path
    images: Path
    mean_image: Path
    workers: int = 1  # processes that encode; no output depends on them


def pack_split(job: PackJob) -> str:
    """Writes `job.beton`, then the list of images and the mean image, then the manifest; returns a closing line.

    One process at a time: what another one packed while this one waited for it is not packed again.

    Raises:
        files.DamagedError: the index is not of the images that source.json tells of.
        ValueError: images are broken and the form does not skip them, or all of a class, or too little space is free.
        OSError: the disk is full, a file cannot be read, or a worker was killed.
    """
    form = FormSpec(**job.spec.model_dump(exclude={"compare"}))
    with locks.one_maker(job.beton.with_suffix(".lock"), str(job.beton)) as made_meanwhile:
        source, census = Source.read(job.source), Census()
        samples = _ordered(_index.read(job.index, job.split, census.counting), form)
        census.check(source, job.index)
        if made_meanwhile and _is_packed(job, form, source, len(samples)):
            return f"packed {job.split}: another process did, just now"
        return _pack(job, form, source, samples)


def _pack(job: PackJob, form: FormSpec, source: Source, samples: Index) -> str:
    labels = {name: label for label, name in enumerate(manifest.label_names(source))}
    started = time.perf_counter()
    packing = pack(samples, labels, job.index.parent, form, job.beton, job.workers, compare=job.spec.compare)
    seconds = time.perf_counter() - started
    made = manifest.describe(form, job.split, source.classes, packing, samples, source.label_sets)
    if job.split == "train":
        _refuse_lost(made, job, source, {samples[place].label_name for place in packing.bad})
    manifest.write_images(job.images, packing, samples)
    manifest.write_mean_image(job.mean_image, packing)
    made.write(job.manifest)
    return _closing_line(job.split, packing, seconds)


def _refuse_lost(made: Manifest, job: PackJob, source: Source, of_bad: set[str]) -> None:
    """Refuses a class whose images were all left out: a network would have an output for it that nothing trains."""
    skipped = of_bad if source.label_sets is None else {name for one in of_bad for name in split_classes(one)}
    lost = sorted(name for name in skipped if not made.counts[name])
    if lost:
        job.beton.unlink()
        name, why = next(iter(made.bad_images.items()))
        raise ValueError(
            f"{job.split}: no image of {', '.join(map(repr, lost[:10]))} can be read, and all were left out; mend"
            f" images of the class or remove it from the data set ({name} is one that was left out: {why})"
        )


def _is_packed(job: PackJob, form: FormSpec, source: Source, num_images: int) -> bool:
    """True if all outputs are there, of this form and of as many images of the same classes."""
    try:
        found = Manifest.read(job.manifest)
        whole = open_packed(job.beton).num_images == found.num_images
    except (OSError, ValueError):
        return False
    of_these = found.num_images + len(found.bad_images) == num_images and found.classes == source.classes
    made_so = (found.spec, found.split) == (form, job.split)
    return whole and of_these and made_so and job.images.exists() and job.mean_image.exists()


def _ordered(samples: Index, form: FormSpec) -> Index:
    """The samples in the archive's order, or shuffled, the same on every machine."""
    if form.order == "archive":
        return samples
    return Index(samples[place] for place in counter_rng.permutation(0, 0, np.arange(len(samples))).tolist())


def _closing_line(split: str, packing: Packing, seconds: float) -> str:
    stored = ", ".join(f"{count} {how.replace('_', ' ')}" for how, count in sorted(packing.how.items()))
    skipped = f", {len(packing.bad)} left out as broken" if packing.bad else ""
    return (
        f"packed {split}: {len(packing.kept)} images, {len(packing.kept) / seconds:.0f} images/s,"
        f" {packing.sizes.sum() / 1e6:.1f} MB ({stored}{skipped})"
    )
