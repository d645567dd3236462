"""A trained network, ready to predict: what `predict`, `classify` and a teacher's pupils share."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
import torch

from ilsvrc import plugins, results, runs
from ilsvrc.layers import Classifier
from ilsvrc.pixels import Normalization
from ilsvrc.prediction import OtherSizes, Predictor
from ilsvrc.stages import _protocols
from ilsvrc.training import precision
from ilsvrc.views import View

MEAN_IMAGE = "normalization.mean_image"  # among the weights, where the recipe subtracts one


def predictor(
    weights: results.Info, path: Path, device: torch.device, number_format: str, views: Mapping[str, Sequence[View]]
) -> Predictor:
    """The network that weights.json (`weights`) describes, with the weights at `path`, on `device`.

    `views` are what it will be shown, by protocol.

    Raises:
        ValueError: the file at `path` is not the one that weights.json describes, or the network takes no such views.
    """
    network, normalize = trained(weights, path)
    dtype = precision.weights_dtype(number_format)
    network, normalize = network.to(device, dtype), normalize.to(device, dtype)
    others = OtherSizes(weights["crop_px"], normalize.of_any_size(), _protocols.dense_form(network, weights, views))
    made = Predictor(network, normalize, device, precision.autocast(number_format, device), others)
    _protocols.require_sizes(made, weights, views)
    return made


def trained(weights: results.Info, path: Path) -> tuple[Classifier, Normalization]:
    """The network that weights.json (`weights`) describes with the weights at `path`, and what it sees of pixels.

    Raises:
        ValueError: the file at `path` is not the one that weights.json describes.
    """
    if results.file_sha256(path) != weights["weights_sha256"]:
        raise ValueError(f"{path} is not the file that weights.json describes; remove its folder and train again")
    spec = runs.TrainSpec.model_validate(weights["spec"])
    network = plugins.architecture(spec.architecture)(num_classes=weights["num_classes"], input_px=weights["crop_px"])
    state = safetensors.torch.load_file(path)
    mean_image = state.pop(MEAN_IMAGE, None)
    network.load_state_dict(state)
    return network, Normalization(weights["mean"], weights["std"], spec.recipe.normalization, mean_image)
