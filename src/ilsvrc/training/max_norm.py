"""Max-norm constraint of filters, applied after each step."""

import torch
from torch import nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@torch.no_grad()
def renormalize_filters(network: nn.Module, largest_rms: float) -> None:
    """Scales each filter, whose weights' root mean square is above `largest_rms`, back to it.

    Zeiler and Fergus 2013, section 3: with 0.1, in the convolutional layers, all of them; biases and fully connected
    layers are free.
    """
    for module in network.modules():
        if isinstance(module, CONVOLUTIONS):
            weight = module.weight
            rms = weight.square().mean(dim=tuple(range(1, weight.dim())), keepdim=True).sqrt()
            weight.mul_((largest_rms / rms).clamp(max=1.0))
