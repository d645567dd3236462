"""Networks as they slide over images larger than a crop: a map of scores, one for each place where a crop could lie.

Sermanet et al. 2013 (OverFeat), section 3.5, and Simonyan and Zisserman 2014, section 3.2. What a network does to its
last feature map, all of it, becomes what it does to each part as large as a crop's map:

- Linear layers (AlexNet and its variants, also on two GPUs, ZFNet, VGG) become convolutions: the first with a kernel of
  the crop's map, the others 1 x 1.
- Global average pooling (all other families) becomes average pooling of the crop's map by steps of one pixel.

A score differs from that of the crop cut out alone in what the convolutions see beyond the crop's border: the image
itself and not zeros. Squeeze-and-excitation, selective kernels and G-Ghost's aggregation (SENet, SKNet, GhostNet,
G-Ghost RegNet) average over the whole image at hand, so that all places share one gate.

The papers average the scores over the map. Where a network ends in global average pooling and a linear layer, this is
not the network itself on the larger image, whose one average weighs every pixel alike: the mean of the map weighs
the borders less, which fewer crops contain. He et al. 2015 test "the fully-convolutional form as in" those two papers,
and are read as such here; their later "320 crop" is the network itself.

`cuda_convnet_*_cifar` (weights for each position) and LeViT (attention from each pixel to all others, with biases for
each distance) know one size of map only and have no such form.
"""

import copy
from collections.abc import Mapping
from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, FixedFlatten, FixedSize, GlobalAveragePool, timm_class

FLATTENINGS = (FixedFlatten, nn.Flatten)


def _is_global_pooling(module: nn.Module) -> bool:
    """Averages a whole map: ours, and that of timm's networks."""
    timms = timm_class("timm.layers.adaptive_avgmax_pool", "SelectAdaptivePool2d")
    return isinstance(module, (GlobalAveragePool, *timms))


def fully_convolutional(network: Classifier, crop_px: int) -> "FullyConvolutional":
    """`network`, in evaluation, as one that maps images `[N, 3, H, W]` to score maps (logits) `[N, K, h, w]`.

    It has the network's own weights, not copies: move or cast the network first. Of a crop it gives h = w = 1 and the
    network's logits; the network itself stays as it is.

    Args:
        network: as trained, for crops of `crop_px`.
        crop_px: side of the crops whose scores make the map; H and W are as large or larger.

    Raises:
        ValueError: the network has layers that know one size of map only, is built for another crop, or does not
            say how it leaves its last map.
    """
    _check(network)
    side = _pooled_side(network, crop_px)
    instead: dict[nn.Module, nn.Module] = {}
    for module in network.modules():
        if isinstance(module, nn.Linear):
            instead[module] = SlidingLinear(module)
        elif isinstance(module, FLATTENINGS):
            instead[module] = nn.Identity()
        elif _is_global_pooling(module):
            instead[module] = nn.AvgPool2d(side, stride=1)
    return FullyConvolutional(_twin(network, instead), crop_px).eval()


class FullyConvolutional(nn.Module):
    """Images `[N, 3, H, W]` to score maps `[N, K, h, w]`: `fully_convolutional` makes it."""

    def __init__(self, network: nn.Module, crop_px: int) -> None:
        super().__init__()
        self.network, self.crop_px = network, crop_px

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to `[N, K, h, w]`, logits; the mean over h and w is what the papers test with.

        Raises:
            ValueError: a side is below the crop's.
        """
        if min(images.shape[2:]) < self.crop_px:
            raise ValueError(
                f"a network for crops of {self.crop_px} px slides over images of {self.crop_px} px or more, not "
                f"{images.shape[2]} x {images.shape[3]}; choose a protocol with a greater short side, or a lower "
                "crop_px: in params.yaml"
            )
        scores: Tensor = self.network(images)
        return scores


class SlidingLinear(nn.Module):
    """A linear layer that slides over a map, as the convolution whose kernel is as large as what the layer sees."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C', H - S + 1, W - S + 1]` for a layer that sees C x S x S values."""
        channels = x.shape[1]
        side = isqrt(self.weight.shape[1] // channels)
        return F.conv2d(x, self.weight.view(-1, channels, side, side), self.bias)


def _check(network: Classifier) -> None:
    name, modules = type(network).__name__, list(network.modules())
    # FixedFlatten is a FixedSize, and may slide.
    if any(isinstance(module, FixedSize) and not isinstance(module, FixedFlatten) for module in modules):
        raise ValueError(
            f"{name} has no fully convolutional form: it has layers that know one size of map only (locally "
            "connected layers, attention biases); choose protocols of crops for it (protocols: in params.yaml)"
        )
    if not any(isinstance(module, FixedFlatten) or _is_global_pooling(module) for module in modules):
        raise ValueError(
            f"{name} has no fully convolutional form: nothing in it says how it leaves its last map; let its forward "
            "use layers.FixedFlatten or layers.GlobalAveragePool"
        )


@torch.no_grad()
def _pooled_side(network: Classifier, crop_px: int) -> int:
    """Side of the map that the network averages of a crop; 0 where it averages none.

    Raises:
        ValueError: linear layers of the network are for another size.
    """
    twin, sides = _twin(network, {}), [0]
    for module in twin.modules():
        if _is_global_pooling(module):
            module.register_forward_pre_hook(lambda _, maps: sides.append(maps[0].shape[-1]))
    twin(next(network.parameters()).new_zeros(1, 3, crop_px, crop_px))
    return sides[-1]


def _twin(network: nn.Module, instead: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """A copy in evaluation that shares all tensors with `network` and has other modules instead of some."""
    kept = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    memo: dict[int, object] = kept | {id(module): other for module, other in instead.items()}
    return copy.deepcopy(network, memo).eval()
