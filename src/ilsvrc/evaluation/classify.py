"""Classification of single images by a trained network, or by an ensemble of params.yaml.

An image goes the way of a test image: packed form, crops of the protocol, normalization.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ilsvrc.artifacts import run_files
from ilsvrc.artifacts.find_run import find_run
from ilsvrc.artifacts.weights_info import WeightsInfo
from ilsvrc.config import registry, specs
from ilsvrc.config.ensembles import ResolvedEnsemble
from ilsvrc.config.params import Average
from ilsvrc.evaluation import compatibility, ensembles, load_network, multilabel_metrics, scores, task
from ilsvrc.evaluation.choose_ensemble import find_ensemble
from ilsvrc.evaluation.load_protocol import load_protocol
from ilsvrc.evaluation.predictor import Predictor, average, plan
from ilsvrc.loading import pillow_loader, view_batches, view_layout
from ilsvrc.loading.views import View
from ilsvrc.packing import beton_layout, encode

PROTOCOL = "single_crop"  # of a run, unless another is named
Pixels = NDArray[np.uint8]
Probabilities = NDArray[np.float32]


@dataclass(frozen=True)
class ClassifyJob:
    """Arguments of a classification.

    Args:
        name: a run's folder, its name or a part that no other run has; or an ensemble of params.yaml.
        images: files in any format that Pillow reads.
        protocol: a test protocol, or protocols that are averaged, `ten_crop+flip`; None for `single_crop`, or the first
            of an ensemble's.
        params: the configuration file.
    """

    name: str
    images: Sequence[Path]
    protocol: str | None = None
    params: Path = Path("params.yaml")


class Guess(NamedTuple):
    """A class and its probability."""

    class_name: str
    probability: float


class Classified(NamedTuple):
    """Guesses by image, the most probable first; `broken` names files that are no images, and why."""

    name: str  # of the run or ensemble
    protocol: str
    guesses: dict[str, list[Guess]]
    broken: list[str]


class Networks(NamedTuple):
    """Networks whose probabilities are averaged, by protocols that are averaged too: runs, and the kind of mean."""

    name: str
    runs: Sequence[str]
    protocols: Sequence[str]
    average: Average = "probabilities"


class Member(NamedTuple):
    """A trained network, ready for its views, and its weights.json."""

    predictor: Predictor
    weights: WeightsInfo


def classify(job: ClassifyJob) -> Classified:
    """Classifies the job's images, one network after the other.

    Raises:
        ValueError: there is no such run, ensemble or protocol, a network takes no such crops, or an ensemble's networks
            differ in their classes.
    """
    networks = chosen_networks(job)
    found: dict[Path, list[Probabilities]] = {path: [] for path in job.images}
    broken: dict[Path, str] = {}
    first: WeightsInfo | None = None
    for run in networks.runs:
        member = load_member(run, networks.protocols)
        first = first or member.weights
        require_same_classes(first, member.weights, networks)
        for path in found.keys() - broken.keys():
            try:
                found[path] += probabilities_by_protocol(member, path.read_bytes(), networks.protocols)
            except (ValueError, OSError) as error:
                broken[path] = f"{path}: {error.strerror if isinstance(error, OSError) else error}"
    assert first, "an ensemble has members"
    guesses = {
        str(path): best_guesses(ensembles.mean_probabilities(rows, networks.average, task.from_weights(first)), first)
        for path, rows in found.items()
        if path not in broken
    }
    shown = [broken[path] for path in found if path in broken]
    return Classified(networks.name, "+".join(networks.protocols), guesses, shown)


def chosen_networks(job: ClassifyJob) -> Networks:
    """The run or ensemble that a person names, and the protocols.

    Raises:
        ValueError: no run, or more than one, is called so; or there is no such protocol.
    """
    protocols = [registry.check("protocols", each) for each in job.protocol.split("+")] if job.protocol else None
    ensemble: ResolvedEnsemble | None = find_ensemble(job.name, job.params)
    if ensemble is None:
        return Networks(run := find_run(job.name, job.params), [run], protocols or [PROTOCOL])
    name = f"{scores.ENSEMBLE}{ensemble.name}"
    return Networks(name, ensemble.members, protocols or ensemble.protocols[0], ensemble.average)


def load_member(run: str, protocols: Sequence[str]) -> Member:
    """The network of a run on the CPU, in float32, for the views of `protocols`."""
    folder = run_files.RUNS / run
    weights = WeightsInfo.read(folder / "weights.json")
    run_files.check_key(run, weights, folder / "weights.json")
    return load_weights(folder, weights, protocols)


def load_weights(folder: Path, weights: WeightsInfo, protocols: Sequence[str]) -> Member:
    """The network of the weights in `folder` on the CPU, in float32, for the views of `protocols`."""
    views = compatibility.views(weights, protocols)
    path = folder / "weights.safetensors"
    return Member(load_network.predictor(weights, path, torch.device("cpu"), "float32", views), weights)


def require_same_classes(first: WeightsInfo, other: WeightsInfo, networks: Networks) -> None:
    """Refuses networks of an ensemble that differ in their classes or their order."""
    if (first.classes, first.is_multilabel) != (other.classes, other.is_multilabel):
        raise ValueError(f"{networks.name} cannot classify: its networks differ in their classes, or in their order")


def best_guesses(probabilities: Probabilities, weights: WeightsInfo) -> list[Guess]:
    """The most probable classes of an image's `[K]`: five, or of multi-label networks all above the threshold."""
    most = task.from_weights(weights).num_guesses(probabilities)
    best = np.argsort(-probabilities, kind="stable")[:most]
    return [Guess(weights.classes[place], float(probabilities[place])) for place in best]


def probabilities_by_protocol(member: Member, image: bytes | Pixels, protocols: Sequence[str]) -> list[Probabilities]:
    """Class probabilities float32 `[K]` by each protocol, of an encoded image, or of RGB pixels uint8 `[H, W, 3]`."""
    predictor, weights = member
    steps = plan(compatibility.views(weights, protocols))
    views = decoded(image, weights.made_from.form, steps.windows)
    logits = predictor.logits(views, 1, steps)
    return [
        average(logits[:, steps.members[name]], load_protocol(name).AVERAGE, predictor.activation)[0].cpu().numpy()
        for name in protocols
    ]


def decoded(content: bytes | Pixels, form: specs.FormSpec, views: Sequence[View]) -> list[view_batches.Shown]:
    """Views of an image by size, by way of the form that test images are packed in.

    RGB pixels are not compressed for it: they may have been already.
    """
    if isinstance(content, np.ndarray):
        form = form.model_copy(update={"encoding": "raw"})
    stored = encode.store(content, form)
    if stored.mode == beton_layout.RAW:
        image = Image.frombytes("RGB", (stored.width, stored.height), stored.payload)
    else:
        image = Image.open(io.BytesIO(stored.payload)).convert("RGB")
    layout = view_layout.lay_out(views, np.array([stored.width]), np.array([stored.height]))
    return view_batches.by_size(torch.from_numpy(pillow_loader.view_bytes([image], layout)), layout.view_boxes)


def as_text(classified: Classified) -> str:
    """A small table for each image."""
    lines = [f"{classified.name}, {classified.protocol}"] if classified.guesses else []
    for image, guesses in classified.guesses.items():
        lines += ["", image, *_table(guesses)]
    return "".join(f"{line}\n" for line in lines)


def _table(guesses: Sequence[Guess]) -> Iterable[str]:
    if not guesses:
        return [f"  no class above {100 * multilabel_metrics.THRESHOLD:g} %"]
    width = max(len(name) for name, _ in guesses)
    return [f"  {name:{width}}  {100 * p:5.1f} %  {'▇' * round(30 * p)}".rstrip() for name, p in guesses]


def as_json(classified: Classified) -> list[dict[str, Any]]:
    """An object for each image."""
    return [
        {
            "picture": image,
            "run": classified.name,
            "protocol": classified.protocol,
            "guesses": [{"class": name, "probability": p} for name, p in guesses],
        }
        for image, guesses in classified.guesses.items()
    ]
