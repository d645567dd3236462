import math

import numpy as np
import pytest
import torch

from ilsvrc.runtime import counter_rng
from ilsvrc.training.augmentation_rng import FIRST, Draw, Draws, pixel_noise, splitmix64

MANY = Draws(3, 1, torch.arange(20_000))


def by_hand(value: int) -> int:
    """One splitmix64 step in Python's integers."""
    value = (value + 0x9E3779B97F4A7C15) % 2**64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) % 2**64
    return value ^ (value >> 31)


def test_the_hash_on_the_device_is_splitmix64():
    values = [0, 1, 2**40 + 7, 2**63 - 1]
    assert [found % 2**64 for found in splitmix64(torch.tensor(values)).tolist()] == [by_hand(v) for v in values]


def test_draws_lie_apart_from_those_of_crops_and_orders():
    assert FIRST + 2 * Draw.RAND_AUGMENT < counter_rng.ORDER_DRAW
    found = Draws(3, 1, torch.tensor([5, 9])).uniform(Draw.HUE, -0.1, 0.3)
    expected = -0.1 + 0.4 * counter_rng.uniform(3, 1, np.array([5, 9]), 2**16 + 23)
    assert found.tolist() == expected.tolist()


def test_normal_numbers_are_box_mullers():
    one = Draws(3, 1, torch.tensor([5]))
    first, second = one.uniform(0)[0], one.uniform(1)[0]
    assert one.normal(0)[0] == pytest.approx(math.sqrt(-2 * math.log(1 - first)) * math.cos(2 * math.pi * second))
    drawn = MANY.normal(0)
    assert (drawn.mean(), drawn.std()) == pytest.approx((0, 1), abs=0.03)
    assert (np.abs(drawn) < 1).mean() == pytest.approx(0.6827, abs=0.01)


def test_orders_are_permutations_and_each_as_frequent():
    orders = MANY.order(Draw.JITTER_ORDER, 3)
    kinds, counts = np.unique(orders, axis=0, return_counts=True)
    assert kinds.tolist() == [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    assert counts.min() > 20_000 / 6 * 0.94


def test_a_pixels_noise_is_of_its_image_and_its_place_alone():
    keys = Draws(3, 1, torch.tensor([5, 9])).keys(Draw.NOISE, torch.device("cpu"))
    both = pixel_noise(keys.repeat_interleave(4), torch.arange(4).repeat(2))
    alone = pixel_noise(keys[1:].expand(2), torch.tensor([3, 0]))
    assert torch.equal(alone, both[[7, 4]])
    bits = by_hand((int(keys[1]) % 2**64) ^ 3)
    third = torch.tensor((2 * (bits >> 42 & 0x1FFFFF) + 1) / 2**21 - 1, dtype=torch.float64)
    assert both[7, 2].item() == pytest.approx(math.sqrt(2) * torch.erfinv(third).item(), abs=1e-5)


def test_noise_is_normal_and_its_channels_are_apart():
    noise = pixel_noise(torch.zeros(50_000, dtype=torch.int64), torch.arange(50_000))
    assert noise.dtype == torch.float32 and noise.abs().max() < 5.1
    assert noise.mean(dim=0).tolist() == pytest.approx([0, 0, 0], abs=0.02)
    assert torch.allclose(torch.cov(noise.T), torch.eye(3), atol=0.02)
