"""The kernels of a first layer, as pixels."""

import numpy as np
import torch
from torch import nn

from ilsvrc.config import registry
from ilsvrc.evaluation.inspection import kernels
from ilsvrc.evaluation.inspection.kernels import Kernels


def test_two_kernels_stand_side_by_side_each_in_its_own_range(monkeypatch):
    monkeypatch.setattr(kernels, "KERNEL_PX", 4)  # kernels of 2 x 1 are shown with each value twice as wide and high
    first = nn.Conv2d(3, 2, (2, 1), bias=False)
    with torch.no_grad():
        first.weight[0, :, :, 0] = torch.tensor([[-1.0, 1.0], [0.0, -1.0], [0.5, 0.0]])  # channels by rows
        first.weight[1, :, :, 0] = torch.tensor([[7.0, 7.0], [7.0, 7.0], [7.0, 9.0]])
    found = kernels.first_layer_kernels(nn.Sequential(first, nn.ReLU(), nn.Conv2d(2, 8, 3)))
    assert found.groups == 1
    shown = kernels.mosaic(found)
    assert shown.shape == (4, 2 + 2 + 2, 4)
    assert shown[::2, 0].tolist() == [[0, 128, 191, 255], [255, 0, 128, 255]]
    assert shown[::2, 4].tolist() == [[0, 0, 0, 255], [0, 0, 255, 255]]
    assert (shown[1] == shown[0]).all() and (shown[:, 1] == shown[:, 0]).all()
    assert (shown[:, 2:4] == 0).all()  # nothing between them


def test_a_kernel_of_one_value_is_black_and_no_division_by_zero():
    assert kernels.mosaic(Kernels(torch.full((1, 3, 3, 3), 2.5), 1))[0, 0].tolist() == [0, 0, 0, 255]


def test_alexnets_kernels_stand_in_eight_rows_of_twelve_a_half_for_each_gpu():
    found = kernels.first_layer_kernels(registry.architecture("alexnet")(num_classes=2, input_px=67))
    assert (tuple(found.weights.shape), found.groups) == ((96, 3, 11, 11), 2)
    shown = kernels.mosaic(found)
    assert shown.shape == (8 * 33 + 6 * 2 + 10, 12 * 33 + 11 * 2, 4)
    half = 4 * 33 + 3 * 2
    assert (shown[half : half + 10] == 0).all()
    assert (shown[[half - 1, half + 10], :33, 3] == 255).all()


def test_two_first_layers_side_by_side_are_two_groups():
    network = registry.architecture("alexnet_two_gpu")(num_classes=2, input_px=67)
    found = kernels.first_layer_kernels(network)
    assert found.groups == 2
    assert torch.equal(found.weights[48:], network.towers[1].conv1.weight)


def test_a_network_without_a_convolution_of_colours_has_no_kernels():
    assert kernels.first_layer_kernels(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Linear(4, 2))) is None


def test_the_number_of_columns_fits_the_groups():
    assert [kernels._columns(*sizes) for sizes in ((64, 64), (96, 48), (32, 32), (24, 24), (7, 7), (1, 1))] == [
        8, 12, 8, 6, 3, 1,
    ]  # fmt: skip
    assert kernels.mosaic(Kernels(torch.rand(7, 3, 36, 36), 1)).shape == (3 * 36 + 2 * 2, 3 * 36 + 2 * 2, 4)


def test_the_same_kernels_are_the_same_bytes():
    weights = torch.rand(4, 3, 5, 5)
    first, second = (kernels.mosaic(Kernels(weights.clone(), 1)) for _ in range(2))
    assert np.array_equal(first, second)
