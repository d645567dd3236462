"""Images made for tests, the same for the same number."""

import io

import numpy as np
from PIL import Image

SIZES = ((64, 48), (48, 64), (50, 50), (91, 60), (40, 120), (33, 47), (100, 41), (57, 80))
NUM_PHOTOS = 53


def photo(number: int) -> Image.Image:
    """A smooth image with some detail: the same for the same number."""
    width, height = SIZES[number % len(SIZES)]
    random = np.random.default_rng(number)
    coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    return Image.fromarray((np.asarray(coarse) * 0.8 + random.integers(0, 50, (height, width, 3))).astype(np.uint8))


def jpeg_bytes(image: Image.Image, **options: object) -> bytes:
    """The encoded image; `format` may name another than JPEG."""
    file = io.BytesIO()
    image.save(file, **{"format": "JPEG", "quality": 90, **options})
    return file.getvalue()


def without_last_scans(content: bytes, kept: int) -> bytes:
    """A progressive JPEG that ends, properly, after `kept` scans."""
    parts = content.split(b"\xff\xda")
    last_tables = max(parts[kept].rfind(b"\xff\xc4"), 0) or len(parts[kept])
    return b"\xff\xda".join([*parts[:kept], parts[kept][:last_tables]]).removesuffix(b"\xff\xd9") + b"\xff\xd9"
