"""The kernels in C, compiled when the package is installed; optional: without them the same pixels take longer."""

import ctypes
import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

ABLE = {"ilsvrc_sums": "ilsvrc_can_sum", "ilsvrc_pick": "ilsvrc_can_sum", "ilsvrc_crc32": "ilsvrc_can_crc32"}


@cache
def path() -> Path | None:
    """The compiled library, None where there is none or it cannot be opened."""
    found = importlib.util.find_spec("ilsvrc.packing.c_kernels")
    if found is None or found.origin is None:
        return None
    try:
        ctypes.CDLL(found.origin)
    except OSError:  # libjpeg is not on this machine
        return None
    return Path(found.origin)


@cache
def address(name: str) -> int | None:
    """A function's address, None where it cannot run here: another processor, another libjpeg, compiled long ago."""
    if path() is None:
        return None
    library = ctypes.CDLL(str(path()))
    able = ABLE.get(name, "ilsvrc_can_decode")
    if not hasattr(library, able) or not getattr(library, able)() or not hasattr(library, name):
        return None
    return ctypes.cast(getattr(library, name), ctypes.c_void_p).value


@cache
def function(name: str, *arguments: Any) -> Callable[..., None] | None:
    """A function that returns nothing, for ctypes; None where it cannot run here."""
    found = address(name)
    return None if found is None else ctypes.CFUNCTYPE(None, *arguments)(found)
