"""What a training is given beside its specification and the packed images."""

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ilsvrc.config.recipe import is_file
from ilsvrc.training.job import WorkerJob


@dataclass(frozen=True)
class Given:
    """What a training is given beside its specification and the packed images."""

    start: Path | None = None  # weights to start from
    teacher: Path | None = None
    packed: Path | None = None  # the training images
    mean_image: Path | None = None
    images: Path | None = None  # the list of training images, for their names
    work: Path | None = None  # where what is made once is kept
    loader: str = "pillow"
    threads: int = 1
    accumulate: int = 1  # parts that a process's share of a batch is passed in
    not_compiled: Callable[[str], None] | None = None  # see `loop.Training`
    names: list[str] = field(default_factory=list, compare=False)

    @classmethod
    def of(cls, job: WorkerJob, not_compiled: Callable[[str], None] | None = None) -> "Given":
        """From a job; the mean image and the names lie beside the packed images."""
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
        """An image's name, where the list of images is there."""
        if not self.names and self.images and self.images.exists():
            with self.images.open(newline="", errors="surrogateescape") as file:
                self.names.extend(row["name"] for row in csv.DictReader(file))
        return self.names[index] if index < len(self.names) else f"image {index}"
