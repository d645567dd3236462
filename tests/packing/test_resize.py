import numpy as np
import pytest
from PIL import Image

from ilsvrc.packing import resize

SIZES = [  # before, after
    ((500, 375), (341, 256)),
    ((375, 500), (256, 341)),
    ((8, 8), (91, 91)),
    ((64, 48), (128, 96)),
    ((500, 375), (224, 375)),
    ((260, 330), (224, 120)),  # vertical pass first
    ((40, 600), (224, 224)),
    ((1, 1), (7, 5)),
    ((2000, 3), (666, 1)),
    ((20000, 100), (8000, 40)),
]


def pixels(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)


def pillow(source: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(source).resize(size, Image.Resampling.BILINEAR))


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_pixels_are_pillows(before: tuple[int, int], after: tuple[int, int]):
    assert (resize.resized(pixels(*before), after) == pillow(pixels(*before), after)).all()


def test_pixels_are_pillows_for_any_size():
    random = np.random.default_rng(1)
    for _ in range(200):
        width, height, *size = (int(n) for n in random.integers(1, 400, 4))
        source = pixels(width, height)
        assert (resize.resized(source, tuple(size)) == pillow(source, tuple(size))).all()


def test_pixels_are_the_same_where_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(resize, "_compiled", lambda: None)
    assert (resize.resized(pixels(500, 375), (341, 256)) == pillow(pixels(500, 375), (341, 256))).all()
