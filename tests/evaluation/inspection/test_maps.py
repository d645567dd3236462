"""Occlusion and saliency of networks of which it is known where they look."""

import numpy as np
import torch

from ilsvrc.evaluation.inspection import drawing, occlusion, saliency


def corner(pictures: torch.Tensor) -> torch.Tensor:
    """Class 1 is as probable as the picture's upper left pixel is red, class 0 otherwise."""
    red = pictures[:, 0, 0, 0].float() / 255
    return torch.stack([1 - red, red], dim=1)


def test_where_a_network_looks_at_one_corner_covering_that_alone_matters():
    white = torch.full((26, 26, 3), 255, dtype=torch.uint8)
    found = occlusion.occlusion(corner, white, 1)
    expected = np.ones((13, 13), np.float32)
    # a square of 6 px whose centre is 1 or 3 px from the border covers the first pixel
    expected[:2, :2] = np.float32(128 / 255)
    assert np.allclose(found, expected)
    assert (white == 255).all()
    assert np.allclose(occlusion.occlusion(corner, white, 0), 1 - expected)


def test_squares_reach_from_border_to_border():
    windows = [occlusion._window(place, 224) for place in (0, 6, 12)]
    assert [(one.start, one.stop) for one in windows] == [(0, 37), (84, 140), (187, 224)]


def test_saliency_is_the_largest_slope_of_the_channels():
    weights = torch.zeros(2, 2, 3)
    weights[0, 1] = torch.tensor([0.5, -3.0, 1.0])
    weights[1, 0] = torch.tensor([0.25, 0.0, 0.125])

    def scores(pictures: torch.Tensor) -> torch.Tensor:
        score = (pictures * weights).sum(dim=(1, 2, 3))
        return torch.stack([score * 100, score], dim=1)

    found = saliency.saliency(scores, torch.zeros(2, 2, 3, dtype=torch.uint8), 1)
    assert found.tolist() == [[0.0, 3.0], [0.25, 0.0]]


def test_the_strongest_are_white_and_a_map_of_nothing_is_black():
    found = np.zeros((20, 20), np.float32)
    found[0] = 2.0
    found[1] = 1.0
    found[0, 0] = 1000.0
    shown = saliency.shown(found)
    assert shown[:3, 1].tolist() == [255, 128, 0]
    assert saliency.shown(np.zeros((4, 4), np.float32)).tolist() == np.zeros((4, 4)).tolist()


def test_heat_goes_from_violet_to_yellow():
    colours = drawing.heat(np.array([[-1.0, 0.0, 0.125, 0.5, 1.0, 2.0]]))
    assert colours[0].tolist() == [
        [68, 1, 84], [68, 1, 84], [64, 42, 112], [33, 145, 140], [253, 231, 37], [253, 231, 37],
    ]  # fmt: skip
