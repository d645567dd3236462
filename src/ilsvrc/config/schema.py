"""A typed part of a YAML file: unknown keys are errors, and errors say what is allowed."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(gt=0)]
Model = TypeVar("Model", bound=BaseModel)
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast


class Section(BaseModel):
    """A part of params.yaml: unknown keys are errors, values cannot change, one value is a list of one.

    `SYNONYMS` holds names that other projects give to keys, for the hint in an error.
    """

    SYNONYMS: ClassVar[Mapping[str, str]] = {}
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {key: (value,) if key in lists(cls) and _is_one(value) else value for key, value in given.items()}


@cache
def lists(model: type[BaseModel]) -> frozenset[str]:
    """Fields of `model` that take a list of any length."""
    return frozenset(name for name, field in model.model_fields.items() if _is_list(field.annotation))


def _is_list(annotation: Any) -> bool:
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin in (Annotated, Union, UnionType):
        return any(map(_is_list, inside))
    return origin is tuple and inside[-1] is Ellipsis


def _is_one(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def parse(model: type[Model], values: Any, where: str) -> Model:
    """`values` as `model`, or a ValueError that names each wrong key and what is allowed there."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ValueError("\n".join(_explain(model, e, where) for e in error.errors())) from None


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML file that holds a mapping.

    Raises:
        ValueError: it holds something else, or a key twice.
    """
    try:
        loader = LOADER(Path(path).read_text(encoding="utf-8"))
        node = loader.get_single_node()
        for line in _doubled_keys(node, set()):
            raise ValueError(f"{path}: {line}")
        values = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        place = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ValueError(f"{path}{place} is not YAML: {error.problem}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8 ({error.reason}); save it as UTF-8") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds {type(values).__name__}, not `key: value` lines")
    return values


def _doubled_keys(node: yaml.Node | None, seen: set[int], place: str = "") -> Iterator[str]:
    """A line on each key that stands twice in one mapping, at any depth: YAML's readers take the last in silence."""
    if node is None or id(node) in seen:  # an alias names a node again
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for inner in node.value:
            yield from _doubled_keys(inner, seen, place)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[tuple[str, str], int] = {}
        for key, inner in node.value:
            name, found, line = f"{place}{key.value}", (key.tag, str(key.value)), key.start_mark.line + 1
            if found in lines:
                both = f"line {line}" if lines[found] == line else f"lines {lines[found]} and {line}"
                yield f"{name} stands twice, in {both}; keep one of them"
            lines[found] = line
            yield from _doubled_keys(inner, seen, f"{name}.")


def _explain(model: type[BaseModel], error: Any, where: str) -> str:
    """One line on one of pydantic's errors: where, what was given, what is allowed."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{where}: {key} is not a key{did_you_mean(str(error['loc'][-1]), _section(model, error['loc']))}"
    if error["type"] == "value_error":  # ours: the message is complete
        return f"{where}: {key + ': ' if key else ''}{error['ctx']['error']}"
    if error["type"] == "missing":
        return f"{where}: {key} is missing"
    return f"{where}: {key} = {error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}"


def _section(model: type[BaseModel], loc: tuple[Any, ...]) -> type[BaseModel]:
    for part in loc[:-1]:
        kept = model.model_fields[part].annotation if part in model.model_fields else None
        inner = [each for each in (kept, *get_args(kept)) if isinstance(each, type) and issubclass(each, BaseModel)]
        model = inner[0] if inner else model
    return model


def did_you_mean(key: str, model: type[BaseModel]) -> str:
    """The end of a message on an unknown key: the nearest of `model`'s, and all of them."""
    meant = _synonym(key, model) or next(iter(get_close_matches(key, model.model_fields, n=1)), "")
    hint = f"; did you mean {meant}?" if meant else ""
    return f"{hint} (there are: {', '.join(model.model_fields)})"


def _synonym(key: str, model: type[BaseModel]) -> str:
    """The key that goes by another name elsewhere, empty where none is known."""
    known = model.SYNONYMS if issubclass(model, Section) else {}
    name = key.lower().replace("-", "_")
    return name if name in model.model_fields else known.get(name, "")
