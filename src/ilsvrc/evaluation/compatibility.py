"""Compatibility of test protocols with a trained network: the views of each, and the sizes that the network takes."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ilsvrc.artifacts.weights_info import WeightsInfo
from ilsvrc.config import registry, specs
from ilsvrc.evaluation.load_protocol import load_protocol
from ilsvrc.evaluation.predictor import Predictor, protocol_views
from ilsvrc.loading.views import View
from ilsvrc.models.common import fully_convolutional
from ilsvrc.models.common.layers import Classifier, FixedSize

Views = Mapping[str, Sequence[View]]  # by protocol


def views(weights: WeightsInfo, names: Sequence[str]) -> dict[str, list[View]]:
    """Each protocol's views for the network that `weights` describes."""
    sizes = weights.crop_px, train_short_sides_px(weights)
    return {name: protocol_views(load_protocol(name), *sizes) for name in names}


def train_short_sides_px(weights: WeightsInfo) -> tuple[int, int] | None:
    """The least and the largest short side of images in training, None where crops were of another kind.

    None too where the network is pretrained.
    """
    spec = weights.made_from
    if isinstance(spec, specs.ImportSpec):
        return None
    recipe = spec.recipe
    if recipe.crop == "padding":
        return weights.crop_px, weights.crop_px
    return None if recipe.crop == "area_aspect" else recipe.short_side_px


def dense_form(network: Classifier, weights: WeightsInfo, wanted: Views) -> nn.Module | None:
    """The fully convolutional network, which slides over whole images; None where no protocol shows them.

    Raises:
        ValueError: it cannot; names the protocols that can be used.
    """
    names = [name for name, each in wanted.items() if any(view.crop_px is None for view in each)]
    if not names:
        return None
    try:
        form: nn.Module = fully_convolutional.fully_convolutional(network, weights.crop_px)
    except ValueError as error:
        raise cannot(weights, names[0], str(error)) from None
    return form


def require_sizes(predictor: Predictor, weights: WeightsInfo, wanted: Views) -> None:
    """Shows the network a black image of each size of crop that it was not trained at.

    Raises:
        ValueError: it takes no such image; names the protocols that can be used.
    """
    crop_px = weights.crop_px
    for name, each in wanted.items():
        for side in sorted({view.crop_px for view in each if view.crop_px} - {crop_px}):
            if any(isinstance(module, FixedSize) for module in predictor.network.modules()):
                raise cannot(weights, name, f"it has layers for crops of {crop_px} px only, not of {side} px")
            try:
                black = torch.zeros(1, side, side, 3, dtype=torch.uint8, device=predictor.device)
                with torch.inference_mode():
                    predictor.scores(black)
            except (ValueError, RuntimeError, AssertionError) as error:
                raise cannot(weights, name, f"it takes no crops of {side} px ({error})") from None


def cannot(weights: WeightsInfo, protocol: str, why: str) -> ValueError:
    """The error for a protocol that shows a network what it cannot take."""
    architecture, found = weights.made_from.architecture, views(weights, registry.names("protocols"))
    would_do = [name for name, each in found.items() if {view.crop_px for view in each} == {weights.crop_px}]
    listed = ", ".join(would_do)
    return ValueError(
        f"{architecture} cannot be tested by {protocol}: {why}; protocols: in params.yaml may be {listed}"
    )
