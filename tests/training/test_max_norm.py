import pytest
import torch
from torch import nn

from ilsvrc.training.max_norm import renormalize_filters


def test_a_filter_above_the_largest_rms_is_scaled_back_to_it():
    layer = nn.Conv2d(2, 3, (1, 2), bias=False)
    layer.weight.data = torch.tensor([[1.0, -1, 1, -1], [0.1, 0.1, 0.1, -0.1], [0.4, 0, 0, 0]]).view(3, 2, 1, 2)
    renormalize_filters(layer, 0.1)
    # of root mean square 1, 0.1 and 0.2
    expected = [0.1, -0.1, 0.1, -0.1, 0.1, 0.1, 0.1, -0.1, 0.2, 0, 0, 0]
    assert layer.weight.flatten().tolist() == pytest.approx(expected)


def test_a_grouped_filter_has_the_weights_of_its_group():
    layer = nn.Conv2d(4, 2, 1, groups=2, bias=False)
    layer.weight.data = torch.tensor([[0.6, 0.8], [0.06, 0.08]]).view(2, 2, 1, 1)
    renormalize_filters(layer, 0.5**0.5 / 10)
    assert layer.weight.flatten().tolist() == pytest.approx([0.06, 0.08, 0.06, 0.08])


def test_filters_of_zeros_stay_zeros():
    layer = nn.Conv2d(1, 1, 3, bias=False)
    nn.init.zeros_(layer.weight)
    renormalize_filters(layer, 0.1)
    assert layer.weight.abs().sum() == 0


def test_biases_and_linear_layers_are_free():
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Flatten(), nn.Linear(4, 2))
    for p in network.parameters():
        nn.init.constant_(p, 5.0)
    renormalize_filters(network, 0.1)
    assert network[0].weight.item() == pytest.approx(0.1)
    assert all((p == 5).all() for p in (network[0].bias, *network[2].parameters()))
