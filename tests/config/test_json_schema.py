"""The JSON schemas of params.yaml and of recipes: they are the code's, and take what it takes."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from ilsvrc.config import json_schema
from ilsvrc.config.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]
PARAMS = [ROOT / "params.yaml", *sorted((ROOT / "presets").glob("*.yaml"))]
RECIPES = sorted((json_schema.FOLDER / "recipes").glob("*.yaml"))
MINIMAL = {"dataset": "digits", "protocols": "single_crop"}


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((json_schema.FOLDER / name).read_text()))


def read(text: str) -> Any:
    """YAML 1.2, as editors read it: 1e-4 is a number."""
    return numbers(yaml.safe_load(text))


def numbers(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: numbers(value) for key, value in values.items()}
    if isinstance(values, list):
        return [numbers(value) for value in values]
    return float(values) if isinstance(values, str) and re.fullmatch(r"\d[\d.]*e-?\d+", values) else values


def test_the_files_are_what_the_code_says():
    for name, schema in json_schema.schemas().items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert (json_schema.FOLDER / name).read_text() == json_schema.as_text(schema), (
            "run `python -m ilsvrc.config.json_schema`"
        )


@pytest.mark.parametrize("path", PARAMS, ids=lambda path: path.stem)
def test_every_params_file_here_keeps_the_schema_and_names_it(path: Path):
    text = path.read_text()
    validator("params.schema.json").validate(read(text))
    first = text.splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (path.parent / first.partition("$schema=")[2]).resolve() == json_schema.FOLDER / "params.schema.json"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_keeps_the_schema_and_names_it(path: Path):
    text = path.read_text()
    validator("recipe.schema.json").validate(read(text))
    assert text.splitlines()[0] == "# yaml-language-server: $schema=../recipe.schema.json"


@pytest.mark.parametrize(
    "values",
    [
        {"architectures": "alexnet", "seeds": 0, "costs": False, "inspect": {"nearest_of": 50000}},
        {
            "architectures": ["timm.resnet50"],
            "weights": {"resnet50_b": ["torchvision/IMAGENET1K_V1", {"source": "a.pt"}]},
        },
        {"ensembles": {"five": ["alexnet"], "two": {"members": {"alexnet": 2}, "together": True}, "one": "alexnet"}},
        {"training": {"epochs": 3}, "sweep": {"learning_rate": [0.1, 0.2]}, "data": None},
    ],
)
def test_short_forms_are_taken(values: dict[str, object]):
    validator("params.schema.json").validate(MINIMAL | values)


@pytest.mark.parametrize(
    "values",
    [
        {"architecture": "alexnet"},
        {"architectures": ["alexnett"]},
        {"training": {"lr": 0.1}},
        {"data": {"jpeg_quality": 101}},
        {"costs": ["int4"]},
        {"protocols": []},
    ],
)
def test_mistakes_are_not(values: dict[str, object]):
    with pytest.raises(jsonschema.ValidationError):
        validator("params.schema.json").validate(MINIMAL | values)


def test_descriptions_are_the_comments_of_the_code():
    described = json_schema.schemas()["recipe.schema.json"]["properties"]
    assert described["batch_size"]["description"] == "images a step, over all processes"
    assert set(described) == {*Recipe.model_fields, "paper_of", "datasets", "architectures"}
