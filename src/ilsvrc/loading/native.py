"""`partial.c`, compiled when the package is installed; optional: without it the same pixels take longer."""

import ctypes
import importlib.util
from functools import cache
from pathlib import Path

FUNCTIONS = ("ilsvrc_decode_part", "ilsvrc_across", "ilsvrc_down")


@cache
def path() -> Path | None:
    """The compiled library, None where there is none or it cannot be opened."""
    found = importlib.util.find_spec("ilsvrc.loading._partial")
    try:
        return found and found.origin and ctypes.CDLL(found.origin) and Path(found.origin)
    except OSError:
        return None


@cache
def address(name: str) -> int | None:
    """A function's address, None where it cannot run here."""
    if path() is None:
        return None
    library = ctypes.CDLL(str(path()))
    if name != "ilsvrc_decode_part" and not library.ilsvrc_can_resize():
        return None
    return ctypes.cast(getattr(library, name), ctypes.c_void_p).value
