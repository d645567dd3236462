"""The classifier's parameters of a network: those whose shape depends on the number of classes."""

from collections.abc import Callable

import torch

from ilsvrc.models.common.layers import Classifier


def classifier_names(build: Callable[[int], Classifier]) -> set[str]:
    """Names of the parameters whose shape depends on the number of classes: `build` makes a network of so many."""
    with torch.device("meta"):
        few, more = (build(count).state_dict() for count in (2, 3))
    return {name for name, value in few.items() if value.shape != more[name].shape}
