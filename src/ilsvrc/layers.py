"""What architectures share: the base class, and the papers' layers that no library has."""

from torch import Tensor, nn


class Classifier(nn.Module):
    """Images `[N, 3, H, W]` to class scores (logits) `[N, K]`.

    A network with auxiliary heads overrides `outputs`; every network offers its paper's initialisation.
    """

    def outputs(self, images: Tensor) -> list[tuple[float, Tensor]]:
        """What training sees: (weight of its loss, logits `[N, K]`) for each head, the main one first."""
        return [(1.0, self(images))]

    def initialize_as_paper(self) -> None:
        """Sets weights and biases as the paper did, from torch's global generator."""
        raise NotImplementedError
