from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from timm.data import auto_augment

from ilsvrc.training import affine, rand_augment
from ilsvrc.training.augmentation_rng import Draws
from ilsvrc.training.rand_augment import RandAugment, operations_of

FILL = (124, 116, 104)
OPERATIONS = operations_of(torch.tensor(FILL, dtype=torch.uint8))
OF_TIMM = {
    "auto_contrast": "AutoContrast",
    "equalize": "Equalize",
    "invert": "Invert",
    "rotate": "Rotate",
    "posterize": "PosterizeIncreasing",
    "solarize": "SolarizeIncreasing",
    "solarize_add": "SolarizeAdd",
    "colour": "ColorIncreasing",
    "contrast": "ContrastIncreasing",
    "brightness": "BrightnessIncreasing",
    "sharpness": "SharpnessIncreasing",
    "shear_x": "ShearX",
    "shear_y": "ShearY",
    "translate_x": "TranslateXRel",
    "translate_y": "TranslateYRel",
}


def pictures(count: int = 3, height: int = 24, width: int = 32) -> torch.Tensor:
    """Smooth colours with noise, each of its own range."""
    noise = np.random.default_rng(5)
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [60 * np.sin(rows / 5 + i) + 60 * np.cos(columns / 7 * (i + 1)) + 120 for i in range(3)]
    values = np.stack([np.stack(waves, 2) * (0.5 + 0.2 * n) + noise.normal(0, 8, (height, width, 3)) + 10 * n
                       for n in range(count)])  # fmt: skip
    return torch.from_numpy(values.clip(0, 255).astype(np.uint8))


def by_timm(name: str, picture: torch.Tensor, level: float, sign: int, monkeypatch) -> np.ndarray:
    monkeypatch.setattr(auto_augment, "_randomly_negate", lambda value: sign * value)
    options = {"img_mean": FILL, "interpolation": Image.Resampling.BICUBIC}
    operation = auto_augment.AugmentOp(OF_TIMM[name], prob=1.0, magnitude=level, hparams=options)
    return np.asarray(operation(Image.fromarray(picture.numpy())))


def ours(name: str, images: torch.Tensor, levels: list[float], sign: int) -> np.ndarray:
    amount, operation = OPERATIONS[name]
    amounts = amount(np.array(levels) / 10, np.full(len(levels), float(sign)))
    given = images.clone()
    found = operation(given, torch.tensor(amounts, dtype=torch.float32).view(-1, 1, 1, 1))
    assert found.dtype == torch.uint8 and torch.equal(given, images)
    return found.numpy()


def test_the_operations_are_timms_increasing_ones():
    assert sorted(OF_TIMM.values()) == sorted(auto_augment._RAND_INCREASING_TRANSFORMS)
    assert list(OPERATIONS) == list(OF_TIMM)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("name", list(OF_TIMM))
def test_an_operation_is_timms_on_pillow_within_one_level(name, sign, monkeypatch):
    images, levels = pictures(), [9.0, 4.3, 9.9 if name == "posterize" else 10.0]  # Pillow refuses 0 bits
    found = ours(name, images, levels, sign).astype(int)
    for mine, picture, level in zip(found, images, levels, strict=True):
        off = np.abs(mine - by_timm(name, picture, level, sign, monkeypatch))
        assert off.max() <= 1
        assert (off > 0).mean() < 0.005


@pytest.mark.parametrize("name", ["auto_contrast", "equalize", "posterize", "solarize", "solarize_add", "invert"])
def test_tables_of_values_are_pillows_to_the_digit(name, monkeypatch):
    images = torch.arange(0, 240).repeat(3).view(1, 24, 10, 3).to(torch.uint8)
    assert np.array_equal(ours(name, images, [9.0], 1)[0], by_timm(name, images[0], 9.0, 1, monkeypatch))


@pytest.mark.parametrize("name", list(OF_TIMM))
def test_a_picture_of_one_colour_is_pillows_too(name, monkeypatch):
    images = torch.full((1, 12, 12, 3), 77, dtype=torch.uint8)
    assert np.array_equal(ours(name, images, [9.0], 1)[0], by_timm(name, images[0], 9.0, 1, monkeypatch))


def test_equalize_by_hand():
    # 510 pixels: 256 of 10, 254 of 200; step (510 - 254) // 255 = 1, half a step 0: 10 -> 0, 200 -> 256, cut to 255
    values = torch.tensor([10] * 256 + [200] * 254, dtype=torch.uint8)
    images = values.view(1, 17, 30, 1).repeat(1, 1, 1, 3)
    found = rand_augment.equalize(images, torch.zeros(1, 1, 1, 1))
    assert torch.equal(found, (images == 200).to(torch.uint8) * 255)


def test_a_shift_by_whole_pixels_moves_pixels_and_fills_the_rest():
    images = pictures(1, height=8, width=10)
    found = affine.translate_x(images, torch.full((1, 1, 1, 1), 0.3), torch.tensor(FILL, dtype=torch.uint8))
    assert torch.equal(found[0, :, :7], images[0, :, 3:])
    assert (found[0, :, 7:] == torch.tensor(FILL)).all()


def test_operations_agree_with_pillow_itself():
    images = pictures(1)
    picture = Image.fromarray(images[0].numpy())
    pairs = [
        ("sharpness", ImageEnhance.Sharpness(picture).enhance(1.9)),
        ("auto_contrast", ImageOps.autocontrast(picture)),
    ]
    for name, expected in pairs:
        assert np.abs(ours(name, images, [10.0], 1)[0].astype(int) - np.asarray(expected)).max() <= 1


class Drawn(Draws):
    """Draws that a test sets."""

    def __init__(self, count: int, chosen: list[str | None]) -> None:
        super().__init__(0, 0, torch.arange(count))
        self.chosen = chosen

    def uniform(self, draw: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        layer, number = divmod(draw - 100, 10)
        name = self.chosen[layer]
        of_place = list(OF_TIMM).index(name) + 0.5 if name else 0.0
        values = {0: of_place, 1: 0.0 if name else 0.9, 2: 0.9}
        return np.full(len(self), values[number])

    def normal(self, draw: int) -> np.ndarray:
        return np.zeros(len(self))


def test_two_layers_follow_each_other():
    images = pictures()
    found = RandAugment(9.0, FILL)(images, Drawn(3, ["posterize", "invert"]))
    assert torch.equal(found, 255 - (images & 128))


def test_an_operation_that_is_not_made_leaves_the_picture():
    images = pictures()
    assert torch.equal(RandAugment(9.0, FILL)(images, Drawn(3, [None, None])), images)


def test_magnitudes_signs_and_operations_have_their_shares(monkeypatch):
    seen, levels, signs = Counter(), [], []
    count = 3000

    def watched(chosen, operation, images, amounts):
        seen[operation] += int(chosen.sum())
        return images

    def amount(level, sign):
        levels.append(level)
        signs.append(sign)
        return level

    monkeypatch.setattr(rand_augment, "where", watched)
    monkeypatch.setattr(rand_augment, "operations_of", lambda fill: {n: (amount, n) for n in OF_TIMM})
    RandAugment(9.0, FILL)(torch.zeros(count, 1, 1, 3, dtype=torch.uint8), Draws(0, 0, torch.arange(count)))
    assert sum(seen.values()) == pytest.approx(2 * count * 0.5, rel=0.05)
    assert all(times == pytest.approx(2 * count * 0.5 / 15, rel=0.35) for times in seen.values())
    drawn = 10 * np.concatenate((levels[0], levels[15]))
    assert drawn.max() == 10 and np.median(drawn) == pytest.approx(9, abs=0.03)
    assert (drawn < 8.5).mean() == pytest.approx(0.1587, abs=0.015)
    assert np.mean(signs[0]) == pytest.approx(0, abs=0.06)
