"""What training minimises: the cross entropies of a network's heads."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ilsvrc.layers import Classifier


class Objective(nn.Module):
    """Cross entropy with label smoothing, summed over images and, by their weights, over heads.

    A module around the network, so that the wrapper that distributes it sees one forward pass. With smoothing e the
    target is 1 - e + e / K for the label and e / K for each other class (Szegedy et al. 2015, section 7).
    """

    def __init__(self, network: Classifier, normalization: nn.Module, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.network = network
        self.normalization = normalization
        self.label_smoothing = label_smoothing

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 `[N, H, W, 3]` and int64 `[N]` to the sum of their losses and the main head's logits `[N, K]`."""
        heads = [(weight, widened(logits)) for weight, logits in self.network.outputs(self.normalization(images))]
        losses = [
            weight * F.cross_entropy(logits, labels, reduction="sum", label_smoothing=self.label_smoothing)
            for weight, logits in heads
        ]
        return torch.stack(losses).sum(), heads[0][1]


def widened(logits: Tensor) -> Tensor:
    """`logits` in float32 at least: sums of exponentials stay out of the lower precisions."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
