"""Import of pretrained weights, in the place of a training: the same files as a training writes."""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ilsvrc.artifacts import run_files
from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.artifacts.run_info import RunInfo
from ilsvrc.artifacts.weights_info import WeightsInfo
from ilsvrc.config import pretrained, registry, specs
from ilsvrc.evaluation import load_network
from ilsvrc.models.pretrained import adapt, download, libraries, own_names
from ilsvrc.models.pretrained.read_weights import read_weights
from ilsvrc.runtime import files, messages
from ilsvrc.tracking import mlflow_runs
from ilsvrc.training import history
from ilsvrc.training.job import Outputs
from ilsvrc.training.outputs import write_weights
from ilsvrc.training.run_fields import commit_tag, cost, environment, names
from ilsvrc.training.work_folder import RUN_ID


@dataclass(frozen=True)
class ImportJob:
    """Import of pretrained weights."""

    spec: specs.ImportSpec
    run: str  # name: the folder under results/runs
    file: Path | None  # a person's weights; None: a library's
    val_manifest: Path  # of the packed test split
    outputs: Outputs
    work: Path  # keeps the id of the run in MLflow


def import_run(job: ImportJob) -> None:
    """Finds, checks and writes the weights.

    Raises:
        ValueError: the weights are not of the architecture, or not of the data's classes.
        OSError: a library's weights cannot be fetched.
    """
    manifest = Manifest.read(job.val_manifest)
    source = find_weights(job.spec, job.file)
    try:
        fitted = fit(job.spec, source, manifest.classes)
    except ValueError as error:
        raise ValueError(f"weights: {job.spec.architecture} with {source.path}: {error}") from None
    write(job, manifest, source, fitted.state, fitted.places, fitted.config)
    said = "; ".join((f"classes: {fitted.places.how}", *source.said, *fitted.said))
    messages.say(f"pretrained weights: {job.run} from {source.path}; {said}")


class InputConfig(NamedTuple):
    """Size and normalisation of a network's input; mean and std of pixels from 0 to 255."""

    crop_px: int
    mean: list[float]
    std: list[float]
    normalization: str
    origin: str  # of the normalisation, for a person


class SourceWeights(NamedTuple):
    """Weights by the names of their file, and what is known of them."""

    path: Path
    state: dict[str, Tensor]
    label: str  # for a person
    classes: list[str] | None
    published: libraries.Published | None  # where they are a library's
    said: tuple[str, ...] = ()  # lines on what was passed over


class FittedWeights(NamedTuple):
    """Weights for the network, the outputs that are the data's classes, its input, and lines on what was taken."""

    state: dict[str, Tensor]
    places: adapt.Places
    config: InputConfig
    said: tuple[str, ...]


def find_weights(spec: specs.ImportSpec, file: Path | None) -> SourceWeights:
    """A library's, fetched where they are not here; or a person's.

    Raises:
        ValueError: a person's file is another than params.yaml was read with, or holds no weights.
    """
    if file is None:
        library, model, tag = library_weights(spec)
        published = libraries.published(library, model, tag)
        path = download.file_of(published)
        return SourceWeights(path, libraries.read(library, model, tag, path), spec.source, None, published)
    if files.file_sha256(file) != spec.sha256:
        raise ValueError(f"{file} has changed since params.yaml was read; run snakemake again")
    ours = pretrained.beside(str(file), spec.sha256)
    found = read_weights(file)
    return SourceWeights(file, found.state, file.name, ours.classes if ours else None, None, found.said)


def library_weights(spec: specs.ImportSpec) -> tuple[str, str, str]:
    """Library, model and tag."""
    library, _, rest = spec.source.partition("/")
    model, _, tag = rest.rpartition(".")
    return library, model, tag


def fit(spec: specs.ImportSpec, source: SourceWeights, classes: list[str]) -> FittedWeights:
    """Weights for the network, from whatever names they have in their file."""
    config = input_config(spec, source.published)
    builder = partial(registry.architecture(spec.architecture), input_px=config.crop_px)

    def build(num_classes: int) -> Any:
        return builder(num_classes=num_classes)

    state = dict(source.state)
    normalization = {name: state.pop(name) for name in list(state) if name.startswith(load_network.NORMALIZATION)}
    classifier = adapt.classifier_dims(build)
    state, said = own_names.by_own_names(state, adapt.weightless(build, 2), classifier)
    num_outputs = adapt.num_outputs(state, classifier)
    places = adapt.places(classes, num_outputs, source.classes, from_library=source.published is not None)
    fitted = adapt.fitted(state, build, classifier, places.outputs)
    return FittedWeights(fitted | normalization, places, config, said)


def input_config(spec: specs.ImportSpec, published: libraries.Published | None) -> InputConfig:
    """Size and normalisation: params.yaml's, else the library's, else the architecture's and ImageNet's."""
    mean, std = (published.mean, published.std) if published else (libraries.IMAGENET_MEAN, libraries.IMAGENET_STD)
    in_params = spec.mean or spec.normalization != "mean_std"
    return InputConfig(
        crop_px=spec.crop_px or (published.crop_px if published else default_px(spec.architecture)),
        mean=list(spec.mean or (round(255 * level, 4) for level in mean)),
        std=list(spec.std or (round(255 * level, 4) for level in std)),
        normalization=spec.normalization,
        origin="given" if in_params else f"{library_weights(spec)[0]}'s" if published else "assumed: ImageNet's",
    )


def default_px(architecture: str) -> int:
    """The side of the images that an architecture is for."""
    library, _, model = architecture.partition(".")
    return libraries.input_px(library, model) if model else registry.input_px(architecture)


def write(
    job: ImportJob, manifest: Manifest, source: SourceWeights, state: dict[str, Tensor], places: adapt.Places,
    config: InputConfig,
) -> None:  # fmt: skip
    """Writes the run's files, each whole or not at all, and its run in MLflow."""
    write_weights(state, job.outputs.weights)
    files.write_text(job.outputs.history, history.as_csv([]))
    weights_info_of(job, manifest, config).write(job.outputs.weights_info)
    run_info_of(job, source, places, config, len(manifest.classes)).write(job.outputs.run_info)
    track(job, manifest, source.label)


def weights_info_of(job: ImportJob, manifest: Manifest, config: InputConfig) -> WeightsInfo:
    """weights.json of the weights that were written."""
    return WeightsInfo(
        key=run_files.run_key(job.run),
        spec=json.loads(specs.specification(job.spec)),
        weights_sha256=files.file_sha256(job.outputs.weights),
        manifest_sha256=manifest.content_sha256,
        crop_px=config.crop_px,
        mean=config.mean,
        std=config.std,
        normalization=config.normalization,
        classes=manifest.classes,
        num_classes=len(manifest.classes),
        label_sets_sha256=manifest.label_sets_sha256,
    )


def run_info_of(
    job: ImportJob, source: SourceWeights, places: adapt.Places, config: InputConfig, num_classes: int
) -> RunInfo:
    """run.json of imported weights: their provenance; what a training measures is null."""
    builder = registry.architecture(job.spec.architecture)
    return RunInfo(
        key=run_files.run_key(job.run),
        spec=json.loads(specs.specification(job.spec)),
        **names(job.run, job.spec.seed),
        train_seconds=None,
        images_per_second=None,
        **environment(),
        source=source.label,
        file=str(source.path),
        file_sha256=files.file_sha256(source.path),
        class_order=places.how,
        address=source.published.address if source.published else None,
        tested_with=source.published.tested_with if source.published else None,
        normalization_is=config.origin,
        **cost(partial(builder, num_classes=num_classes, input_px=config.crop_px), config.crop_px),
    )


def track(job: ImportJob, manifest: Manifest, source: str) -> None:
    """Opens a run in MLflow without training, under which the protocols' scores stand."""
    spec = job.spec
    tags = {
        "run": job.run,
        "data": spec.form.data,
        "architecture": spec.architecture,
        "source": source,
        "trained": "not here",
        "commit": commit_tag(),
        "manifest": manifest.content_sha256,
        "weights": str(job.outputs.weights),
    }
    parameters = mlflow_runs.flat({"architecture": spec.architecture, "source": source, "data": spec.form.data})
    tracker = mlflow_runs.Tracker(f"{spec.architecture} {source}", job.work / RUN_ID, parameters, tags)
    tracker.open()
    tracker.finish([], {})
