"""params.yaml, typed: what may be asked for, checked before anything runs. Never imports torch."""

import itertools
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ilsvrc import plugins

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(gt=0)]
Model = TypeVar("Model", bound=BaseModel)
Value = TypeVar("Value")


class Section(BaseModel):
    """A part of params.yaml: unknown keys are errors, values cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


ShortSide = Positive | Literal["original"] | None  # None: the data set's card's


class TestForm(Section):
    """What of the test images' packed form differs from the training images'."""

    __test__ = False  # no test class of pytest

    short_side_px: ShortSide = None
    encoding: Literal["jpeg", "raw"] | None = None
    jpeg_quality: int | None = Field(None, ge=1, le=100)


class Data(Section):
    """Options of the data set and of the form that it is packed in.

    `path` is for data sets that the user brings; `name`, `train_split` and `test_split` are for `dataset: folder`.
    A form option left at None takes the data set's own (its card's). `test_form` packs the test images once more for
    the protocols, such as at their original size beside training images of short side 400.
    """

    path: str | None = None
    name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    train_split: str | None = None
    test_split: str | None = None
    short_side_px: ShortSide = None
    encoding: Literal["jpeg", "raw"] | None = None
    jpeg_quality: int = Field(95, ge=1, le=100)
    order: Literal["archive", "shuffled"] = "archive"  # of the images in the packed file
    test_form: TestForm | None = None
    exif_orientation: Literal["ignore", "apply"] = "ignore"
    on_bad_image: Literal["stop", "skip"] = "stop"
    verify: Literal["structure", "decode", "full"] = "decode"  # how far pictures are checked when they are packed


class Recipe(Section):
    """How one network is trained, one flat line a choice. A choice of the machine is not in here."""

    revision: Positive = 1
    epochs: Positive
    batch_size: Positive  # images a step, over all processes
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = Field(gt=0)
    momentum: Fraction = 0.9
    weight_decay: float = Field(0.0, ge=0)
    decay: Literal["weights", "all"] = "all"  # weights: not biases, not normalisation
    clip_norm: float | None = Field(None, gt=0)
    schedule: Literal["step", "plateau", "cosine"] = "cosine"
    warmup_epochs: float = Field(0.0, ge=0)
    step_epochs: tuple[Positive, ...] = ()  # step: where the learning rate falls
    plateau_epochs: Positive = 5  # plateau: epochs without a better validation error before it falls
    decay_factor: float = Field(0.1, gt=0, lt=1)  # step, plateau: what it is multiplied by
    label_smoothing: Fraction = 0.0
    initialization: Literal["paper", "he_normal", "glorot"] = "paper"
    dropout: Fraction | None = None  # None: the paper's
    order: Literal["random", "quasi_random"] = "random"  # quasi_random: long reads, for data larger than memory
    crop: Literal["patch", "area_aspect", "center"] = "patch"
    flip: bool = True
    crop_px: Annotated[int, Field(ge=8)] | None = None  # None: the data card's, else the paper's input
    normalization: Literal["mean_std", "mean"] = "mean_std"  # mean: 0 to 255 less the channel's mean
    precision: Literal["auto", "float32", "bfloat16", "float64"] = "auto"
    batch_norm_group: Positive | None = None  # images that share statistics, as it was tuned
    validation_fraction: Annotated[float, Field(ge=0, le=0.5)] = 0.0

    @model_validator(mode="after")
    def _schedule_has_what_it_needs(self) -> "Recipe":
        if self.schedule == "plateau" and self.validation_fraction == 0:
            raise ValueError("schedule: plateau watches a validation error; set validation_fraction above 0")
        if (self.schedule == "step") != bool(self.step_epochs):
            raise ValueError("schedule: step and step_epochs: [...] go together")
        if self.warmup_epochs >= self.epochs and self.warmup_epochs > 0:
            raise ValueError(f"warmup_epochs = {self.warmup_epochs} must be below epochs = {self.epochs}")
        return self


class Params(Section):
    """The experiment book, params.yaml."""

    dataset: str
    data: Data = Data()
    architectures: Annotated[tuple[str, ...], Field(min_length=1)]
    recipe: str
    training: dict[str, Any] = {}  # values that replace the recipe's, in every run
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    protocols: Annotated[tuple[str, ...], Field(min_length=1)]
    sweep: dict[str, Annotated[list[Any], Field(min_length=1)]] = {}

    @model_validator(mode="before")
    @classmethod
    def _empty_line_is_no_line(cls, given: Any) -> Any:
        return {k: v for k, v in given.items() if v is not None} if isinstance(given, dict) else given

    @field_validator("dataset")
    @classmethod
    def _dataset_exists(cls, name: str) -> str:
        return plugins.check("data", name)

    @field_validator("recipe")
    @classmethod
    def _recipe_exists(cls, name: str) -> str:
        return plugins.check("recipes", name)

    @field_validator("architectures", "protocols")
    @classmethod
    def _names_exist(cls, given: tuple[str, ...], info: Any) -> tuple[str, ...]:
        kind = "models" if info.field_name == "architectures" else "protocols"
        return _unique(tuple(plugins.check(kind, name) for name in given))

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, given: tuple[int, ...]) -> tuple[int, ...]:
        return _unique(given)

    @model_validator(mode="after")
    def _path_is_there_where_it_is_asked_for(self) -> "Params":
        wanted = plugins.load("data", self.dataset).CARD.path
        if wanted and self.data.path is None:
            raise ValueError(f"dataset: {self.dataset} needs data.path: {wanted}")
        if self.data.path is not None and not wanted:
            raise ValueError(f"dataset: {self.dataset} takes no data.path; pictures of your own are dataset: folder")
        return self

    @model_validator(mode="after")
    def _every_recipe_is_valid(self) -> "Params":
        for key in (*self.training, *self.sweep):
            if key not in Recipe.model_fields or key == "revision":
                raise ValueError(f"training and sweep take a recipe's keys, not {key!r}{_did_you_mean(key, Recipe)}")
        twice = set(self.training) & set(self.sweep)
        if twice:
            raise ValueError(f"{', '.join(sorted(twice))}: name it in training or in sweep, not in both")
        for architecture, point in itertools.product(self.architectures, self.sweep_points()):
            recipe = resolve_recipe(self.recipe, architecture, self.training | point)
            if recipe.order == "quasi_random" and self.data.order != "shuffled":
                raise ValueError(
                    "order: quasi_random reads neighbours of the packed file together, which are of one class unless "
                    "it is packed with data: {order: shuffled}"
                )
        return self

    def sweep_points(self) -> list[dict[str, Any]]:
        """Every combination of the swept values; one empty point where nothing is swept."""
        return [dict(zip(self.sweep, values, strict=True)) for values in itertools.product(*self.sweep.values())]


def resolve_recipe(name: str, architecture: str, changes: Mapping[str, Any]) -> Recipe:
    """Recipe file's lines, then its lines for the architecture, then `changes`.

    Raises:
        ValueError: a key is unknown or a value is not allowed.
    """
    book = read_yaml(plugins.PACKAGE / "recipes" / f"{plugins.check('recipes', name)}.yaml")
    for_one = book.pop("architectures", {}).get(architecture, {})
    return parse(Recipe, {**book, **for_one, **changes}, where=f"recipe {name} for {architecture}")


def parse(model: type[Model], values: Any, where: str) -> Model:
    """`values` as `model`, or a ValueError that names each wrong key and what is allowed there."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ValueError("\n".join(_explain(model, e, where) for e in error.errors())) from None


def load(path: str | Path = "params.yaml") -> Params:
    """The experiment book at `path`."""
    return parse(Params, read_yaml(path), where=str(path))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML file that holds a mapping."""
    values = yaml.safe_load(Path(path).read_text())
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds {type(values).__name__}, not `key: value` lines")
    return values


def _explain(model: type[BaseModel], error: Any, where: str) -> str:
    """One line on one of pydantic's errors: where, what was given, what is allowed."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{where}: {key} is not a key{_did_you_mean(str(error['loc'][-1]), _section(model, error['loc']))}"
    if error["type"] == "value_error":  # ours: the message is complete
        return f"{where}: {key + ': ' if key else ''}{error['ctx']['error']}"
    if error["type"] == "missing":
        return f"{where}: {key} is missing"
    return f"{where}: {key} = {error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}"


def _section(model: type[BaseModel], loc: tuple[Any, ...]) -> type[BaseModel]:
    for part in loc[:-1]:
        inner = model.model_fields[part].annotation if part in model.model_fields else None
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    return model


def _did_you_mean(key: str, model: type[BaseModel]) -> str:
    near = get_close_matches(key, model.model_fields, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{hint} (there are: {', '.join(model.model_fields)})"


def _unique(given: tuple[Value, ...]) -> tuple[Value, ...]:
    if len(set(given)) < len(given):
        raise ValueError(f"{list(given)} names something twice")
    return given
