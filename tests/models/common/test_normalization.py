import pytest
import torch

from ilsvrc.models.common.normalization import Normalization

RED_GREEN = torch.tensor([[[[255, 0, 0], [0, 255, 10]]]], dtype=torch.uint8)  # one row of two pixels
MEAN, STD = [55.0, 5.0, 10.0], [100.0, 50.0, 20.0]


def test_mean_std_is_by_channel():
    found = Normalization(MEAN, STD)(RED_GREEN)
    expected = torch.tensor([[[[2.0, -0.55]], [[-0.1, 5.0]], [[-0.5, 0.0]]]])
    assert torch.allclose(found, expected, atol=1e-6)


def test_mean_keeps_the_scale_of_the_pixels():
    assert Normalization(MEAN, STD, "mean")(RED_GREEN).tolist() == [[[[200, -55]], [[-5, 250]], [[-10, 0]]]]


def test_unit_maps_0_to_255_to_minus_1_to_1():
    found = Normalization(MEAN, STD, "unit")(torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8))
    assert torch.allclose(found.flatten(), torch.tensor([-1.0, -0.6, 1.0]), atol=1e-6)


def test_none_leaves_the_pixels_alone():
    found = Normalization(MEAN, [0.0, 0.0, 0.0], "none")(RED_GREEN)
    assert found.dtype == torch.float32
    assert found.tolist() == [[[[255, 0]], [[0, 255]], [[0, 10]]]]


def test_float_pixels_keep_their_fractions():
    assert Normalization(MEAN, STD, "mean")(torch.tensor([[[[55.25, 4.5, 260.0]]]])).flatten().tolist() == [
        0.25,
        -0.5,
        250.0,
    ]


def image_of_places(side: int) -> torch.Tensor:
    """Pixel (row, column) is 10 row + column, plus 0, 100 or 200 by channel."""
    places = 10 * torch.arange(side)[:, None, None] + torch.arange(side)[None, :, None]
    return (places + torch.tensor([0, 100, 200])).float()


def test_the_mean_images_central_window_is_subtracted():
    white = torch.full((2, 2, 2, 3), 255, dtype=torch.uint8)
    found = Normalization(MEAN, STD, "mean_image", image_of_places(5))(white)
    expected = [[[244, 243], [234, 233]], [[144, 143], [134, 133]], [[44, 43], [34, 33]]]  # rows and columns 1, 2
    assert found.tolist() == [expected, expected]


def test_the_mean_images_window_under_each_picture_is_subtracted():
    white = torch.full((2, 1, 2, 3), 255, dtype=torch.uint8)
    image = image_of_places(5)
    windows = torch.stack([image[0:1, 0:2], image[4:5, 3:5]])
    found = Normalization(MEAN, STD, "mean_image", image)(white, windows)
    assert found[:, 0].tolist() == [[[255, 254]], [[212, 211]]]
    assert torch.equal(Normalization(MEAN, STD, "mean_image", image)(white, windows[1])[0], found[1])


def test_a_mean_image_smaller_than_the_pictures_is_refused():
    normalize = Normalization(MEAN, STD, "mean_image", image_of_places(3))
    with pytest.raises(ValueError, match="3 x 3 px, fewer than images of 2 x 4 px"):
        normalize(torch.zeros(1, 2, 4, 3))


def test_the_mean_image_and_its_kind_go_together():
    with pytest.raises(ValueError, match="mean_image wants a mean image"):
        Normalization(MEAN, STD, "mean_image")
    with pytest.raises(ValueError, match="mean_std has no mean image"):
        Normalization(MEAN, STD, "mean_std", image_of_places(3))


def test_the_mean_image_is_no_part_of_the_weights_and_has_the_modules_precision():
    normalize = Normalization(MEAN, STD, "mean_image", image_of_places(3)).double()
    assert normalize.state_dict() == {}
    assert normalize(torch.zeros(1, 3, 3, 3, dtype=torch.uint8)).dtype == torch.float64


def test_the_memory_stays_in_the_pictures_order():
    images = torch.zeros(2, 4, 5, 3, dtype=torch.uint8)
    of_image = Normalization(MEAN, STD, "mean_image", image_of_places(6))
    for found in (Normalization(MEAN, STD)(images), of_image(images), of_image(images, torch.zeros(2, 4, 5, 3))):
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
    with pytest.raises(ValueError, match="'caffe'; it can be mean_std, mean, mean_image, unit, none"):
        Normalization(MEAN, STD, "caffe")
