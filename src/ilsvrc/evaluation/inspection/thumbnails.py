"""Thumbnails of packed images, for a page. Without torch and FFCV."""

import base64
import io

import numpy as np
from PIL import Image

from ilsvrc.packing import beton_layout
from ilsvrc.packing.beton import Packed

QUALITY = 82


def data_uri(packed: Packed, content: np.ndarray, index: int, longest_px: int) -> str:
    """A stored image as a JPEG's data URI; the same as `jpeg` otherwise."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg(packed, content, index, longest_px)).decode()}"


def jpeg(packed: Packed, content: np.ndarray, index: int, longest_px: int) -> bytes:
    """A stored image as a JPEG, at most `longest_px` wide and high; `content` is `packed.mapped()`.

    Raises:
        OSError: it is damaged.
    """
    image = _decoded(packed, packed.payload(content, index).tobytes(), index)
    image.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS)
    text = io.BytesIO()
    image.save(text, "JPEG", quality=QUALITY, optimize=True)
    return text.getvalue()


def _decoded(packed: Packed, payload: bytes, index: int) -> Image.Image:
    if packed.modes[index] == beton_layout.RAW:
        return Image.frombytes("RGB", (int(packed.widths[index]), int(packed.heights[index])), payload)
    return Image.open(io.BytesIO(payload)).convert("RGB")
