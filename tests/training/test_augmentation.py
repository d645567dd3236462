import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import functional

from ilsvrc.training import augmentation, colour_jitter
from ilsvrc.training.augmentation import Augmentation
from ilsvrc.training.augmentation_rng import Draw, Draws
from ilsvrc.training.colour_jitter import ColourJitter, Lighting
from ilsvrc.training.random_erasing import Erasing, rectangles

MEAN, STD = [120.0, 110.0, 100.0], [60.0, 50.0, 40.0]
EIGENVALUES = [10_000.0, 900.0, 100.0]
EIGENVECTORS = [[0.6, 0.0, 0.8], [0.0, 1.0, 0.0], [-0.8, 0.0, 0.6]]
STATISTICS = (MEAN, STD, EIGENVALUES, EIGENVECTORS)
ALL = {
    "lighting": 0.1,
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.4,
    "hue": 0.1,
    "rand_augment": 9.0,
    "erasing": 0.5,
}


def pictures(count: int, side: int = 16) -> Tensor:
    noise = torch.Generator().manual_seed(count)
    return torch.randint(256, (count, side, side, 3), dtype=torch.uint8, generator=noise)


def colours() -> Tensor:
    """Float `[1, 9, 81, 3]`: 729 colours, greys, black and white among them."""
    steps = torch.linspace(0, 255, 9)
    return torch.cartesian_prod(steps, steps, steps).view(1, 9, 81, 3)


def column(value: float) -> Tensor:
    return torch.full((1, 1, 1, 1), value)


def test_lighting_in_units_of_deviations_by_hand(monkeypatch):
    monkeypatch.setattr(Draws, "normal", lambda self, draw: np.array([[1.0, -2.0, 3.0][draw // 2]]))
    found = Lighting(0.1, "deviation", EIGENVALUES, EIGENVECTORS)(torch.full((1, 2, 2, 3), 100.0), one())
    # alpha = 0.1, -0.2, 0.3 times 100, 30, 10: 10, -6, 3 along the components
    expected = [100 + 10 * 0.6 - 3 * 0.8, 100 - 6, 100 + 10 * 0.8 + 3 * 0.6]
    assert torch.allclose(found, torch.tensor(expected).expand(1, 2, 2, 3), atol=1e-4)


def test_lighting_in_units_of_variances_by_hand(monkeypatch):
    monkeypatch.setattr(Draws, "normal", lambda self, draw: np.array([[1.0, -2.0, 3.0][draw // 2]]))
    found = Lighting(0.1, "variance", EIGENVALUES, EIGENVECTORS)(torch.full((1, 2, 2, 3), 1.0), one())
    # eigenvalues of pixels from 0 to 1, times 255: 39.2157, 3.52941, 0.392157
    expected = [1 + 3.92157 * 0.6 - 0.117647 * 0.8, 1 - 0.705882, 1 + 3.92157 * 0.8 + 0.117647 * 0.6]
    assert torch.allclose(found, torch.tensor(expected).expand(1, 2, 2, 3), atol=1e-4)


def test_lighting_draws_each_component_for_each_image():
    count = 4000
    light = Augmentation(*STATISTICS, lighting=0.1)
    shifts = light(torch.zeros(count, 1, 1, 3, dtype=torch.uint8), 0, 0, torch.arange(count)).view(count, 3)
    along = shifts @ torch.tensor(EIGENVECTORS).T
    assert along.std(dim=0).tolist() == pytest.approx([10, 3, 1], rel=0.05)
    assert torch.corrcoef(along.T).fill_diagonal_(0).abs().max() < 0.06


def one() -> Draws:
    return Draws(0, 0, torch.tensor([0]))


PAIRS = [
    (colour_jitter.brighten, functional.adjust_brightness, (0.6, 1.4)),
    (colour_jitter.change_contrast, functional.adjust_contrast, (0.6, 1.4)),
    (colour_jitter.saturate, functional.adjust_saturation, (0.6, 1.4)),
    (colour_jitter.turn_hue, functional.adjust_hue, (-0.3, 0.5)),
]


@pytest.mark.parametrize(("mine", "theirs", "amounts"), PAIRS)
def test_an_operation_is_torchvisions_on_floats(mine, theirs, amounts):
    for amount in amounts:
        found = mine(colours(), column(amount))
        expected = theirs(colours().permute(0, 3, 1, 2) / 255, amount).permute(0, 2, 3, 1) * 255
        assert (found - expected).abs().max() < 0.02  # torchvision's grey weighs red 0.2989, here 0.299


@pytest.mark.parametrize(("mine", "theirs", "amounts"), PAIRS)
def test_an_operation_is_torchvisions_on_bytes_but_for_its_rounding(mine, theirs, amounts):
    whole = colours().floor()
    for amount in amounts:
        expected = theirs(whole.to(torch.uint8).permute(0, 3, 1, 2), amount).permute(0, 2, 3, 1)
        assert (mine(whole, column(amount)) - expected).abs().max() < 1.5


def test_contrast_and_saturation_by_hand():
    # greys: 0.299 * 100 = 29.9 and 0.114 * 200 = 22.8, their mean 26.35
    images = torch.tensor([[[[100.0, 0.0, 0.0], [0.0, 0.0, 200.0]]]])
    contrast = colour_jitter.change_contrast(images, column(1.4))
    assert contrast.flatten().tolist() == pytest.approx([129.46, 0, 0, 0, 0, 255], abs=1e-4)
    saturation = colour_jitter.saturate(images, column(0.5))
    assert saturation.flatten().tolist() == pytest.approx([64.95, 14.95, 14.95, 11.4, 11.4, 111.4], abs=1e-4)


def test_a_third_of_a_turn_makes_red_green_and_green_blue():
    images = torch.tensor([[[[200.0, 50.0, 50.0], [10.0, 90.0, 10.0], [70.0, 70.0, 70.0]]]])
    found = colour_jitter.turn_hue(images, column(1 / 3))
    expected = torch.tensor([[[[50.0, 200.0, 50.0], [10.0, 10.0, 90.0], [70.0, 70.0, 70.0]]]])
    assert torch.allclose(found, expected, atol=1e-3)


def test_each_image_has_its_own_order_and_factors():
    images, indices = pictures(12), torch.arange(100, 112)
    draws = Draws(7, 2, indices)
    found = ColourJitter(0.4, 0.3, 0.2, 0.1)(images.float(), draws)
    order = draws.order(Draw.JITTER_ORDER, 4)
    amounts = [
        draws.uniform(draw, low, high)
        for draw, low, high in zip(
            (Draw.BRIGHTNESS, Draw.CONTRAST, Draw.SATURATION, Draw.HUE),
            (0.6, 0.7, 0.8, -0.1),
            (1.4, 1.3, 1.2, 0.1),
            strict=True,
        )
    ]
    assert len({tuple(row) for row in order.tolist()}) > 6
    for i in range(len(images)):
        picture = images[i].permute(2, 0, 1) / 255
        for number in order[i]:
            picture = PAIRS[number][1](picture, amounts[number][i])
        assert (found[i] - 255 * picture.permute(1, 2, 0)).abs().max() < 0.05


def test_a_strength_of_0_is_left_out():
    images = pictures(3).float()
    found = ColourJitter(brightness=0.4)(images.clone(), Draws(0, 0, torch.arange(3)))
    factors = torch.tensor(Draws(0, 0, torch.arange(3)).uniform(Draw.BRIGHTNESS, 0.6, 1.4), dtype=torch.float32)
    assert torch.equal(found, (images * factors.view(-1, 1, 1, 1)).clamp(0, 255))


def test_rectangles_are_inside_and_of_the_areas_and_aspects():
    count, height, width = 20_000, 200, 300
    places, boxes = rectangles(Draws(0, 0, torch.arange(count)), 0.25, height, width)
    left, top, wide, high = boxes.T
    assert len(places) == pytest.approx(count / 4, rel=0.05)
    assert (left >= 0).all() and (left + wide <= width).all() and (left + wide == width).any()
    assert (top >= 0).all() and (top + high <= height).all() and (top == 0).any()
    area, aspect = wide * high / (height * width), high / wide
    assert 0.019 < area.min() < 0.03 and 0.3 < area.max() < 0.337
    assert 0.29 < aspect.min() < 0.32 and 3.1 < aspect.max() < 3.4
    assert (aspect[area < 0.1] > 1).mean() == pytest.approx(0.5, abs=0.05)


def test_an_erased_rectangle_has_the_training_sets_colours_and_the_rest_stays():
    images, indices = pictures(40, side=64), torch.arange(40)
    draws = Draws(1, 0, indices)
    found = Erasing(0.5, MEAN, STD)(images.float(), draws)
    places, boxes = rectangles(draws, 0.5, 64, 64)
    erased = torch.zeros(images.shape[:3], dtype=torch.bool)
    for place, (left, top, wide, high) in zip(places, boxes, strict=True):
        erased[place, top : top + high, left : left + wide] = True
    assert 5 < len(places) < 35
    assert torch.equal(found[~erased], images[~erased].float())
    noise = (found[erased] - torch.tensor(MEAN)) / torch.tensor(STD)
    assert noise.mean(dim=0).tolist() == pytest.approx([0, 0, 0], abs=0.03)
    assert torch.allclose(torch.cov(noise.T), torch.eye(3), atol=0.05)


def test_a_picture_too_small_for_a_rectangle_stays():
    images = pictures(50, side=1)
    assert torch.equal(Erasing(1.0, MEAN, STD)(images.float(), Draws(0, 0, torch.arange(50))), images.float())


@pytest.mark.parametrize("name", [*ALL, "all"])
def test_what_an_image_becomes_depends_on_no_other_and_on_no_place(name):
    given = ALL if name == "all" else {name: ALL[name]}
    look = Augmentation(*STATISTICS, **given)
    images, indices = pictures(40), torch.arange(500, 540)
    found = look(images, 3, 5, indices)
    shuffled = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(look(images[shuffled], 3, 5, indices[shuffled]).float(), found[shuffled].float(), atol=1e-3)
    alone = torch.cat([look(images[i : i + 1], 3, 5, indices[i : i + 1]) for i in range(40)])
    assert torch.allclose(alone.float(), found.float(), atol=1e-3)


@pytest.mark.parametrize("name", list(ALL))
def test_seed_epoch_and_image_each_change_what_is_drawn(name):
    look = Augmentation(*STATISTICS, **{name: ALL[name]})
    images, indices = pictures(20), torch.arange(20)
    found = look(images, 3, 5, indices)
    assert not torch.equal(found.float(), images.float())
    for other in (look(images, 4, 5, indices), look(images, 3, 6, indices), look(images, 3, 5, indices + 20)):
        assert not torch.equal(other, found)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a GPU")
@pytest.mark.parametrize("name", list(ALL))
def test_a_gpu_makes_the_same_pictures_but_for_rounding(name):
    look = Augmentation(*STATISTICS, **{name: ALL[name]})
    images, indices = pictures(300, side=32), torch.arange(300)
    off = (look(images.cuda(), 3, 5, indices).cpu().float() - look(images, 3, 5, indices).float()).abs()
    assert off.max() <= 1.01 and (off > 0.01).float().mean() < 1e-3


def test_the_loaders_tensor_stays_as_it_is():
    images = pictures(8)
    before = images.clone()
    Augmentation(*STATISTICS, **ALL)(images, 0, 0, torch.arange(8))
    assert torch.equal(images, before)
    floats = images.float()
    Augmentation(*STATISTICS, lighting=0.1, erasing=1.0)(floats, 0, 0, torch.arange(8))
    assert torch.equal(floats, before.float())


def test_bytes_stay_bytes_where_nothing_needs_fractions():
    images, indices = pictures(4), torch.arange(4)
    assert Augmentation(*STATISTICS, rand_augment=9.0)(images, 0, 0, indices).dtype == torch.uint8
    assert Augmentation(*STATISTICS, hue=0.1)(images, 0, 0, indices).dtype == torch.float32
    assert Augmentation(*STATISTICS).changes_nothing
    assert not Augmentation(*STATISTICS, erasing=0.1).changes_nothing


def test_operations_come_in_their_order(monkeypatch):
    heard = []

    def listening(name, part):
        def called(images, draws):
            heard.append(name)
            return images

        monkeypatch.setattr(part, "__call__", lambda self, images, draws: called(images, draws))

    for name in ("RandAugment", "ColourJitter", "Lighting", "Erasing"):
        listening(name, getattr(augmentation, name))
    Augmentation(*STATISTICS, **ALL)(pictures(2), 0, 0, torch.arange(2))
    assert heard == ["RandAugment", "ColourJitter", "Lighting", "Erasing"]


def test_noise_of_lighting_goes_beyond_0_and_255():
    found = Augmentation(*STATISTICS, lighting=1.0)(
        torch.full((9, 1, 1, 3), 255, dtype=torch.uint8), 0, 0, torch.arange(9)
    )
    assert found.max() > 256 and math.isfinite(found.max())
