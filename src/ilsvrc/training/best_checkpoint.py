"""Best checkpoint: the weights of the epoch with the lowest validation error, where a recipe reports that one."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class BestEpoch:
    """Weights as they were tested after the best epoch up to now, on the host; of equal errors the first epoch's.

    Huang et al. 2016, section 4: the test error of the epoch with the lowest validation error is reported.

    Args:
        network: as it is trained.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.epoch, self.error = 0, math.inf  # counted from 1; percent
        self.weights: dict[str, Tensor] = {}

    @torch.no_grad()
    def consider(self, epoch: int, error: float) -> None:
        """Keeps the network's weights if `error` (percent), after `epoch` (counted from 1), is the lowest."""
        if error < self.error:
            self.epoch, self.error = epoch, error
            own = self.network.state_dict()
            self.weights = {name: value.detach().to("cpu", copy=True) for name, value in own.items()}

    def take(self) -> None:
        """Gives the network the best epoch's weights and statistics."""
        self.network.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Epoch, error and weights."""
        return {"epoch": self.epoch, "error": self.error, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resumes from what `state_dict` gave."""
        self.epoch, self.error, self.weights = state["epoch"], state["error"], dict(state["weights"])
