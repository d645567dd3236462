"""Counts by hand."""

import torch
from torch import nn

from ilsvrc import complexity
from ilsvrc.layers import Classifier


class Tiny(Classifier):
    """A grouped convolution, batch norm, pooling, a linear layer, and a head for training."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=2, padding=1, groups=3)  # 8 x 8 to 4 x 4
        self.norm = nn.BatchNorm2d(6)
        self.linear = nn.Linear(6, 5)
        self.head = nn.Linear(6, 5)

    def forward(self, images):
        return self.linear(self.norm(self.conv(images)).mean(dim=(2, 3)))

    def auxiliary_heads(self):
        return [self.head]


def test_counts_by_hand():
    # conv 6 * 1 * 9 + 6 = 60; norm 12; linear 6 * 5 + 5 = 35, and as much in the head.
    # conv 6 * 4 * 4 outputs of 9 multiply-adds = 864; linear 5 outputs of 6 = 30.
    assert complexity.count(Tiny(), 8) == complexity.Complexity(
        parameters=107, parameters_with_auxiliary_heads=142, multiply_adds=894, activations=101
    )


def test_layers_come_in_the_order_of_work_without_the_auxiliary_head():
    assert complexity.layers(Tiny(), 8) == [
        complexity.Layer("conv", "Conv2d", (6, 4, 4), 60, 864, 96),
        complexity.Layer("norm", "BatchNorm2d", (6, 4, 4), 12, 0, 0),
        complexity.Layer("linear", "Linear", (5,), 35, 30, 5),
    ]


def test_counting_needs_no_weights():
    with torch.device("meta"):
        network = Tiny()
    assert complexity.count(network, 8).multiply_adds == 894


def test_counting_leaves_mode_statistics_and_hooks_as_they_were():
    network = Tiny().train()
    complexity.layers(network, 8)
    assert network.training
    assert network.norm.num_batches_tracked == 0
    assert not network.conv._forward_hooks
