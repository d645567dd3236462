"""Specifications: all that a stage depends on, as canonical JSON and as a key in names.

Values equal to their default are left out, so that an edit reruns what it must and a new option changes no run that is
there.
"""

import hashlib
import json

from pydantic import BaseModel

from ilsvrc.config.params import Data
from ilsvrc.config.recipe import Recipe
from ilsvrc.config.schema import Model, Section, parse


class SourceSpec(Section):
    """Specification of `acquire`: the data set, its source, and a fingerprint of the user's files."""

    dataset: str
    options: Data = Data()
    fingerprint: str = ""


class FormSpec(Section):
    """Specification of a packed form: the images (by label) and the form that they are stored in."""

    data: str  # the label: the data set's name, or the folder's
    short_side_px: int | None = None
    upscale: bool = False
    encoding: str = "jpeg"
    jpeg_quality: int = 95
    order: str = "archive"
    exif_orientation: str = "ignore"
    on_bad_image: str = "stop"
    verify: str = "decode"  # structure: images that pass unchanged are not decoded, statistics are of a sample


class PackSpec(FormSpec):
    """Specification of `pack`: the form; `compare` compares all of the written file with the images once more."""

    compare: bool = False


class ImportSpec(Section):
    """Specification of `import_weights`, beside the test images' classes: pretrained weights.

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
        """0: no random numbers are drawn."""
        return 0


class TrainSpec(Section):
    """Specification of `train`, beside the packed bytes; `teacher` and `start` are trainings that it depends on."""

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
        """Normalization of the input."""
        return self.recipe.normalization

    @property
    def precision(self) -> str:
        """Precision of the training, and of tests."""
        return self.recipe.precision


def specification(spec: BaseModel) -> str:
    """Canonical JSON: sorted keys, no default values."""
    return json.dumps(spec.model_dump(mode="json", exclude_defaults=True), sort_keys=True, separators=(",", ":"))


def key8(spec: BaseModel) -> str:
    """Eight hexadecimal digits of the specification's SHA-256."""
    return hashlib.sha256(specification(spec).encode()).hexdigest()[:8]


def parse_specification(model: type[Model], text: str) -> Model:
    """Specification in `text` (canonical JSON), validated again."""
    return parse(model, json.loads(text), where=f"--spec ({model.__name__})")
