"""The runs that params.yaml names: what each depends on, its key and its folder. Never imports torch."""

import itertools
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from ilsvrc.config import pretrained, registry
from ilsvrc.config.packed_formats import form_spec, test_form_spec
from ilsvrc.config.params import Params
from ilsvrc.config.pretrained import Weights
from ilsvrc.config.recipe import Recipe, is_file
from ilsvrc.config.recipe_files import resolve_recipe
from ilsvrc.config.schema import Section
from ilsvrc.config.specs import ImportSpec, TrainSpec, key8

_IN_NO_NAME = re.compile(r"[^\w.]")  # what a pattern has and a folder's name should not


class Run(Section):
    """One data set x architecture x recipe x sweep point x seed; or weights that were not trained here.

    Of the latter `recipe_name` says where they are from, and `file` is where a person's lie.
    """

    recipe_name: str
    changes: dict[str, Any]  # recipe keys whose value differs from the recipe's
    spec: TrainSpec | ImportSpec
    teacher: "Run | None" = None
    start: "Run | None" = None
    file: str | None = None

    @property
    def is_trained_here(self) -> bool:
        """A recipe makes the weights."""
        return isinstance(self.spec, TrainSpec)

    @cached_property
    def name(self) -> str:
        """The run's folder under results/runs and results/predictions; its end is the specification's key."""
        changes = "".join(f",{key}={readable(value)}" for key, value in sorted(self.changes.items()))
        start = f"{self.spec.form.data}/{self.spec.architecture}/{(self.recipe_name + changes)[:120]}"
        return f"{start}/seed={self.spec.seed}-{key8(self.spec)}"


def expand(params: Params) -> list[Run]:
    """Every run that params.yaml names: architectures x sweep points x seeds, in its order, then `weights:`."""
    product = itertools.product(params.architectures, params.sweep_points(), params.seeds)
    runs = [
        _run(params, (params.recipe, architecture), {**params.training, **point}, seed)
        for architecture, point, seed in product
    ]
    runs += [_imported(params, network, one) for network, several in params.weights.items() for one in several]
    return list({run.name: run for run in runs}.values())


def with_dependencies(runs: Iterable[Run]) -> list[Run]:
    """`runs`, and before each those whose weights it needs."""
    found: dict[str, Run] = {}
    for run in runs:
        for one in (*with_dependencies(filter(None, (run.start, run.teacher))), run):
            found.setdefault(one.name, one)
    return list(found.values())


def _imported(params: Params, architecture: str, weights: Weights) -> Run:
    """The run of weights that were not trained here."""
    found = pretrained.describe(architecture, weights)
    spec = ImportSpec(form=test_form_spec(params), architecture=found.architecture, **found.fields)
    return Run(recipe_name=found.name, changes={}, spec=spec, file=found.file)


def _teacher_of(params: Params, source: str) -> Run:
    """A teacher that was not trained here: the entry of `weights:` with that source, else what the source implies."""
    listed = [(name, one) for name, several in params.weights.items() for one in several if one.source == source]
    return _imported(params, *(listed[0] if listed else (pretrained.implied(source), Weights(source=source))))


def _run(
    params: Params, what: tuple[str | None, str], changes: Mapping[str, Any], seed: int, after: tuple[Any, ...] = ()
) -> Run:
    """The run of a (recipe, architecture), with those that go before: of the same seed, for a seed repeats it all."""
    recipe_name, architecture = what
    assert recipe_name, "params.yaml is checked"
    plain = resolve_recipe(recipe_name, architecture, {}, params.dataset)
    recipe = resolve_recipe(recipe_name, architecture, changes, params.dataset)
    if (architecture, recipe) in after:
        raise ValueError(f"{architecture} by recipe {recipe_name} would need its own weights: see start_from, teacher")
    after = (*after, (architecture, recipe))
    teacher = start = None
    if recipe.teacher and is_file(recipe.teacher):
        teacher = _teacher_of(params, recipe.teacher)
    elif recipe.teacher:
        alone = {"teacher": None} if recipe.teacher_recipe is None else {}
        before = (recipe.teacher_recipe or recipe_name, registry.check("models", recipe.teacher))
        teacher = _run(params, before, _for_others(params) | alone, seed, after)
    if recipe.start_from and not is_file(recipe.start_from):
        before = (recipe.start_recipe or recipe_name, registry.check("models", recipe.start_from))
        start = _run(params, before, _for_others(params), seed, after)
    card = registry.load("datasets", params.dataset).CARD
    crop_px = recipe.crop_px or card.crop_px or _meant_px(recipe, architecture)
    short_side_px = recipe.short_side_px
    if "short_side_px" not in changes:
        short_side_px = _in_proportion(short_side_px, crop_px, plain.crop_px or _meant_px(plain, architecture))
    spec = TrainSpec(
        form=form_spec(params),
        architecture=architecture,
        crop_px=crop_px,
        recipe=recipe.model_copy(update={"crop_px": None, "short_side_px": short_side_px}),
        seed=seed,
        teacher=teacher and teacher.spec,
        start=start and start.spec,
        start_sha256=pretrained.file_sha256(recipe.start_from, "start_from")
        if recipe.start_from and start is None
        else None,
    )
    return Run(
        recipe_name=recipe_name,
        teacher=teacher,
        start=start,
        changes={k: v for k, v in recipe.model_dump().items() if v != getattr(plain, k)},
        spec=spec,
    )


def _meant_px(recipe: Recipe, architecture: str) -> int:
    """The crop's side where neither training nor the data set's card says one."""
    input_px = int(registry.input_px(architecture))
    return min(recipe.grows_px[1], input_px) if recipe.grows_px else input_px


def _in_proportion(short_side_px: tuple[int, int] | None, crop_px: int, meant_px: int) -> tuple[int, int] | None:
    """A recipe's sizes before a crop of `meant_px`, for one of `crop_px`, as the protocols' go with the crop."""
    if short_side_px is None or crop_px == meant_px:
        return short_side_px
    low, high = (max(crop_px, round(side_px * crop_px / meant_px)) for side_px in short_side_px)
    return low, high


def _for_others(params: Params) -> dict[str, Any]:
    """What of `training` also holds for the runs that go before: not what says which do, and how they are used."""
    own = ("teacher", "temperature", "distillation", "start_", "trained_", "trunk_")
    return {key: value for key, value in params.training.items() if not key.startswith(own)}


def readable(value: Any) -> str:
    """A recipe's value as it stands in names."""
    if isinstance(value, Mapping):
        return "-".join(f"{_IN_NO_NAME.sub('', key)}_{readable(inner)}" for key, inner in value.items())
    if isinstance(value, (tuple, list)):
        return "-".join(map(readable, value))
    return f"{value:g}" if isinstance(value, float) else f"{value}".rsplit("/", 1)[-1]  # a path is no folders here
