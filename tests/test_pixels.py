import pytest
import torch

from ilsvrc.pixels import Normalization

RED_GREEN = torch.tensor([[[[255, 0, 0], [0, 255, 10]]]], dtype=torch.uint8)  # one row of two pixels
MEAN, STD = [55.0, 5.0, 10.0], [100.0, 50.0, 20.0]


def test_mean_std_is_by_channel():
    found = Normalization(MEAN, STD)(RED_GREEN)
    expected = torch.tensor([[[[2.0, -0.55]], [[-0.1, 5.0]], [[-0.5, 0.0]]]])
    assert torch.allclose(found, expected, atol=1e-6)


def test_mean_keeps_the_scale_of_the_pixels():
    assert Normalization(MEAN, STD, "mean")(RED_GREEN).tolist() == [[[[200, -55]], [[-5, 250]], [[-10, 0]]]]


def test_the_memory_stays_in_the_pictures_order():
    found = Normalization(MEAN, STD)(torch.zeros(2, 4, 5, 3, dtype=torch.uint8))
    assert found.shape == (2, 3, 4, 5)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_the_precision_is_the_modules():
    assert Normalization(MEAN, STD).double()(RED_GREEN).dtype == torch.float64


def test_it_is_no_part_of_the_weights():
    assert Normalization(MEAN, STD).state_dict() == {}


def test_a_channel_without_spread_is_refused():
    with pytest.raises(ValueError, match=r"\[1.0, 0.0, 1.0\]; use mean"):
        Normalization(MEAN, [1.0, 0.0, 1.0])
    Normalization(MEAN, [1.0, 0.0, 1.0], "mean")


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="'caffe'; it can be mean_std or mean"):
        Normalization(MEAN, STD, "caffe")
