"""Inputs of a training beside its specification and its batches."""

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ilsvrc.config.recipe import is_file
from ilsvrc.training.job import WorkerJob


@dataclass(frozen=True)
class TrainingInputs:
    """Inputs of a training beside its specification and its batches."""

    start: Path | None = None  # weights to start from
    teacher: Path | None = None
    packed: Path | None = None  # the training images
    mean_image: Path | None = None
    images: Path | None = None  # the list of training images, for their names
    work: Path | None = None  # keeps what is computed once, such as the whitening
    loader: str = "pillow"
    threads: int = 1
    accumulate: int = 1  # micro-batches of a process's shard of a batch
    not_compiled: Callable[[str], None] | None = None  # see `state.Training`
    names: list[str] = field(default_factory=list, compare=False)

    @classmethod
    def of(cls, job: WorkerJob, not_compiled: Callable[[str], None] | None = None) -> "TrainingInputs":
        """Inputs of a job; the mean image and the names lie beside the packed images."""
        start, start_from = job.inputs.start, job.spec.recipe.start_from
        if start is None and start_from and is_file(start_from):
            start = Path(start_from)
        return cls(
            start=start,
            teacher=job.inputs.teacher,
            packed=job.inputs.train,
            mean_image=job.inputs.train.with_suffix(".mean_image.npy"),
            images=job.inputs.train.with_suffix(".images.csv"),
            work=job.work,
            loader=job.resources.loader,
            threads=job.resources.threads,
            accumulate=job.resources.accumulate,
            not_compiled=not_compiled,
        )

    def name_of(self, index: int) -> str:
        """Name of an image, or its number if there is no list of images."""
        if not self.names and self.images and self.images.exists():
            with self.images.open(newline="", errors="surrogateescape") as file:
                self.names.extend(row["name"] for row in csv.DictReader(file))
        return self.names[index] if index < len(self.names) else f"image {index}"
