"""JSON schemas of params.yaml and of recipes: editors complete and check these files by them.

They are made from the pydantic models, whose comments become descriptions: `python -m ilsvrc.config.json_schema`
writes them beside this module.
"""

import inspect
import io
import json
import re
import textwrap
import tokenize
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ilsvrc.config import registry
from ilsvrc.config.params import COSTS, Data, Ensemble, Inspect, Params, TestForm
from ilsvrc.config.pretrained import Weights
from ilsvrc.config.recipe import Recipe
from ilsvrc.config.recipe_files import PAPER
from ilsvrc.config.schema import lists

Schema = dict[str, Any]
FOLDER = Path(__file__).parent
DIALECT = "https://json-schema.org/draft/2020-12/schema"
TEXT: Schema = {"type": "string"}
OF_A_LIBRARY: Schema = {"type": "string", "pattern": r"^(timm|torchvision)\."}


def schemas() -> dict[str, Schema]:
    """Name of a file -> its schema."""
    return {"params.schema.json": _params(), "recipe.schema.json": _recipe()}


def as_text(schema: Schema) -> str:
    """The text of a schema's file."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _recipe() -> Schema:
    lines = {"type": "object", "additionalProperties": _reference("Lines")}
    more = {
        "paper_of": _any({"type": "array", "items": TEXT}, TEXT)
        | {"description": "architectures, or patterns of their names, whose paper's recipe this is"},
        "datasets": lines | {"description": "lines for a data set"},
        "architectures": lines | {"description": "lines for an architecture, or for a pattern of names"},
    }
    schema = _of(Recipe)
    return {
        "$schema": DIALECT,
        **schema,
        "title": "Recipe of a training",
        "properties": schema["properties"] | more,
        "$defs": {"Lines": _of(Recipe)},
    }


def _params() -> Schema:
    parts = {model.__name__: _of(model) for model in (Data, TestForm, Ensemble, Inspect, Weights)}
    training = _of(Recipe) | {"description": "Values that replace the recipe's, in every run."}
    parts["Ensemble"]["properties"]["members"] = _any(
        parts["Ensemble"]["properties"]["members"], {"type": "array", "items": TEXT}, TEXT
    )
    schema = _of(Params)
    properties: dict[str, Schema] = schema["properties"]
    names = {kind: {"enum": list(registry.names(kind))} for kind in registry.FOLDERS}
    architecture = _any(names["models"], OF_A_LIBRARY)
    weights = _any(TEXT, _reference("Weights"))
    given = {
        "dataset": names["datasets"],
        "recipe": {"enum": [PAPER, *registry.names("recipes")]},
        "architectures": _any({"type": "array", "items": architecture}, architecture),
        "protocols": _any({"type": "array", "items": names["protocols"], "minItems": 1}, names["protocols"]),
        "costs": _any({"type": "array", "items": {"enum": list(COSTS)}}, {"enum": list(COSTS)}, {"type": "boolean"}),
        "inspect": _any(_reference("Inspect"), {"type": "boolean"}),
        "ensembles": {
            "type": "object",
            "additionalProperties": _any(_reference("Ensemble"), {"type": "array", "items": TEXT}, TEXT),
        },
        "weights": {
            "type": "object",
            "additionalProperties": _any(weights, {"type": "array", "items": weights, "minItems": 1}),
        },
        "training": _reference("Training"),
    }
    for name, one in properties.items():
        described = {key: one[key] for key in ("description", "default") if key in one}
        properties[name] = described | _any(given.get(name, one), {"type": "null"})  # an empty line is no line
    return {"$schema": DIALECT, **schema, "title": "params.yaml", "$defs": parts | {"Training": training}}


def _of(model: type[BaseModel]) -> Schema:
    """A model's own schema, with its comments as descriptions; one value is a list of one."""
    schema = model.model_json_schema()
    comments, properties = _comments(model), schema["properties"]
    for name, one in properties.items():
        one.pop("title", None)
        if name in lists(model):
            properties[name] = one = _any(one, _items(one)) | {k: one[k] for k in ("default",) if k in one}
        if name in comments:
            one["description"] = comments[name]
    return {
        "type": "object",
        "description": inspect.cleandoc(model.__doc__ or "").split("\n")[0],
        "properties": properties,
        "additionalProperties": False,
    }


def _comments(model: type[BaseModel]) -> Mapping[str, str]:
    """The comment at the end of each field's line."""
    source = textwrap.dedent(inspect.getsource(model))
    found = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        field = re.match(r" {4}(\w+): ", token.line)
        if token.type == tokenize.COMMENT and field:
            found[field[1]] = token.string.lstrip("# ")
    return found


def _items(one: Schema) -> Schema:
    arrays = [one, *one.get("anyOf", [])]
    items: Schema = next(each["items"] for each in arrays if "items" in each)
    return items


def _any(*some: Schema) -> Schema:
    return {"anyOf": [each for one in some for each in one.get("anyOf", [_bare(one)])]}


def _bare(one: Schema) -> Schema:
    return {key: value for key, value in one.items() if key not in ("description", "default", "title")}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


if __name__ == "__main__":
    for name, schema in schemas().items():
        (FOLDER / name).write_text(as_text(schema), encoding="utf-8")
