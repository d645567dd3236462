"""Weights that were not trained here, in the place of a training: the same files, from a library's or a person's."""

import argparse
import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from torch import Tensor

from ilsvrc.artifacts import run_files
from ilsvrc.config import pretrained, registry, specs
from ilsvrc.evaluation import load_network
from ilsvrc.models.common import flops
from ilsvrc.models.pretrained import adapt, download, libraries
from ilsvrc.runtime import entry_point, files, hardware, messages
from ilsvrc.stages import train
from ilsvrc.tracking import mlflow_runs
from ilsvrc.training import history, transfer


def main(given: argparse.Namespace) -> None:
    """Finds, checks and writes the weights."""
    spec: specs.ImportSpec = specs.parse_specification(specs.ImportSpec, given.spec)
    manifest = files.read_json(given.val_manifest)
    found = found_weights(spec, given.file[0] if given.file else None)
    try:
        state, places, seen = fit(spec, found, manifest["classes"])
    except ValueError as error:
        raise ValueError(f"weights: {spec.architecture} with {found.path}: {error}") from None
    write(given, spec, manifest, state, seen, about(found, places))
    messages.say(f"not trained here: {given.run} from {found.path}; classes: {places.how}")


class Found(NamedTuple):
    """Weights as they were found, and what is known of them."""

    path: Path
    state: dict[str, Tensor]
    source: str  # for a person
    classes: list[str] | None
    published: libraries.Published | None  # where they are a library's

    @property
    def facts(self) -> dict[str, Any]:
        """How the library tests them, and what it states."""
        return {"address": self.published.address, "tested_with": self.published.tested_with} if self.published else {}


def found_weights(spec: specs.ImportSpec, file: Path | None) -> Found:
    """A library's, fetched where they are not here; or a person's.

    Raises:
        ValueError: a person's file is another than params.yaml was read with, or holds no weights.
    """
    if file is None:
        library, model, tag = origin_of(spec)
        published = libraries.published(library, model, tag)
        path = download.file_of(published)
        return Found(path, libraries.read(library, model, tag, path), spec.source, None, published)
    if files.file_sha256(file) != spec.sha256:
        raise ValueError(f"{file} has changed since params.yaml was read; run snakemake again")
    ours = pretrained.beside(str(file), spec.sha256)
    return Found(file, transfer.read_weights(file), file.name, ours.get("classes"), None)


def origin_of(spec: specs.ImportSpec) -> tuple[str, str, str]:
    """Library, model and tag."""
    library, _, rest = spec.source.partition("/")
    model, _, tag = rest.rpartition(".")
    return library, model, tag


def fit(spec: specs.ImportSpec, found: Found, classes: list[str]) -> tuple[dict[str, Tensor], adapt.Places, files.Info]:
    """The network's weights, the classes that they are of, and what the network sees of pictures."""
    seen = what_it_sees(spec, found.published)
    builder = partial(registry.architecture(spec.architecture), input_px=seen["crop_px"])

    def build(num_classes: int) -> Any:
        return builder(num_classes=num_classes)

    given = dict(found.state)
    pixels = {name: given.pop(name) for name in list(given) if name.startswith(load_network.NORMALIZATION)}
    classifier = adapt.outputs_of(build)
    is_librarys = found.published is not None
    places = adapt.places(classes, adapt.num_outputs(given, classifier), found.classes, is_librarys)
    state = adapt.fitted(given, build, classifier, places.outputs)
    return state | pixels, places, seen


def what_it_sees(spec: specs.ImportSpec, published: libraries.Published | None) -> files.Info:
    """Size and normalisation: params.yaml's, else the library's, else the architecture's and ImageNet's."""
    crop_px = spec.crop_px or (published.crop_px if published else architectures_px(spec.architecture))
    mean, std = (published.mean, published.std) if published else (libraries.IMAGENET_MEAN, libraries.IMAGENET_STD)
    given = spec.mean or spec.normalization != "mean_std"
    return {
        "crop_px": crop_px,
        "mean": list(spec.mean or (round(255 * level, 4) for level in mean)),
        "std": list(spec.std or (round(255 * level, 4) for level in std)),
        "normalization": spec.normalization,
        "normalization_is": "given" if given else f"{origin_of(spec)[0]}'s" if published else "assumed: ImageNet's",
    }


def architectures_px(architecture: str) -> int:
    """The side of the pictures that an architecture is for."""
    library, _, model = architecture.partition(".")
    return libraries.input_px(library, model) if model else registry.input_px(architecture)


def about(found: Found, places: adapt.Places) -> files.Info:
    """What run.json says of where the weights are from."""
    return {
        "source": found.source,
        "file": str(found.path),
        "file_sha256": files.file_sha256(found.path),
        "class_order": places.how,
        **found.facts,
    }


def write(
    given: argparse.Namespace,
    spec: specs.ImportSpec,
    manifest: files.Info,
    state: dict[str, Tensor],
    seen: files.Info,
    about: files.Info,
) -> None:
    """Writes the run's files, each whole or not at all, and its run in MLflow."""
    with files.atomically(given.weights) as unfinished:
        safetensors.torch.save_file(state, unfinished)
    made_from = {"key": run_files.run_key(given.run), "spec": json.loads(given.spec)}
    sees = {name: seen[name] for name in ("crop_px", "mean", "std", "normalization")}
    weights = {
        **made_from,
        "weights_sha256": files.file_sha256(given.weights),
        "manifest_sha256": manifest["content_sha256"],
        **sees,
        "classes": manifest["classes"],
        "num_classes": len(manifest["classes"]),
        **run_files.of_sets(manifest),
    }
    facts = {**made_from, **describe(given, spec), **about, "normalization_is": seen["normalization_is"]}
    facts |= cost(spec, seen["crop_px"], len(manifest["classes"]))
    files.write_text(given.history, history.as_csv([]))
    files.write_text(given.weights_info, json.dumps(weights, indent=1) + "\n")
    files.write_text(given.run_info, json.dumps(facts, indent=1) + "\n")
    track(given, spec, manifest, about["source"])


def describe(given: argparse.Namespace, spec: specs.ImportSpec) -> files.Info:
    """What run.json holds of any run; what a training measures is null."""
    label, architecture, name, _ = given.run.split("/")
    return {
        "run": given.run,
        "dataset": label,
        "architecture": architecture,
        "recipe_name": name,
        "seed": spec.seed,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "train_seconds": None,
        "images_per_second": None,
        "hardware": hardware.describe(),
        "versions": hardware.versions(),
        **hardware.commit(),
    }


def cost(spec: specs.ImportSpec, crop_px: int, num_classes: int) -> dict[str, int]:
    """Parameters and multiply-adds of the network."""
    with torch.device("meta"):
        found = flops.count(
            registry.architecture(spec.architecture)(num_classes=num_classes, input_px=crop_px), crop_px
        )
    return {"parameters": found.parameters, "multiply_adds": found.multiply_adds}


def track(given: argparse.Namespace, spec: specs.ImportSpec, manifest: files.Info, source: str) -> None:
    """A run in MLflow without training, under which the protocols' scores stand."""
    commit = hardware.commit()
    tags = {
        "run": given.run,
        "data": spec.form.data,
        "architecture": spec.architecture,
        "source": source,
        "trained": "not here",
        "commit": f"{commit['commit'] or 'unknown'}{' with changes' if commit['dirty'] else ''}",
        "manifest": manifest["content_sha256"],
        "weights": str(given.weights),
    }
    parameters = mlflow_runs.flat({"architecture": spec.architecture, "source": source, "data": spec.form.data})
    tracker = mlflow_runs.Tracker(f"{spec.architecture} {source}", given.work / train.RUN_ID, parameters, tags)
    tracker.open()
    tracker.finish([], {})


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    parser.add_argument("--spec", required=True, help="specs.ImportSpec as JSON")
    parser.add_argument("--run", required=True, help="name of the run: its folder under results/runs")
    parser.add_argument("--file", type=Path, nargs="*", help="a person's file of weights; none: a library's")
    parser.add_argument("--val-manifest", type=Path, required=True, help="manifest of the packed test split")
    parser.add_argument("--weights", type=Path, required=True, help="safetensors to write")
    parser.add_argument("--weights-info", type=Path, required=True, help="JSON to write: what predict depends on")
    parser.add_argument("--history", type=Path, required=True, help="CSV to write: no epochs")
    parser.add_argument("--run-info", type=Path, required=True, help="JSON to write: where from, machine, versions")
    parser.add_argument("--work", type=Path, required=True, help="keeps the id of the run in MLflow")
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
