"""Configuration of params.yaml, typed and checked before anything runs. Never imports torch."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field, field_validator, model_validator

from ilsvrc.config import params_synonyms, pretrained, registry
from ilsvrc.config.pretrained import Weights
from ilsvrc.config.recipe import Recipe
from ilsvrc.config.recipe_files import check_name, resolve_recipe
from ilsvrc.config.recipe_synonyms import SYNONYMS
from ilsvrc.config.schema import Positive, Section, did_you_mean, parse, read_yaml

Value = TypeVar("Value")
Encoding = Literal["jpeg", "raw"]
ShortSide = Positive | Literal["original"] | None  # None: the data set's card's
COSTS = ("float32", "bfloat16", "int8")
USUAL_COSTS = COSTS[:2]


class TestForm(Section):
    """Options in which the test images' packed form differs from the training images'."""

    __test__ = False  # no test class of pytest

    short_side_px: ShortSide = None
    encoding: Encoding | None = None
    jpeg_quality: int | None = Field(None, ge=1, le=100)


class Data(Section):
    """Options of the data set and of the form that it is packed in.

    `path` is for data sets that the user brings; `name`, `train_split` and `test_split` are for `dataset: folder`.
    A form option left at None takes the data set's own (its card's). `test_form` packs the test images once more for
    the protocols, such as at their original size beside training images of short side 400.
    """

    SYNONYMS: ClassVar[Mapping[str, str]] = params_synonyms.by_name(params_synonyms.OF_DATA)

    path: str | None = None
    name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    train_split: str | None = None
    test_split: str | None = None
    short_side_px: ShortSide = None
    encoding: Encoding | None = None
    jpeg_quality: int = Field(95, ge=1, le=100)
    order: Literal["archive", "shuffled"] = "archive"  # of the images in the packed file
    test_form: TestForm | None = None
    exif_orientation: Literal["ignore", "apply"] = "ignore"
    on_bad_image: Literal["stop", "skip"] = "stop"
    verify: Literal["structure", "decode", "full"] = "decode"  # check of the images when they are packed


Average = Literal["probabilities", "log_probabilities"]  # arithmetic or geometric mean


class Ensemble(Section):
    """Networks whose kept predictions are averaged: a row of the scores for each protocol, without a forward pass.

    `members` names runs of params.yaml: `[alexnet]` all of that architecture, `{alexnet: 5}` the first five, in the
    order of architectures, sweep and seeds; `config/ensembles.py` says how else. `protocols` are those of params.yaml
    unless some are named; with `together` they are averaged too (VGG's "multi-crop & dense"). `log_probabilities` are
    averaged to the geometric mean. An ensemble that is a list is its members.
    """

    members: Annotated[dict[str, Positive | None], Field(min_length=1)]  # how many of each: None for all
    protocols: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    together: bool = False
    average: Average = "probabilities"

    @model_validator(mode="before")
    @classmethod
    def _list_is_members(cls, given: Any) -> Any:
        return {"members": given} if isinstance(given, (list, str)) else given

    @field_validator("members", mode="before")
    @classmethod
    def _list_is_all_of_each(cls, given: Any) -> Any:
        names = [given] if isinstance(given, str) else given
        return dict.fromkeys(_unique(tuple(map(str, names)))) if isinstance(names, (list, tuple)) else names

    @field_validator("protocols")
    @classmethod
    def _protocols_differ(cls, given: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return given and _unique(given)


class Inspect(Section):
    """Inspection of trained networks: the nearest of at most so many training images are shown."""

    nearest_of: Positive = Field(2000, le=50_000)


class Params(Section):
    """Configuration of an experiment, params.yaml."""

    SYNONYMS: ClassVar[Mapping[str, str]] = params_synonyms.of_params(Data.model_fields, Recipe.model_fields, SYNONYMS)

    dataset: str
    data: Data = Data()
    architectures: tuple[str, ...] = ()
    recipe: str | None = None
    weights: dict[str, Annotated[tuple[Weights, ...], Field(min_length=1)]] = Field(default={})  # pretrained
    training: dict[str, Any] = Field(default={})  # values that replace the recipe's, in every run
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    protocols: Annotated[tuple[str, ...], Field(min_length=1)]
    sweep: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default={})
    ensembles: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")], Ensemble] = Field(default={})
    costs: tuple[str, ...] = USUAL_COSTS  # the precisions in which networks are timed; none: nothing is measured
    inspect: Inspect | None = Inspect()  # inspection of each network's first run; None: no inspection

    @model_validator(mode="before")
    @classmethod
    def _empty_line_is_no_line(cls, given: Any) -> Any:
        return {k: v for k, v in given.items() if v is not None} if isinstance(given, dict) else given

    @field_validator("dataset")
    @classmethod
    def _dataset_exists(cls, name: str) -> str:
        return registry.check("datasets", name)

    @field_validator("recipe")
    @classmethod
    def _recipe_exists(cls, name: str | None) -> str | None:
        return name and check_name(name)

    @field_validator("weights", mode="before")
    @classmethod
    def _weights_in_one_form(cls, entries: Any) -> Any:
        return pretrained.entries(entries)

    @field_validator("weights")
    @classmethod
    def _weights_exist(cls, entries: dict[str, tuple[Weights, ...]]) -> dict[str, tuple[Weights, ...]]:
        for architecture, weights in entries.items():
            for one in _unique(weights):
                pretrained.check(architecture, one)
        return entries

    @field_validator("architectures", "protocols")
    @classmethod
    def _names_exist(cls, given: tuple[str, ...], info: Any) -> tuple[str, ...]:
        kind = "models" if info.field_name == "architectures" else "protocols"
        return _unique(tuple(registry.check(kind, name) for name in given))

    @field_validator("sweep", mode="before")
    @classmethod
    def _one_value_is_a_list_of_one(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {
            key: values if isinstance(values, (list, tuple, type(None))) else [values] for key, values in given.items()
        }

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, given: tuple[int, ...]) -> tuple[int, ...]:
        return _unique(given)

    @field_validator("costs", mode="before")
    @classmethod
    def _costs_exist(cls, given: Any) -> tuple[str, ...]:
        if isinstance(given, bool):
            return USUAL_COSTS if given else ()
        if not isinstance(given, (list, tuple)) or any(name not in COSTS for name in given):
            raise ValueError(
                f"{given!r} cannot be measured; it can be true ({', '.join(USUAL_COSTS)}), false (nothing), or a "
                f"list of {', '.join(COSTS)}"
            )
        return _unique(tuple(name for name in given))

    @field_validator("inspect", mode="before")
    @classmethod
    def _inspect_is_on_or_off(cls, given: Any) -> Any:
        if isinstance(given, bool):
            return Inspect() if given else None
        if not isinstance(given, (dict, Inspect)):
            raise ValueError(f"{given!r} is no choice; it can be true, false, or {{nearest_of: 50000}}")
        return given

    @model_validator(mode="after")
    def _ensembles_are_called_like_no_network(self) -> "Params":
        for name in set(self.ensembles) & set(self.architectures):
            raise ValueError(f"ensembles.{name} is called like one of the architectures; give it a name of its own")
        return self

    @model_validator(mode="after")
    def _path_is_given_where_it_is_needed(self) -> "Params":
        wanted = registry.load("datasets", self.dataset).CARD.path
        if wanted and self.data.path is None:
            raise ValueError(f"dataset: {self.dataset} needs data.path: {wanted}")
        if self.data.path is not None and not wanted:
            raise ValueError(f"dataset: {self.dataset} takes no data.path; images of your own are dataset: folder")
        return self

    @model_validator(mode="after")
    def _architectures_or_weights_are_given(self) -> "Params":
        if not self.architectures and not self.weights:
            raise ValueError(
                "name architectures and a recipe to train, or weights: {<architecture>: torchvision/<tag>}"
            )
        if self.architectures and self.recipe is None:
            raise ValueError("recipe is missing: what trains the architectures")
        if not self.architectures and (self.training or self.sweep):
            raise ValueError("training and sweep are of architectures that a recipe trains, and none is named")
        return self

    @model_validator(mode="after")
    def _every_recipe_is_valid(self) -> "Params":
        for key in (*self.training, *self.sweep):
            if key not in Recipe.model_fields or key == "revision":
                raise ValueError(f"training and sweep take a recipe's keys, not {key!r}{did_you_mean(key, Recipe)}")
        twice = set(self.training) & set(self.sweep)
        if twice:
            raise ValueError(f"{', '.join(sorted(twice))}: name it in training or in sweep, not in both")
        for architecture, point in itertools.product(self.architectures, self.sweep_points()):
            assert self.recipe, "architectures come with a recipe"
            recipe = resolve_recipe(self.recipe, architecture, self.training | point, self.dataset)
            if recipe.order == "quasi_random" and self.data.order != "shuffled":
                raise ValueError(
                    "order: quasi_random reads neighbours of the packed file together, which are of one class unless "
                    "it is packed with data: {order: shuffled}"
                )
        return self

    def sweep_points(self) -> list[dict[str, Any]]:
        """Every combination of the swept values; one empty point where nothing is swept."""
        return [dict(zip(self.sweep, values, strict=True)) for values in itertools.product(*self.sweep.values())]


def load(path: str | Path = "params.yaml") -> Params:
    """Configuration at `path`."""
    return parse(Params, read_yaml(path), where=str(path))


def _unique(given: tuple[Value, ...]) -> tuple[Value, ...]:
    if len(set(given)) < len(given):
        raise ValueError(f"{list(given)} names something twice")
    return given
