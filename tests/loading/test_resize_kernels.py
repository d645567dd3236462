import numpy as np
import pytest
from PIL import Image

from ilsvrc.loading.decode_batches import resized_window
from ilsvrc.packing import c_extension

pytestmark = pytest.mark.skipif(c_extension.path() is None, reason="the kernels in C are not compiled here")

FILTERS = [Image.Resampling.BILINEAR, Image.Resampling.BOX, Image.Resampling.NEAREST, Image.Resampling.BICUBIC]
CASES = [  # image, box, size that it is resized to
    ((500, 375), (0, 0, 500, 375), (341, 256)),
    ((375, 500), (0, 0, 375, 500), (256, 341)),
    ((64, 64), (0, 0, 64, 64), (91, 91)),
    ((500, 375), (100, 20, 224, 224), (224, 224)),  # nothing to do
    ((500, 375), (100, 20, 224, 300), (224, 224)),  # one side only
    ((500, 375), (10, 20, 260, 330), (224, 120)),  # vertical pass first
    ((40, 600), (0, 0, 40, 600), (224, 224)),  # vertical first, the width grows
    ((1, 1), (0, 0, 1, 1), (7, 5)),
    ((2000, 3), (0, 0, 2000, 3), (666, 1)),
]


def pillow(pixels: np.ndarray, box: tuple[int, ...], size: tuple[int, int], kind: int) -> np.ndarray:
    left, top, width, height = box
    part = Image.fromarray(pixels).crop((left, top, left + width, top + height))
    return np.asarray(part.resize(size, FILTERS[kind]))


@pytest.mark.parametrize("kind", range(4))
@pytest.mark.parametrize(("shape", "box", "size"), CASES)
def test_pixels_are_pillows(shape: tuple[int, int], box: tuple[int, ...], size: tuple[int, int], kind: int):
    pixels = np.random.default_rng(0).integers(0, 256, (shape[1], shape[0], 3), np.uint8)
    assert (resized_window(pixels, box, size, (0, 0, *size), kind) == pillow(pixels, box, size, kind)).all()


@pytest.mark.parametrize("kind", range(4))
def test_pixels_are_pillows_for_any_size_and_window(kind: int):
    random = np.random.default_rng(1)
    for _ in range(150):
        width, height, new_width, new_height = (int(n) for n in random.integers(2, 300, 4))
        pixels = random.integers(0, 256, (height, width, 3), np.uint8)
        left, top = int(random.integers(width - 1)), int(random.integers(height - 1))
        box = (left, top, int(random.integers(1, width - left + 1)), int(random.integers(1, height - top + 1)))
        x, y = int(random.integers(new_width)), int(random.integers(new_height))
        expected = pillow(pixels, box, (new_width, new_height), kind)[y:, x:]
        given = resized_window(pixels, box, (new_width, new_height), (x, y, new_width - x, new_height - y), kind)
        assert (given == expected).all()


@pytest.mark.parametrize(("kind", "row"), enumerate([[81, 167], [65, 190], [30, 200], [74, 174]]))
def test_filters_are_those_of_their_names(kind: int, row: list[int]):
    """A row of four halved. Weights of the left one: 3 3 1 0 of 7, 1 1 0 0 of 2, 0 1 0 0, 111 111 29 -9 of 242."""
    pixels = np.repeat(np.array([[100, 30, 180, 200]], np.uint8)[..., None], 3, axis=2)
    assert resized_window(pixels, (0, 0, 4, 1), (2, 1), (0, 0, 2, 1), kind)[0, :, 0].tolist() == row
