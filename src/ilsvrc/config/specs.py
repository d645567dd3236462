"""Specifications: exactly what each stage depends on, as canonical JSON and as a key in names.

Values equal to their default are left out, so that an edit reruns what it must and a new option changes no run that is
there.
"""

import hashlib
import json
from typing import Any

from pydantic import BaseModel

from ilsvrc.config.params import Data
from ilsvrc.config.recipe import Recipe
from ilsvrc.config.schema import Section, parse


class SourceSpec(Section):
    """What `acquire` depends on: the data set, where it comes from, and what stands there."""

    dataset: str
    options: Data = Data()
    fingerprint: str = ""


class FormSpec(Section):
    """What `pack` depends on: the pictures (by label) and the form that they are stored in."""

    data: str  # the label: the data set's name, or the folder's
    short_side_px: int | None = None
    upscale: bool = False
    encoding: str = "jpeg"
    jpeg_quality: int = 95
    order: str = "archive"
    exif_orientation: str = "ignore"
    on_bad_image: str = "stop"
    verify: str = "decode"  # structure: what passes through is not decoded, statistics are of a sample


class PackSpec(FormSpec):
    """What `pack` is told: the form, and whether all of the written file is compared with the pictures once more."""

    compare: bool = False


class ImportSpec(Section):
    """What `import_weights` depends on, beside the test images' classes: weights that were not trained here.

    `source` is `<library>/<model>.<tag>`, or `file`, which `sha256` tells. `crop_px`, `mean` and `std` (0 to 255) are
    None where the library says them.
    """

    form: FormSpec  # of the test images
    architecture: str
    source: str
    sha256: str | None = None
    crop_px: int | None = None
    normalization: str = "mean_std"
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    precision: str = "auto"

    @property
    def seed(self) -> int:
        """Nothing is drawn."""
        return 0


class TrainSpec(Section):
    """What `train` depends on, beside the packed bytes; `teacher` and `start` are trainings that go before."""

    form: FormSpec
    architecture: str
    crop_px: int
    recipe: Recipe
    seed: int = 0
    teacher: "TrainSpec | ImportSpec | None" = None
    start: "TrainSpec | None" = None
    start_sha256: str | None = None  # of the file of weights that it starts from

    @property
    def normalization(self) -> str:
        """What the network sees of pixels."""
        return self.recipe.normalization

    @property
    def precision(self) -> str:
        """What it was trained in, and is tested in."""
        return self.recipe.precision


def specification(spec: BaseModel) -> str:
    """Canonical JSON: sorted keys, no default values."""
    return json.dumps(spec.model_dump(mode="json", exclude_defaults=True), sort_keys=True, separators=(",", ":"))


def key8(spec: BaseModel) -> str:
    """Eight hexadecimal digits of the specification's SHA-256."""
    return hashlib.sha256(specification(spec).encode()).hexdigest()[:8]


def parse_specification(model: type[Section], text: str) -> Any:
    """The specification that `text` (canonical JSON) holds, validated again."""
    return parse(model, json.loads(text), where=f"--spec ({model.__name__})")
