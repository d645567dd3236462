"""A typed part of a YAML file: unknown keys are errors, and errors say what is allowed."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(gt=0)]
Model = TypeVar("Model", bound=BaseModel)
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast


class Section(BaseModel):
    """A part of params.yaml: unknown keys are errors, values cannot change.

    `SYNONYMS` holds names that other projects give to keys, for the hint in an error.
    """

    SYNONYMS: ClassVar[Mapping[str, str]] = {}
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def parse(model: type[Model], values: Any, where: str) -> Model:
    """`values` as `model`, or a ValueError that names each wrong key and what is allowed there."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ValueError("\n".join(_explain(model, e, where) for e in error.errors())) from None


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML file that holds a mapping."""
    values = yaml.load(Path(path).read_text(), Loader=LOADER)
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds {type(values).__name__}, not `key: value` lines")
    return values


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
    return known.get(key.lower().replace("-", "_"), "")
