"""Counts by hand."""

import torch
from torch import nn

from ilsvrc.models.common import flops
from ilsvrc.models.common.layers import Classifier, LocallyConnected2d


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
    assert flops.count(Tiny(), 8) == flops.Complexity(
        parameters=107, parameters_with_auxiliary_heads=142, multiply_adds=894, activations=101
    )


def test_layers_come_in_the_order_of_work_without_the_auxiliary_head():
    assert flops.layers(Tiny(), 8) == [
        flops.Layer("conv", "Conv2d", (6, 4, 4), 60, 864, 96),
        flops.Layer("norm", "BatchNorm2d", (6, 4, 4), 12, 0, 0),
        flops.Layer("linear", "Linear", (5,), 35, 30, 5),
    ]


class Attention(nn.Module):
    """Each pixel looks at all others, in two heads, with a bias that is learned."""

    def __init__(self, channels):
        super().__init__()
        self.project = nn.Linear(channels, 2 * channels, bias=False)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        q, v = self.project(x.flatten(2).transpose(1, 2)).unflatten(2, (2, 2, -1)).permute(2, 0, 3, 1, 4)
        return (q @ q.transpose(2, 3) + self.bias).softmax(dim=3) @ v


class Attentive(Classifier):
    """Attention over the picture's own pixels."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 1)
        self.attention = Attention(6)

    def forward(self, images):
        return self.attention(self.conv(images)).mean(dim=(1, 2))


def test_attention_counts_its_products_and_not_those_of_its_projection_twice():
    # 16 pixels, 6 channels in 2 heads of 3: 2 products of 16 * 16 * 3 multiply-adds a head; projection 16 * 12 * 6.
    found = {layer.name: (layer.kind, layer.multiply_adds, layer.parameters) for layer in flops.layers(Attentive(), 4)}
    assert found["attention"] == ("Attention", 2 * 2 * 16 * 16 * 3, 1)
    assert found["attention.project"] == ("Linear", 16 * 12 * 6, 72)


def test_grouped_and_depthwise_convolutions_count_what_each_output_sees():
    class Grouped(Classifier):
        def __init__(self):
            super().__init__()
            self.grouped = nn.Conv2d(3, 12, 3, padding=1, groups=3)
            self.depthwise = nn.Conv2d(12, 12, 5, padding=2, groups=12)

        def forward(self, images):
            return self.depthwise(self.grouped(images)).mean(dim=(2, 3))

    assert [layer.multiply_adds for layer in flops.layers(Grouped(), 4)] == [12 * 16 * 9, 12 * 16 * 25]


def test_a_locally_connected_layer_counts_as_the_convolution_but_has_weights_at_each_position():
    class Local(Classifier):
        def __init__(self):
            super().__init__()
            self.local = LocallyConnected2d(3, 5, 3, side=4, padding=1)

        def forward(self, images):
            return self.local(images).mean(dim=(2, 3))

    [layer] = flops.layers(Local(), 4)
    assert (layer.parameters, layer.multiply_adds, layer.activations) == (16 * 5 * (27 + 1), 16 * 5 * 27, 16 * 5)


def test_counting_needs_no_weights():
    with torch.device("meta"):
        network = Tiny()
    assert flops.count(network, 8).multiply_adds == 894


def test_counting_leaves_mode_statistics_and_hooks_as_they_were():
    network = Tiny().train()
    flops.layers(network, 8)
    assert network.training
    assert network.norm.num_batches_tracked == 0
    assert not network.conv._forward_hooks
