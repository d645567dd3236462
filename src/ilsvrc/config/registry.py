"""Names in params.yaml -> modules: a new file in a plug-in folder is a new name, with no list to edit.

Architectures are the builders that `model_builders` finds in the source, so that a dry run never imports torch.
"""

import importlib
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache, partial, wraps
from pathlib import Path
from types import ModuleType
from typing import Any

from ilsvrc.config import model_builders
from ilsvrc.config.model_builders import Builder, Family

PACKAGE = Path(__file__).parents[1]
FOLDERS = {
    "models": "models",
    "datasets": "datasets",
    "protocols": "evaluation/protocols",
    "recipes": "config/recipes",
}
NOUNS = {"models": "architecture", "datasets": "data set", "protocols": "test protocol", "recipes": "recipe"}
CONTRACTS = {  # modules whose `check_plugin` refuses what breaks a contract
    "datasets": "ilsvrc.datasets._card",
    "protocols": "ilsvrc.evaluation.protocol_contract",
}
SHOWN_IN_FULL = 16  # names in an error


@cache
def names(kind: str) -> tuple[str, ...]:
    """Names that `kind` offers: the files of `datasets`, `protocols` and `recipes`, the builders of `models`."""
    if kind == "models":
        return tuple(sorted({name for family in _families() for name in family.names()}))
    suffix = ".yaml" if kind == "recipes" else ".py"
    return tuple(sorted(p.stem for p in (PACKAGE / FOLDERS[kind]).glob(f"*{suffix}") if not p.stem.startswith("_")))


def has(kind: str, name: str) -> bool:
    """True if `kind` offers `name`."""
    return name in names(kind) or (kind == "models" and _builder(name) is not None)


def check(kind: str, name: str) -> str:
    """Returns `name` unchanged.

    Raises:
        ValueError: `kind` has no such name; the message lists the nearest that it has, and its folder.
    """
    if not has(kind, name):
        raise ValueError(f"no {NOUNS[kind]} is called {name!r}; {_nearest(kind, name)}")
    return name


def load(kind: str, name: str) -> ModuleType:
    """The module of a data set or a protocol.

    Raises:
        ValueError: `kind` has no such name, or its module breaks the kind's contract.
    """
    module = importlib.import_module(f"ilsvrc.{FOLDERS[kind].replace('/', '.')}.{check(kind, name)}")
    if kind in CONTRACTS:
        importlib.import_module(CONTRACTS[kind]).check_plugin(module)
    return module


def architecture(name: str) -> Callable[..., Any]:
    """The builder of an architecture: `(num_classes, input_px, **options) -> layers.Classifier`.

    `<library>.<model>` is a network of torchvision's or timm's.
    """
    library, _, model = name.partition(".")
    if model:
        return partial(importlib.import_module("ilsvrc.models.pretrained.libraries").build, library, model)
    found = _builder(check("models", name))
    assert found
    function = getattr(importlib.import_module(f"ilsvrc.models.{found.file}"), found.function)
    function = _returns_classifier(function, file_of(name))
    return partial(function, **dict(found.fields)) if found.fields else function


def _returns_classifier(builder: Callable[..., Any], file: str) -> Callable[..., Any]:
    """`builder` of `file`, which is refused where it returns something else than a Classifier."""

    @wraps(builder)
    def checked(*args: Any, **options: Any) -> Any:
        network = builder(*args, **options)
        if not isinstance(network, importlib.import_module("ilsvrc.models.common.layers").Classifier):
            raise ValueError(
                f"{file}: {builder.__name__} returns {type(network).__name__}, but the builder of an architecture "
                "returns a Classifier (see ilsvrc/models/common/layers.py)"
            )
        return network

    return checked


def input_px(name: str) -> int:
    """Side in pixels of the square that an architecture's paper trains on: its builder's default.

    Raises:
        ValueError: there is no such architecture, or its builder has no default.
    """
    found = _builder(check("models", name))
    assert found
    side = dict(found.defaults).get("input_px")
    if not isinstance(side, int):
        raise ValueError(
            f"{file_of(name)}: {found.function} has no default of input_px; the builder of an architecture is called"
            " with num_classes and input_px, whose default is the side in pixels that the paper trains on"
        )
    return side


def file_of(architecture: str) -> str:
    """The file with an architecture's builder, as a message shows it."""
    found = _builder(check("models", architecture))
    assert found
    return f"{_shown(PACKAGE / FOLDERS['models'])}/{found.file}.py"


def _nearest(kind: str, name: str) -> str:
    known = names(kind)
    if len(known) <= SHOWN_IN_FULL:
        return f"there are: {', '.join(known)}"
    near = get_close_matches(name, known, n=5, cutoff=0.4)
    listed = f"nearest: {', '.join(near)}; " if near else ""
    how = "`ilsvrc describe --list` lists all, " if kind == "models" else ""
    return f"{listed}{how}they stand in {_shown(PACKAGE / FOLDERS[kind])}"


def _shown(folder: Path) -> str:
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else str(folder)


@cache
def _builder(name: str) -> Builder | None:
    return next((found for family in _families() if (found := family.match(name))), None)


@cache
def _families() -> tuple[Family, ...]:
    """Builders in `models/*.py`."""
    return tuple(model_builders.read_families(PACKAGE / FOLDERS["models"]))
