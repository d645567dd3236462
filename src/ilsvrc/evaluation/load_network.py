"""A trained network, ready to predict: what `predict`, `classify` and a teacher's pupils share."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
import torch

from ilsvrc.config import registry, specs
from ilsvrc.evaluation import compatibility
from ilsvrc.evaluation.predictor import OtherSizes, Predictor
from ilsvrc.loading.views import View
from ilsvrc.models.common.layers import Classifier
from ilsvrc.models.common.normalization import Normalization
from ilsvrc.models.common.zca_whitening import Whitening
from ilsvrc.runtime import files, precision

NORMALIZATION = "normalization."  # begins the names of what it keeps among the weights


def predictor(
    weights: files.Info, path: Path, device: torch.device, number_format: str, views: Mapping[str, Sequence[View]]
) -> Predictor:
    """The network that weights.json (`weights`) describes, with the weights at `path`, on `device`.

    `views` are what it will be shown, by protocol.

    Raises:
        ValueError: the file at `path` is not the one that weights.json describes, or the network takes no such views.
    """
    network, normalize = trained(weights, path)
    dtype = precision.weights_dtype(number_format)
    network, normalize = network.to(device, dtype), normalize.to(device, dtype)
    others = OtherSizes(weights["crop_px"], normalize.of_any_size(), compatibility.dense_form(network, weights, views))
    made = Predictor(network, normalize, device, precision.autocast(number_format, device), others)
    made.several = has_several(weights)
    compatibility.require_sizes(made, weights, views)
    return made


def has_several(weights: files.Info) -> bool:
    """Whether the network was trained on pictures that may have several classes: weights.json says so."""
    return "label_sets_sha256" in weights


def trained(weights: files.Info, path: Path) -> tuple[Classifier, Normalization]:
    """The network that weights.json (`weights`) describes with the weights at `path`, and what it sees of pixels.

    Raises:
        ValueError: the file at `path` is not the one that weights.json describes.
    """
    if files.file_sha256(path) != weights["weights_sha256"]:
        raise ValueError(f"{path} is not the file that weights.json describes; remove its folder and train again")
    spec = specs.made_from(weights)
    network = registry.architecture(spec.architecture)(num_classes=weights["num_classes"], input_px=weights["crop_px"])
    state = safetensors.torch.load_file(path)
    kept = {name.removeprefix(NORMALIZATION): state.pop(name) for name in list(state) if name.startswith(NORMALIZATION)}
    network.load_state_dict(state)
    if spec.normalization == "gcn_zca":
        return network, Whitening(kept["zca_mean"], kept["zca"])
    return network, Normalization(weights["mean"], weights["std"], spec.normalization, kept.get("mean_image"))
