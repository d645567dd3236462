"""Manifest of a packed split: its images' format, classes, counts and pixel statistics. Never imports torch."""

import hashlib
import json
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from ilsvrc.artifacts.json_record import JsonRecord, Name
from ilsvrc.config.specs import FormSpec

SUFFIX = ".manifest.json"


class StoredBytes(BaseModel):
    """Sizes of the stored images in bytes."""

    model_config = ConfigDict(frozen=True)
    min: int
    max: int
    mean: float


class Manifest(JsonRecord):
    """Content and statistics of `<split>.beton`; the same for the same images and format on every machine."""

    noun: ClassVar[str] = "the manifest of a packed split"

    spec: FormSpec
    split: str
    classes: list[Name]  # by number
    label_sets: list[list[int]] | None = None  # of multi-label data: the classes that each packed label stands for
    counts: dict[Name, int]  # images of each class
    num_images: int
    content_sha256: str  # of the .beton
    num_measured: int  # images that the statistics are of
    mean: list[float]  # of red, green and blue, 0 to 255
    std: list[float]
    eigenvalues: list[float]  # of the pixels' covariance, [3]
    eigenvectors: list[list[float]]  # [3, 3], one a row
    stored: dict[str, int]  # images that are passed_through, encoded, raw
    stored_bytes: StoredBytes
    bad_images: dict[Name, Name]  # left out: name and reason

    @property
    def is_multilabel(self) -> bool:
        """True if an image may have several classes, or none."""
        return self.label_sets is not None

    @property
    def label_sets_sha256(self) -> str | None:
        """Hash of the classes that each packed label stands for; None of single-label data.

        The packed bytes hold the labels' numbers alone, so that their hash does not tell this.
        """
        if self.label_sets is None:
            return None
        return hashlib.sha256(json.dumps([self.classes, self.label_sets]).encode()).hexdigest()


def beside(beton: Path) -> Path:
    """Path of the manifest of the packed split at `beton`."""
    return beton.with_suffix(SUFFIX)
