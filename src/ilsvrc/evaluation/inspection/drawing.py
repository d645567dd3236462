"""Arrays as small PNG images: the same array is the same bytes."""

import io

import numpy as np
from PIL import Image

VIRIDIS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))  # five of its colours, evenly


def png(pixels: np.ndarray) -> bytes:
    """uint8 `[H, W]`, `[H, W, 3]` or `[H, W, 4]` as a PNG."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", optimize=True)
    return content.getvalue()


def heat(values: np.ndarray) -> np.ndarray:
    """Numbers `[H, W]`, cut to 0 to 1, as colours uint8 `[H, W, 3]`: from dark violet over green to yellow."""
    stops = np.linspace(0, 1, len(VIRIDIS))
    channels = [np.interp(values, stops, [colour[channel] for colour in VIRIDIS]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def enlarged(pixels: np.ndarray, side_px: int) -> np.ndarray:
    """`[H, W, ...]` of at least about `side_px`, each pixel repeated in both directions."""
    times = max(1, side_px // max(pixels.shape[:2]))
    return pixels.repeat(times, axis=0).repeat(times, axis=1)
