"""Runs that params.yaml names: the specification of each, its key and its folder. Never imports torch."""

import itertools
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from ilsvrc.config import pretrained, registry
from ilsvrc.config.packed_formats import form_spec, test_form_spec
from ilsvrc.config.params import Params
from ilsvrc.config.pretrained import Weights
from ilsvrc.config.recipe import Recipe, is_file
from ilsvrc.config.recipe_files import resolve_recipe
from ilsvrc.config.schema import Section
from ilsvrc.config.specs import ImportSpec, TrainSpec, key8

_NOT_IN_NAMES = re.compile(r"[^\w.]")  # characters of patterns, kept out of folders' names


class Run(Section):
    """One data set x architecture x recipe x sweep point x seed; or pretrained weights.

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
        """True if a recipe makes the weights."""
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
        _run(params, (params.recipe or "", architecture), {**params.training, **point}, seed)
        for architecture, point, seed in product
    ]
    runs += [_imported(params, network, one) for network, sources in params.weights.items() for one in sources]
    return list({run.name: run for run in runs}.values())


def with_dependencies(runs: Iterable[Run]) -> list[Run]:
    """`runs`, and before each the runs whose weights it needs."""
    found: dict[str, Run] = {}
    for run in runs:
        for one in (*with_dependencies(filter(None, (run.start, run.teacher))), run):
            found.setdefault(one.name, one)
    return list(found.values())


def _imported(params: Params, architecture: str, weights: Weights) -> Run:
    """The run of pretrained weights."""
    found = pretrained.describe(architecture, weights)
    spec = ImportSpec(form=test_form_spec(params), architecture=found.architecture, **found.fields)
    return Run(recipe_name=found.name, changes={}, spec=spec, file=found.file)


def _pretrained_teacher(params: Params, source: str) -> Run:
    """A teacher that is pretrained: the entry of `weights:` with that source, else what the source implies."""
    listed = [(name, one) for name, sources in params.weights.items() for one in sources if one.source == source]
    return _imported(params, *(listed[0] if listed else (pretrained.implied(source), Weights(source=source))))


def _run(
    params: Params, what: tuple[str, str], changes: Mapping[str, Any], seed: int, after: tuple[Any, ...] = ()
) -> Run:
    """Run of a (recipe, architecture), with its dependencies: of the same seed, for a seed repeats it all."""
    recipe_name, architecture = what
    plain = resolve_recipe(recipe_name, architecture, {}, params.dataset)
    recipe = resolve_recipe(recipe_name, architecture, changes, params.dataset)
    if (architecture, recipe) in after:
        raise ValueError(f"{architecture} by recipe {recipe_name} would need its own weights: see start_from, teacher")
    after = (*after, (architecture, recipe))
    teacher = _teacher(params, recipe_name, recipe, seed, after)
    start = _start(params, recipe_name, recipe, seed, after)
    sides = _sides(params, architecture, (plain, recipe), "short_side_px" in changes)
    started_from_file = recipe.start_from if start is None else None
    spec = TrainSpec(
        form=form_spec(params),
        architecture=architecture,
        crop_px=sides.crop_px,
        recipe=recipe.model_copy(update={"crop_px": None, "short_side_px": sides.short_side_px}),
        seed=seed,
        teacher=teacher and teacher.spec,
        start=start and start.spec,
        start_sha256=pretrained.file_sha256(started_from_file, "start_from") if started_from_file else None,
    )
    changed = {key: value for key, value in recipe.model_dump().items() if value != getattr(plain, key)}
    return Run(recipe_name=recipe_name, teacher=teacher, start=start, changes=changed, spec=spec)


def _teacher(params: Params, recipe_name: str, recipe: Recipe, seed: int, after: tuple[Any, ...]) -> Run | None:
    """The run whose weights `recipe` distils: a training, or pretrained weights."""
    if not recipe.teacher:
        return None
    if is_file(recipe.teacher):
        return _pretrained_teacher(params, recipe.teacher)
    alone = {"teacher": None} if recipe.teacher_recipe is None else {}
    before = (recipe.teacher_recipe or recipe_name, registry.check("models", recipe.teacher))
    return _run(params, before, _for_dependencies(params) | alone, seed, after)


def _start(params: Params, recipe_name: str, recipe: Recipe, seed: int, after: tuple[Any, ...]) -> Run | None:
    """The training whose weights `recipe` starts from; None where it starts from a file or from none."""
    if not recipe.start_from or is_file(recipe.start_from):
        return None
    before = (recipe.start_recipe or recipe_name, registry.check("models", recipe.start_from))
    return _run(params, before, _for_dependencies(params), seed, after)


class _Sides(NamedTuple):
    """Sides in pixels of the crops, and of the images before."""

    crop_px: int
    short_side_px: tuple[int, int] | None


def _sides(params: Params, architecture: str, recipes: tuple[Recipe, Recipe], is_short_side_changed: bool) -> _Sides:
    """Sides of the changed one of the `recipes` (plain, changed): unchanged short sides go with the crop."""
    plain, recipe = recipes
    card = registry.load("datasets", params.dataset).CARD
    crop_px = recipe.crop_px or card.crop_px or _default_px(recipe, architecture)
    if is_short_side_changed:
        return _Sides(crop_px, recipe.short_side_px)
    default_px = plain.crop_px or _default_px(plain, architecture)
    return _Sides(crop_px, _in_proportion(recipe.short_side_px, crop_px, default_px))


def _default_px(recipe: Recipe, architecture: str) -> int:
    """The crop's side where neither training nor the data set's card says one."""
    input_px = int(registry.input_px(architecture))
    return min(recipe.grows_px[1], input_px) if recipe.grows_px else input_px


def _in_proportion(short_side_px: tuple[int, int] | None, crop_px: int, default_px: int) -> tuple[int, int] | None:
    """A recipe's sizes before a crop of `default_px`, for one of `crop_px`, as the protocols' go with the crop."""
    if short_side_px is None or crop_px == default_px:
        return short_side_px
    low, high = (max(crop_px, round(side_px * crop_px / default_px)) for side_px in short_side_px)
    return low, high


def _for_dependencies(params: Params) -> dict[str, Any]:
    """Changes of `training` that hold for dependencies too: all but the choice and the use of dependencies."""
    own = ("teacher", "temperature", "distillation", "start_", "trained_", "trunk_")
    return {key: value for key, value in params.training.items() if not key.startswith(own)}


def readable(value: Any) -> str:
    """A recipe's value as it stands in names."""
    if isinstance(value, Mapping):
        return "-".join(f"{_NOT_IN_NAMES.sub('', key)}_{readable(inner)}" for key, inner in value.items())
    if isinstance(value, (tuple, list)):
        return "-".join(map(readable, value))
    return f"{value:g}" if isinstance(value, float) else f"{value}".rsplit("/", 1)[-1]  # a path is no folders here
