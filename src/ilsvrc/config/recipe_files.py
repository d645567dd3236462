"""Recipes by name: the files of `recipes/`, for an architecture and a data set. Never imports torch."""

import json
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from ilsvrc.config import registry
from ilsvrc.config.recipe import Recipe
from ilsvrc.config.schema import parse, read_yaml

WARM_UP = "warmup_"  # begins the keys of a warm-up
PAPER = "paper"  # the recipe that stands for each architecture's own


def check_name(name: str) -> str:
    """Returns `name`, where there is such a recipe.

    Raises:
        ValueError: there is none; lists them.
    """
    if name == PAPER:
        return name
    try:
        return registry.check("recipes", name)
    except ValueError as error:
        raise ValueError(f"{error}; or {PAPER}, each architecture's own") from None


def resolve_recipe(name: str, architecture: str, changes: Mapping[str, Any], dataset: str = "") -> Recipe:
    """Recipe file's lines, then its lines for the data set and for the architecture, then `changes`.

    `paper` is the recipe of the architecture's paper. Lines for architectures stand under names or patterns. A recipe
    is resolved once, however many runs it trains.

    Raises:
        ValueError: a key is unknown or a value is not allowed.
    """
    return _resolve(name, architecture, json.dumps(changes, default=str), dataset)


@cache
def _resolve(name: str, architecture: str, changes: str, dataset: str) -> Recipe:
    file = recipe_of_paper(architecture) if name == PAPER else check_name(name)
    book = dict(_book(file))
    book.pop("paper_of", None)
    values: dict[str, Any] = book.pop("datasets", {}).get(dataset, {})
    for pattern, lines in book.pop("architectures", {}).items():
        values = values | (lines if fnmatchcase(architecture, pattern) else {})
    asked = json.loads(changes)
    for later in (values, asked):
        book = {key: value for key, value in book.items() if _in_the_other_unit(key) not in later} | later
    return parse(Recipe, _without_too_long_a_warm_up(book, asked), where=f"recipe {name} for {architecture}")


def _without_too_long_a_warm_up(book: Mapping[str, Any], asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """`book` without its warm-up where the length that was `asked` for leaves no room, and no warm-up was asked for."""
    if any(key.startswith(WARM_UP) for key in asked):
        return book
    for unit in {"epochs", "iterations"} & set(asked):
        length, warm_up = asked[unit], book.get(f"{WARM_UP}{unit}")
        if isinstance(length, (int, float)) and isinstance(warm_up, (int, float)) and warm_up >= length > 0:
            return {key: value for key, value in book.items() if not key.startswith(WARM_UP)}
    return book


def shortened(changes: Mapping[str, Any], asked: Iterable[str]) -> bool:
    """True if a run's `changes` of its recipe leave out a warm-up for a length, where params.yaml `asked` for none."""
    left_out = any(changes.get(f"{WARM_UP}{unit}") == 0 for unit in ("epochs", "iterations"))
    return left_out and not any(key.startswith(WARM_UP) for key in asked)


def _in_the_other_unit(key: str) -> str:
    """The key of the same length in iterations, or in epochs: a later one replaces the earlier."""
    return key.replace("iterations", "epochs") if "iterations" in key else key.replace("epochs", "iterations")


def recipe_of_paper(architecture: str) -> str:
    """The recipe whose `paper_of` names the architecture.

    Raises:
        ValueError: none does.
    """
    for file in registry.names("recipes"):
        if any(fnmatchcase(architecture, pattern) for pattern in _book(file).get("paper_of", ())):
            return file
    raise ValueError(
        f"recipe: {PAPER} has none for {architecture}; name one of {', '.join(registry.names('recipes'))} in "
        f"params.yaml, or add {architecture} to paper_of in a recipe of src/ilsvrc/config/recipes"
    )


@cache
def _book(name: str) -> dict[str, Any]:
    return read_yaml(registry.PACKAGE / registry.FOLDERS["recipes"] / f"{name}.yaml")
