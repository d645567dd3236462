"""Nearest pictures by the last hidden layer, on networks whose answer is known."""

import numpy as np
import pytest
import torch
from torch import nn

from ilsvrc.config import registry
from ilsvrc.evaluation.inspection import nearest
from ilsvrc.models.common import classifier_names


class Doubling(nn.Module):
    """Its hidden layer is twice the pictures' mean by channel; the classifier says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.auxiliary, self.classifier = nn.Linear(3, 2), nn.Linear(3, 2)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.classifier(2 * pictures.mean(dim=(2, 3)))


def colours(*values: float) -> torch.Tensor:
    """Pictures of one value in all channels."""
    return torch.tensor(values, dtype=torch.float32)[:, None, None, None].expand(-1, 3, 2, 2)


def test_the_nearest_are_those_of_the_smallest_euclidean_distance_the_earlier_first():
    hidden = nearest.last_hidden_layer(Doubling().eval(), {"classifier.weight", "auxiliary.bias", "classifier.bias"})
    assert hidden(colours(1, 4)).tolist() == [[2, 2, 2], [8, 8, 8]]
    batches = [(np.array([10, 12]), hidden(colours(5, 0))), (np.array([14, 16]), hidden(colours(1.5, 3)))]
    found = nearest.nearest(hidden(colours(1, 4)), batches, 3)
    assert found.places.tolist() == [[14, 12, 16], [10, 16, 14]]  # 5 and 3 are equally far from 4
    assert found.distances == pytest.approx(np.sqrt(3) * np.array([[1, 2, 4], [2, 2, 5]]))


def test_fewer_pictures_than_asked_for_are_all_of_them():
    found = nearest.nearest(torch.zeros(1, 2), [(np.array([3]), torch.ones(1, 2))], 6)
    assert found.places.tolist() == [[3]]


@pytest.mark.parametrize(
    "name, px, features",
    [("alexnet", 67, 4096), ("googlenet", 79, 1024), ("resnet18", 32, 512), ("nin_cifar", 32, 192)],
)
def test_every_kind_of_head_has_a_layer_before_it(name, px, features):
    def build(num_classes: int) -> nn.Module:
        return registry.architecture(name)(num_classes=num_classes, input_px=px)

    hidden = nearest.last_hidden_layer(build(4).eval(), classifier_names.classifier_names(build))
    assert hidden(torch.rand(2, 3, px, px)).shape == (2, features)
