"""Trained networks: weights and normalization from a run's folder, and the predictor that they make."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
import torch

from ilsvrc.artifacts.weights_info import WeightsInfo
from ilsvrc.config import registry
from ilsvrc.evaluation import compatibility, task
from ilsvrc.evaluation.predictor import OtherSizes, Predictor
from ilsvrc.loading.views import View
from ilsvrc.models.common.layers import Classifier
from ilsvrc.models.common.normalization import Normalization
from ilsvrc.models.common.zca_whitening import Whitening
from ilsvrc.runtime import files
from ilsvrc.runtime.precision import autocast, weights_dtype

NORMALIZATION = "normalization."  # begins the names of its persistent buffers among the weights


def predictor(
    weights: WeightsInfo, path: Path, device: torch.device, precision: str, views: Mapping[str, Sequence[View]]
) -> Predictor:
    """The network that `weights` describes, with the weights at `path`, on `device`, for the `views` of each protocol.

    Raises:
        ValueError: the file at `path` is not the one that weights.json describes, or the network takes no such views.
    """
    network, normalize = trained(weights, path)
    dtype = weights_dtype(precision)
    network, normalize = network.to(device, dtype), normalize.to(device, dtype)
    others = OtherSizes(weights.crop_px, normalize.of_any_size(), compatibility.dense_form(network, weights, views))
    built = Predictor(
        network, normalize, device, autocast(precision, device), others, task.from_weights(weights).activation
    )
    compatibility.require_sizes(built, weights, views)
    return built


def require_whole(weights: WeightsInfo, path: Path) -> None:
    """Compares weights with their hash.

    Raises:
        files.DamagedError: the file at `path` is not the one that weights.json describes.
    """
    if files.file_sha256(path) != weights.weights_sha256:
        raise files.DamagedError(path, "is not the file that weights.json describes")


def trained(weights: WeightsInfo, path: Path) -> tuple[Classifier, Normalization]:
    """The network that `weights` describes with the weights at `path`, and the normalization of its input.

    Raises:
        files.DamagedError: the file at `path` is not the one that weights.json describes.
    """
    require_whole(weights, path)
    spec = weights.made_from
    network = registry.architecture(spec.architecture)(num_classes=weights.num_classes, input_px=weights.crop_px)
    state = safetensors.torch.load_file(path)
    kept = {name.removeprefix(NORMALIZATION): state.pop(name) for name in list(state) if name.startswith(NORMALIZATION)}
    network.load_state_dict(state)
    if spec.normalization == "gcn_zca":
        return network, Whitening(kept["zca_mean"], kept["zca"])
    return network, Normalization(weights.mean, weights.std, spec.normalization, kept.get("mean_image"))
