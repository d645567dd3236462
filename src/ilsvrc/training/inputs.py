"""What a training is given beside its specification and the packed images."""

import argparse
import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ilsvrc.config.recipe import Recipe, is_file


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
    def by(
        cls, given: argparse.Namespace, recipe: Recipe, not_compiled: Callable[[str], None] | None = None
    ) -> "Given":
        """From the stage's arguments; the mean image and the names lie beside the packed images."""
        start_ = given.start[0] if given.start else None
        if start_ is None and recipe.start_from and is_file(recipe.start_from):
            start_ = Path(recipe.start_from)
        return cls(
            start=start_,
            teacher=given.teacher[0] if given.teacher else None,
            packed=given.train,
            mean_image=given.train.with_suffix(".mean_image.npy"),
            images=given.train.with_suffix(".images.csv"),
            work=given.work,
            loader=given.loader,
            threads=given.threads,
            accumulate=given.accumulate,
            not_compiled=not_compiled,
        )

    def name_of(self, index: int) -> str:
        """An image's name, where the list of images is there."""
        if not self.names and self.images and self.images.exists():
            with self.images.open(newline="", errors="surrogateescape") as file:
                self.names.extend(row["name"] for row in csv.DictReader(file))
        return self.names[index] if index < len(self.names) else f"image {index}"
