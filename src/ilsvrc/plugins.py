"""Names in params.yaml -> modules: a new file in a plug-in folder is a new name, with no list to edit."""

import ast
import importlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = Path(__file__).parent


@cache
def names(kind: str) -> tuple[str, ...]:
    """Names that `kind` offers: the files of `data`, `protocols` and `recipes`, the builders of `models`."""
    if kind == "models":
        return tuple(sorted(_builders()))
    suffix = ".yaml" if kind == "recipes" else ".py"
    return tuple(sorted(p.stem for p in (PACKAGE / kind).glob(f"*{suffix}") if not p.stem.startswith("_")))


def check(kind: str, name: str) -> str:
    """Returns `name` unchanged.

    Raises:
        ValueError: `kind` has no such name; the message lists those that it has.
    """
    if name not in names(kind):
        raise ValueError(f"{kind} has no {name!r}; there are: {', '.join(names(kind))}")
    return name


def load(kind: str, name: str) -> ModuleType:
    """The module of a data set or a protocol."""
    return importlib.import_module(f"ilsvrc.{kind}.{check(kind, name)}")


def architecture(name: str) -> Callable[..., Any]:
    """The builder of an architecture: `(num_classes, input_px, **options) -> layers.Classifier`."""
    module = importlib.import_module(f"ilsvrc.models.{_builders()[check('models', name)]}")
    builder: Callable[..., Any] = getattr(module, name)
    return builder


@cache
def _builders() -> dict[str, str]:
    """Architecture -> file: the public functions of `models/*.py`, read without importing torch."""
    found = {}
    for path in sorted((PACKAGE / "models").glob("[!_]*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                found[node.name] = path.stem
    return found
