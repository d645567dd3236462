"""float16 and back against numpy's own conversions."""

import numpy as np
import pytest

from ilsvrc.evaluation import float16


def test_every_half_of_0_to_1_reads_back_as_numpy_reads_it() -> None:
    halves = np.arange(0x3C01, dtype=np.uint16).view(np.float16)
    assert halves[-1] == 1
    assert np.array_equal(float16.to_single(halves), halves.astype(np.float32))
    assert float16.to_half(halves.astype(np.float32)).tobytes() == halves.tobytes()


def test_numbers_between_are_rounded_as_numpy_rounds_them() -> None:
    exact = np.arange(0x3C01, dtype=np.uint16).view(np.float16).astype(np.float32)
    middles = (exact[:-1] + exact[1:]) / 2  # exact in float32: ties go to the even one
    near = [np.nextafter(middles, np.float32(end)) for end in (0, 1)]
    numbers = np.concatenate([middles, *near, np.random.default_rng(0).random(10_000, np.float32) ** 12])
    with np.errstate(under="ignore"):
        assert float16.to_half(numbers).tobytes() == numbers.astype(np.float16).tobytes()


@pytest.mark.parametrize(("number", "bits"), [(0.0, 0), (2.0**-24, 1), (2.0**-14, 0x400), (0.5, 0x3800), (1.0, 0x3C00)])
def test_some_halves_are_these_bits(number: float, bits: int) -> None:
    assert float16.to_half(np.array([number], np.float32)).view(np.uint16).tolist() == [bits]
