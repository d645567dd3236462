"""The runs that params.yaml names: what each depends on, its key and its folder. Never imports torch.

A specification holds exactly what its stage depends on, without values equal to their default, so that an edit
reruns what it must and a new option changes no existing run.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ilsvrc import origin, plugins
from ilsvrc.config import Data, Params
from ilsvrc.cookbook import resolve_recipe
from ilsvrc.origin import Weights
from ilsvrc.recipe import Recipe, is_file
from ilsvrc.section import Section, parse

_IN_NO_NAME = re.compile(r"[^\w.]")  # what a pattern has and a folder's name should not
FORM_OPTIONS = {
    "short_side_px", "encoding", "jpeg_quality", "order", "test_form", "exif_orientation", "on_bad_image", "verify",
}  # fmt: skip


class SourceSpec(Section):
    """What `acquire` depends on: the data set, where it comes from, and what stands there."""

    dataset: str
    options: Data = Data()
    fingerprint: str = ""


class FormSpec(Section):
    """What `pack` depends on: the pictures (by label) and the form that they are stored in."""

    data: str  # the label: the data set's name, or the folder's
    short_side_px: int | None = None
    upscale: bool = False
    encoding: str = "jpeg"
    jpeg_quality: int = 95
    order: str = "archive"
    exif_orientation: str = "ignore"
    on_bad_image: str = "stop"
    verify: str = "decode"  # structure: what passes through is not decoded, statistics are of a sample


class PackSpec(FormSpec):
    """What `pack` is told: the form, and whether all of the written file is compared with the pictures once more."""

    compare: bool = False


class ImportSpec(Section):
    """What `import_weights` depends on, beside the test images' classes: weights that were not trained here.

    `source` is `<library>/<model>.<tag>`, or `file`, which `sha256` tells. `crop_px`, `mean` and `std` (0 to 255) are
    None where the library says them.
    """

    form: FormSpec  # of the test images
    architecture: str
    source: str
    sha256: str | None = None
    crop_px: int | None = None
    normalization: str = "mean_std"
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    precision: str = "auto"

    @property
    def seed(self) -> int:
        """Nothing is drawn."""
        return 0


class TrainSpec(Section):
    """What `train` depends on, beside the packed bytes; `teacher` and `start` are trainings that go before."""

    form: FormSpec
    architecture: str
    crop_px: int
    recipe: Recipe
    seed: int = 0
    teacher: "TrainSpec | ImportSpec | None" = None
    start: "TrainSpec | None" = None
    start_sha256: str | None = None  # of the file of weights that it starts from

    @property
    def normalization(self) -> str:
        """What the network sees of pixels."""
        return self.recipe.normalization

    @property
    def precision(self) -> str:
        """What it was trained in, and is tested in."""
        return self.recipe.precision


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


def specification(spec: BaseModel) -> str:
    """Canonical JSON: sorted keys, no default values."""
    return json.dumps(spec.model_dump(mode="json", exclude_defaults=True), sort_keys=True, separators=(",", ":"))


def key8(spec: BaseModel) -> str:
    """Eight hexadecimal digits of the specification's SHA-256."""
    return hashlib.sha256(specification(spec).encode()).hexdigest()[:8]


def parse_specification(model: type[Section], text: str) -> Any:
    """The specification that `text` (canonical JSON) holds, validated again."""
    return parse(model, json.loads(text), where=f"--spec ({model.__name__})")


def made_from(info: Mapping[str, Any]) -> TrainSpec | ImportSpec:
    """The specification that weights.json or run.json (`info`) repeats."""
    model = ImportSpec if "source" in info["spec"] else TrainSpec
    return model.model_validate(info["spec"])


def data_label(params: Params) -> str:
    """The data set's name in paths: its own, or the folder's (the archive's stem).

    Raises:
        ValueError: the folder is called like a data set that ilsvrc knows.
    """
    if params.data.path is None or params.dataset != "folder":
        return params.dataset
    label = params.data.name or Path(params.data.path).name.split(".")[0]
    if label in plugins.names("data"):
        raise ValueError(
            f"{label} is a data set of its own; call the pictures at {params.data.path} otherwise: data.name"
        )
    return label


def source_spec(params: Params, fingerprint: str = "") -> SourceSpec:
    """What acquiring the data set depends on; the options of the packed form are left out."""
    options = Data(**params.data.model_dump(exclude=FORM_OPTIONS, exclude_defaults=True))
    return SourceSpec(dataset=params.dataset, options=options, fingerprint=fingerprint)


def form_spec(params: Params) -> FormSpec:
    """The packed form of training images: params.yaml's choice, else the data set's card's."""
    return _form(params, params.data)


def test_form_spec(params: Params) -> FormSpec:
    """The packed form that the protocols test on: the training images' but for what `data.test_form` says."""
    changes = params.data.test_form.model_dump(exclude_none=True) if params.data.test_form else {}
    return _form(params, params.data.model_copy(update=changes))


def forms(params: Params) -> list[FormSpec]:
    """Every packed form that params.yaml asks for, the training images' first."""
    train, test = form_spec(params), test_form_spec(params)
    return [train] if train == test else [train, test]


def _form(params: Params, data: Data) -> FormSpec:
    card = plugins.load("data", params.dataset).CARD
    short_side_px = card.short_side_px if data.short_side_px is None else data.short_side_px
    encoding = data.encoding or card.encoding
    return FormSpec(
        data=data_label(params),
        short_side_px=None if short_side_px == "original" else short_side_px,
        upscale=card.upscale,
        encoding=encoding,
        jpeg_quality=data.jpeg_quality if encoding == "jpeg" else 95,
        order=data.order,
        exif_orientation=data.exif_orientation,
        on_bad_image=data.on_bad_image,
        verify="structure" if data.verify == "structure" and encoding == "jpeg" else "decode",
    )


def pack_spec(params: Params, form: FormSpec) -> PackSpec:
    """A packed form, and how it is checked where that changes nothing in it."""
    return PackSpec(**form.model_dump(), compare=params.data.verify == "full")


def form_name(form: FormSpec) -> str:
    """The packed form's folder, such as `short_side=91,raw-0a1b2c3d`."""
    size = f"short_side={form.short_side_px}" if form.short_side_px else "original"
    return f"{size},{form.encoding}-{key8(form)}"


def expand(params: Params) -> list[Run]:
    """Every run that params.yaml names: architectures x sweep points x seeds, in its order, then `weights:`."""
    product = itertools.product(params.architectures, params.sweep_points(), params.seeds)
    runs = [
        _run(params, (params.recipe, architecture), {**params.training, **point}, seed)
        for architecture, point, seed in product
    ]
    runs += [_imported(params, network, one) for network, several in params.weights.items() for one in several]
    return list({run.name: run for run in runs}.values())


def with_those_before(runs: Iterable[Run]) -> list[Run]:
    """`runs`, and before each those whose weights it needs."""
    found: dict[str, Run] = {}
    for run in runs:
        for one in (*with_those_before(filter(None, (run.start, run.teacher))), run):
            found.setdefault(one.name, one)
    return list(found.values())


def _imported(params: Params, architecture: str, weights: Weights) -> Run:
    """The run of weights that were not trained here."""
    found = origin.describe(architecture, weights)
    spec = ImportSpec(form=test_form_spec(params), architecture=found.architecture, **found.fields)
    return Run(recipe_name=found.name, changes={}, spec=spec, file=found.file)


def _teacher_of(params: Params, source: str) -> Run:
    """A teacher that was not trained here: the entry of `weights:` with that source, else what the source implies."""
    listed = [(name, one) for name, several in params.weights.items() for one in several if one.source == source]
    return _imported(params, *(listed[0] if listed else (origin.implied(source), Weights(source=source))))


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
        before = (recipe.teacher_recipe or recipe_name, plugins.check("models", recipe.teacher))
        teacher = _run(params, before, _for_others(params) | alone, seed, after)
    if recipe.start_from and not is_file(recipe.start_from):
        before = (recipe.start_recipe or recipe_name, plugins.check("models", recipe.start_from))
        start = _run(params, before, _for_others(params), seed, after)
    card = plugins.load("data", params.dataset).CARD
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
        start_sha256=origin.file_sha256(recipe.start_from, "start_from")
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
    input_px = int(plugins.input_px(architecture))
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
