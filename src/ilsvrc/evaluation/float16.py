"""Probabilities as float16 and back, bit for bit as numpy converts them and in an eighth of the time.

Most of a thousand classes' probabilities are subnormal in float16, which is where numpy's own conversion is slow.
"""

import numpy as np
from numpy.typing import NDArray

_NORMAL = np.float32(2.0**-14)  # float16's smallest normal number
_STEPS = np.float32(2.0**24)  # its subnormal numbers are multiples of 1 / this
_TABLE = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)


def to_half(probabilities: NDArray[np.float32]) -> NDArray[np.float16]:
    """Numbers of 0 to 1 as float16: the nearest, of two as near the even one."""
    bits = probabilities.view(np.uint32)
    normal = ((bits + 0xFFF + ((bits >> 13) & 1)) >> 13) - (112 << 10)  # the exponent's bias is 15, not 127
    subnormal = np.rint(probabilities * _STEPS).astype(np.uint32)
    halves = np.where(probabilities < _NORMAL, subnormal, normal).astype(np.uint16)
    return halves.view(np.float16)


def to_single(halves: NDArray[np.float16]) -> NDArray[np.float32]:
    """The same numbers as float32."""
    singles: NDArray[np.float32] = np.take(_TABLE, halves.view(np.uint16), mode="wrap")
    return singles
