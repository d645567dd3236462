"""The mean image against sums made by hand, and its sampling against Pillow's resizing."""

import numpy as np
import pytest
from PIL import Image

from ilsvrc.packing import mean_image
from ilsvrc.packing.mean_image import SIDE_PX, MeanImage, central_square, sums_of


def mean_of(*images: np.ndarray) -> np.ndarray:
    mean = MeanImage()
    mean.add(sums_of(map(central_square, images)))
    return mean.mean()


def test_images_of_one_size_have_the_plain_mean():
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    assert np.array_equal(mean_of(*images), images.mean(axis=0).astype(np.float32))


@pytest.mark.parametrize(("height", "width"), [(4, 7), (7, 4)])
def test_the_square_is_the_central_one(height, width):
    image = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    top, left = (height - 4) // 2, (width - 4) // 2
    assert np.array_equal(central_square(image).reshape(4, 4, 3), image[top : top + 4, left : left + 4])


def test_a_larger_square_is_sampled_at_the_middles_of_its_cells():
    image = np.zeros((768, 768, 3), np.uint8)
    image[1::3, 1::3] = 200
    assert (central_square(image) == 200).all()


def test_smaller_squares_are_repeated_up_to_the_largest_and_count_alike():
    small, large = np.full((2, 2, 3), 10, np.uint8), np.full((4, 4, 3), 30, np.uint8)
    small[0] = 50
    mean = mean_of(small, large)
    assert mean.shape == (4, 4, 3)
    assert np.array_equal(mean[:, :, 0], [[40] * 4] * 2 + [[20] * 4] * 2)


def test_the_order_of_images_changes_no_bit():
    images = [np.random.default_rng(i).integers(0, 256, (40 + i, 300 - i, 3), np.uint8) for i in range(6)]
    assert mean_of(*images).tobytes() == mean_of(*images[::-1]).tobytes()


def test_many_photographs_sampled_have_nearly_the_mean_of_filtered_ones():
    images = [_smooth(seed) for seed in range(30)]
    filtered = [np.asarray(Image.fromarray(p).resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR)) for p in images]
    assert np.abs(mean_of(*images) - np.mean(filtered, axis=0)).mean() < 2


def _smooth(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((400, 400), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("shape", [(1, 1), (5, 9), (300, 700), (257, 256)])
def test_the_square_is_the_same_without_the_compiled_library(shape, monkeypatch):
    image = np.random.default_rng(3).integers(0, 256, (*shape, 3), np.uint8)
    compiled = central_square(image)
    monkeypatch.setattr(mean_image.c_extension, "function", lambda *_: None)
    assert np.array_equal(compiled, central_square(image))
