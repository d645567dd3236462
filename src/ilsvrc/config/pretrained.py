"""Pretrained weights, typed: the entries of `weights:` in params.yaml. Never imports torch."""

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, Field, InstanceOf, model_validator

from ilsvrc.config import choices, library_catalog
from ilsvrc.config.schema import Section, parse
from ilsvrc.runtime.files import read_json

Level = Annotated[float, Field(ge=0, le=255)]
Channels = tuple[Level, Level, Level]  # red, green, blue


class Weights(Section):
    """Source of a network's weights, and the normalization of its input where the weights do not say it themselves.

    `source` is `torchvision/<tag>`, `timm/<tag>` (or `<library>/<model>.<tag>`), or a file: safetensors, or what
    `torch.save` wrote of a state dict. A library's weights and those with a weights.json of ours beside them say what
    size and normalisation they are for; of another file it is the architecture's size and ImageNet's mean and
    deviation, unless it is said here.
    """

    source: Annotated[str, Field(min_length=1)]
    crop_px: Annotated[int, Field(ge=8)] | None = None
    normalization: choices.NetworksNormalization | None = None
    mean: Channels | None = None  # 0 to 255
    std: Channels | None = None

    @model_validator(mode="after")
    def _levels_are_of_pixels_from_0_to_255(self) -> "Weights":
        for name, levels in (("mean", self.mean), ("std", self.std)):
            if levels and 0 < max(levels) <= 1:
                raise ValueError(f"{name} = {list(levels)} is of pixels from 0 to 1; give it of 0 to 255: times 255")
        if self.std and min(self.std) == 0:
            raise ValueError(f"std = {list(self.std)} divides; give the deviation of each channel, above 0")
        return self


class Description(NamedTuple):
    """Description of weights before they are read: the fields of `specs.ImportSpec`, less the data."""

    architecture: str
    name: str  # in the run's folder
    file: str | None  # a person's
    fields: dict[str, Any]


class _RecipeOfWeights(BaseModel):
    """Fields of the recipe of weights that were trained here."""

    normalization: str | None = None
    precision: str | None = None


class _SpecOfWeights(BaseModel):
    """Fields of the specification in weights.json."""

    architecture: str
    recipe: _RecipeOfWeights = _RecipeOfWeights()


class WeightsFile(BaseModel):
    """Fields of a weights.json of ours on which an imported run depends; others are passed over."""

    weights_sha256: str
    spec: _SpecOfWeights
    crop_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    normalization: str | None = None
    classes: list[InstanceOf[str]] | None = None  # also names of folders that are not UTF-8


def entries(given: Any) -> Any:
    """`weights:` as a person writes it, `{name: source}`, `{name: [source, ...]}` or with options, in one form."""
    if not isinstance(given, Mapping):
        return given
    lists = {name: of if isinstance(of, (list, tuple)) else [of] for name, of in given.items()}
    return {name: [{"source": one} if isinstance(one, str) else one for one in of] for name, of in lists.items()}


def check(architecture: str, weights: Weights) -> None:
    """Stops where there is no such network, or a library has no such weights of it.

    Raises:
        ValueError: says what there is.
    """
    if library_catalog.from_library(weights.source):
        library_catalog.find(architecture, weights.source)
    elif "/" not in weights.source and "." not in weights.source:
        raise ValueError(
            f"weights.{architecture}: {weights.source!r} is neither torchvision/<tag>, timm/<tag> nor a file"
        )
    else:
        library_catalog.full_name(architecture)


def describe(architecture: str, weights: Weights) -> Description:
    """Description of a run with these weights.

    Raises:
        ValueError: the network or the weights are not there, or a weights.json beside them says otherwise.
    """
    said = {name: getattr(weights, name) for name in ("crop_px", "normalization", "mean", "std")}
    if library_catalog.from_library(weights.source):
        network, source = library_catalog.find(architecture, weights.source)
        library, tag = source.split("/")[0], source.rpartition(".")[2]
        return Description(network, f"{library}-{tag}", None, {"source": source} | _without_none(said))
    network, sha256 = library_catalog.full_name(architecture), file_sha256(weights.source, f"weights.{architecture}")
    ours = beside(weights.source, sha256)
    if ours and ours.spec.architecture != network:
        raise ValueError(
            f"weights.{architecture}: {weights.source} is of {ours.spec.architecture}, its weights.json says"
        )
    fields = {"source": "file", "sha256": sha256} | _input_config(ours) | _without_none(said)
    return Description(network, f"file-{_readable(weights.source)}", weights.source, fields)


def implied(source: str) -> str:
    """The network of weights that are named without one: a library's says it, and a weights.json of ours.

    Raises:
        ValueError: nothing says it.
    """
    if library_catalog.from_library(source):
        return library_catalog.implied(source)
    ours = beside(source, file_sha256(source, "teacher"))
    if not ours:
        raise ValueError(
            f"teacher: {source} has no weights.json beside it; list it in weights: <architecture>: {source}"
        )
    return ours.spec.architecture


@cache
def beside(file: str, sha256: str) -> "WeightsFile | None":
    """The weights.json that a run of ours left beside a file of weights; None where there is none.

    Raises:
        ValueError: it is of another file.
    """
    path = Path(file).with_name("weights.json")
    if not path.exists() or "weights_sha256" not in (content := read_json(path)):  # somebody else's
        return None
    ours = parse(WeightsFile, content, where=str(path))
    if ours.weights_sha256 != sha256:
        raise ValueError(f"{path} describes another file than {file}; move one of them elsewhere")
    return ours


@cache
def file_sha256(path: str, key: str) -> str:
    """SHA-256 of a person's file of weights.

    Raises:
        ValueError: it cannot be read; `key` of params.yaml names it.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"{key}: {path} cannot be read ({error.strerror}); name a file of weights") from None


def _input_config(ours: "WeightsFile | None") -> dict[str, Any]:
    """Size, normalization and precision of weights.json."""
    if ours is None:
        return {}
    recipe = ours.spec.recipe
    optional = {"normalization": ours.normalization or recipe.normalization, "precision": recipe.precision}
    return {"crop_px": ours.crop_px, "mean": ours.mean, "std": ours.std} | _without_none(optional)


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _readable(path: str) -> str:
    """A file's name in a folder's; of our own `weights.safetensors`, the run's that it lies in."""
    file = Path(path)
    return re.sub(r"[^\w.+=-]+", "_", file.stem if file.stem != "weights" else f"{file.resolve().parent.name}")[:80]
