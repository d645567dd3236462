"""A trained network, ready to predict: what `predict` and `classify` share."""

from pathlib import Path

import safetensors.torch
import torch

from ilsvrc import plugins, results, runs
from ilsvrc.pixels import Normalization
from ilsvrc.prediction import Predictor
from ilsvrc.training import precision


def predictor(weights: results.Info, path: Path, device: torch.device, number_format: str) -> Predictor:
    """The network that weights.json (`weights`) describes, with the weights at `path`, on `device`.

    Raises:
        ValueError: the file at `path` is not the one that weights.json describes.
    """
    if results.file_sha256(path) != weights["weights_sha256"]:
        raise ValueError(f"{path} is not the file that weights.json describes; remove its folder and train again")
    spec = runs.TrainSpec.model_validate(weights["spec"])
    network = plugins.architecture(spec.architecture)(num_classes=weights["num_classes"], input_px=weights["crop_px"])
    network.load_state_dict(safetensors.torch.load_file(path))
    normalize = Normalization(weights["mean"], weights["std"], spec.recipe.normalization)
    dtype = precision.weights_dtype(number_format)
    return Predictor(
        network.to(device, dtype), normalize.to(device, dtype), device, precision.autocast(number_format, device)
    )
