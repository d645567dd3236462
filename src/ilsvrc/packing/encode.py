"""One image -> the bytes that are packed: its own where they will do, else re-encoded RGB."""

import io
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from ilsvrc.config.specs import FormSpec
from ilsvrc.packing import beton_layout, jpeg, read_image, sizes
from ilsvrc.packing.mean_image import central_square
from ilsvrc.packing.pixel_statistics import sums
from ilsvrc.packing.resize import resized

How = Literal["passed_through", "encoded", "raw"]


class Measured(NamedTuple):
    """Contribution of an image to the split's statistics."""

    sums: np.ndarray  # colours.sums
    square: np.ndarray  # mean_image.central_square


class Stored(NamedTuple):
    """An image as it is packed."""

    mode: int
    width: int
    height: int
    payload: bytes
    how: How
    measured: Measured | None


def store(content: bytes | np.ndarray, form: FormSpec, measured: bool = True) -> Stored:
    """The packed form of an encoded image, or of RGB pixels uint8 `[height, width, 3]`.

    A JPEG that passes through is decoded once, strictly. Where `form.verify` is `structure`, its markers are checked
    instead, unless it is measured.

    Raises:
        ValueError: it is broken or no image; the message is the reason, without the image's name.
    """
    if isinstance(content, np.ndarray):
        return _re_encoded(_sized(content, form), form, measured)
    if not content:
        raise ValueError("empty file")
    frame = jpeg.frame(content)
    if frame is None:
        return _re_encoded(_image(content, form), form, measured)
    read_image.refuse_bomb(frame.width, frame.height)
    content = jpeg.whole(content)
    if frame.portable and _passes_through(content, frame, form):
        return _passed_through(content, frame, measured, form.verify != "structure")
    if frame.portable and form.exif_orientation == "ignore":
        return _re_encoded(_sized(_strict(content, frame), form), form, measured)
    if frame.plain:
        _strict(content, frame)
    return _re_encoded(_image(content, form), form, measured)


def _passed_through(content: bytes, frame: jpeg.Frame, measured: bool, decoded: bool) -> Stored:
    """A JPEG's own bytes, checked by decoding them or by their markers alone."""
    found = None
    if decoded or measured:
        pixels = _strict(content, frame)
        found = _measured(pixels) if measured else None
    else:
        jpeg.check_structure(content)
    return Stored(beton_layout.JPEG, frame.width, frame.height, content, "passed_through", found)


def _strict(content: bytes, frame: jpeg.Frame) -> np.ndarray:
    """Pixels of a plain JPEG, checked for damage."""
    try:
        return jpeg.decode(content, frame.width, frame.height)
    except (OSError, SyntaxError) as error:  # Pillow's, where there is no libturbojpeg
        raise ValueError(f"damaged JPEG ({error})") from None


def _passes_through(content: bytes, frame: jpeg.Frame, form: FormSpec) -> bool:
    if form.encoding == "raw":
        return False
    if _new_size(frame.width, frame.height, form) != (frame.width, frame.height):
        return False
    return form.exif_orientation == "ignore" or not read_image.is_turned(content)


def _image(content: bytes, form: FormSpec) -> np.ndarray:
    """The decoded image in RGB, upright where asked for, at its packed size."""
    return _sized(read_image.pixels(content, form.exif_orientation == "apply"), form)


def _sized(pixels: np.ndarray, form: FormSpec) -> np.ndarray:
    """The image at its packed size."""
    size = _new_size(pixels.shape[1], pixels.shape[0], form)
    if max(size) > beton_layout.MAX_SIDE_PX:
        raise ValueError(f"{size[0]} x {size[1]} pixels; no side may exceed {beton_layout.MAX_SIDE_PX}")
    return resized(pixels, size)


def _new_size(width: int, height: int, form: FormSpec) -> tuple[int, int]:
    """Width and height that an image is packed with."""
    target = form.short_side_px
    if target is None or min(width, height) == target or (min(width, height) < target and not form.upscale):
        return width, height
    return sizes.resized(width, height, target)


def _re_encoded(pixels: np.ndarray, form: FormSpec, measured: bool) -> Stored:
    return _raw(pixels, measured) if form.encoding == "raw" else _jpeg(pixels, form.jpeg_quality, measured)


def _raw(pixels: np.ndarray, measured: bool) -> Stored:
    height, width = pixels.shape[:2]
    return Stored(beton_layout.RAW, width, height, pixels.tobytes(), "raw", _measured(pixels) if measured else None)


def _jpeg(pixels: np.ndarray, quality: int, measured: bool) -> Stored:
    """Re-encoded by Pillow (4:2:0), and decoded again: measured are the pixels that training will see."""
    if max(pixels.shape[:2]) > jpeg.MAX_SIDE_PX:
        raise ValueError(f"no side of a JPEG may exceed {jpeg.MAX_SIDE_PX} pixels, and one has {max(pixels.shape)}")
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG", quality=quality)
    payload, (height, width) = encoded.getvalue(), pixels.shape[:2]
    found = _measured(jpeg.decode(payload, width, height)) if measured else None
    return Stored(beton_layout.JPEG, width, height, payload, "encoded", found)


def _measured(pixels: np.ndarray) -> Measured:
    return Measured(sums(pixels), central_square(pixels))
