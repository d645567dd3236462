"""Untrained networks whose pictures leave a trace in the logits, for comparing them with a library's."""

import torch
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier


@torch.no_grad()
def settled(network: Classifier, images: Tensor) -> Classifier:
    """`network` initialised as in its paper, its batch norms with the statistics of `images`, in evaluation.

    With the statistics that batch norm starts with, deep networks give all pictures the same logits.
    """
    network.initialize_as_paper()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain average
    network.train()(images)
    return network.eval()
