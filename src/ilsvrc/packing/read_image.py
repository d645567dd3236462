"""An image of any format -> RGB pixels, as Pillow reads it; what Pillow cannot read is a ValueError with the reason.

Alpha is dropped, 16 bits are scaled (not clipped) to 8, palettes, grey, 1 bit, CMYK and YCCK become RGB as Pillow
does it. Of an animation the first frame is taken. 16 bits a channel of a colour TIFF are what Pillow makes of them:
their upper 8.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

ORIENTATION, TURNED = 0x0112, range(2, 9)  # EXIF's tag, and its values but for "as it is"
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")
COLOUR_PNG_OF_16_BITS = ("RGB;16B", "RGBA;16B", "LA;16B")  # Pillow's names of how samples lie
MAX_PIXELS = 178_956_970  # beyond it Pillow takes a file for a bomb
RUN_AS_PROGRAMS = {"EPS"}  # by Ghostscript
UNREAD = {  # how a file begins -> what it is, and the way out
    b"\xff\x0a": "JPEG XL: convert it to JPEG or PNG (djxl in.jxl out.png)",
    b"\0\0\0\x0cJXL ": "JPEG XL: convert it to JPEG or PNG (djxl in.jxl out.png)",
    b"%PDF": "PDF: convert its pages to PNG (pdftoppm -png in.pdf out)",
    b"<svg": "SVG, a drawing: convert it to PNG (rsvg-convert in.svg -o out.png)",
    b"<html": "a page of HTML, as a failed download leaves: download the image again",
    b"<!doctype": "a page of HTML, as a failed download leaves: download the image again",
    b"version https://git-lfs": "a pointer of Git LFS: fetch the image (git lfs pull)",
}
HEIF = "HEIC/HEIF, as telephones write it: convert it to JPEG (heif-convert in.heic out.jpg)"
BRANDS = {  # of ISO media files, behind `ftyp`
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), HEIF),
    **dict.fromkeys((b"avif", b"avis"), "AVIF: convert it to JPEG or PNG (avifdec in.avif out.png)"),
    b"crx ": "CR3, a camera's raw file: develop it to JPEG or TIFF",
}
FILM = "a film: take images out of it (ffmpeg -i in.mp4 out%06d.png)"


def pixels(content: bytes, upright: bool) -> np.ndarray:
    """The decoded image uint8 `[height, width, 3]`, turned as EXIF says where `upright`.

    Raises:
        ValueError: it is broken or no image.
    """
    with _opened(content) as opened:
        colours = _scaled_colours(opened, content)
        image = _rgb(opened) if colours is None else colours
        if upright:
            image.getexif()[ORIENTATION] = opened.getexif().get(ORIENTATION, 1)
            image = ImageOps.exif_transpose(image)
        return np.asarray(image)


def is_turned(content: bytes) -> bool:
    """True if EXIF says that the image is not upright.

    Raises:
        ValueError: it is broken.
    """
    with _opened(content) as opened:
        return opened.getexif().get(ORIENTATION, 1) in TURNED


def refuse_bomb(width: int, height: int) -> None:
    """Raises a ValueError for more pixels than Pillow would decode."""
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels; more than {MAX_PIXELS} are taken for a decompression bomb")


def _unread(content: bytes) -> str:
    """What a file is that Pillow does not read, and the way out; empty where its beginning tells nothing."""
    if content[4:8] == b"ftyp":
        return BRANDS.get(content[8:12], FILM)
    start = content[:1024].lstrip().lower()
    if start.startswith(b"<?xml"):
        start = start[max(0, start.find(b"<svg")) :]
    return next((what for begins, what in UNREAD.items() if start.startswith(begins.lower())), "")


@contextmanager
def _opened(content: bytes) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on EXIF, palettes and size
            with Image.open(io.BytesIO(content), formats=_formats()) as opened:
                yield opened
    except UnidentifiedImageError:
        what = _unread(content)
        told = f" that can be read: {what}" if what else f" (it begins with {content[:12]!r})"
        raise ValueError(f"not a picture{told}") from None
    except (MemoryError, ValueError):  # too little memory is no fault of the image's
        raise
    except Exception as error:  # on damaged files Pillow's readers raise anything, such as TypeError
        raise ValueError(str(error) or type(error).__name__) from None


@cache
def _formats() -> list[str]:
    Image.init()
    return [name for name in Image.ID if name not in RUN_AS_PROGRAMS]


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in SIXTEEN_BIT:
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f"its values span {values.min()} to {values.max()}; 16 bits are the most")
        return Image.fromarray(_eight_bits(values)).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating point values; store 8 or 16 bits a channel")
    return image.convert("RGB")


def _scaled_colours(opened: Image.Image, content: bytes) -> Image.Image | None:
    """A PNG's colours of 16 bits, scaled: Pillow keeps their upper 8. None for all else."""
    tiles = getattr(opened, "tile", None)
    stored = tiles[0].args if opened.format == "PNG" and tiles else None
    opened.load()
    if stored not in COLOUR_PNG_OF_16_BITS:
        return None
    import png  # here, since hardly an image needs it

    width, height, rows, info = png.Reader(bytes=content).read()
    planes = np.array([*rows], np.int64).reshape(height, width, info["planes"])
    values = planes[:, :, [0, 0, 0] if info["greyscale"] else [0, 1, 2]]
    same = np.array_equal(values >> 8, np.asarray(opened)[:, :, :3])
    return Image.fromarray(_eight_bits(values)) if same else None


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """0 to 65535 as 0 to 255, uint8, rounded."""
    return ((values + 128) // 257).astype(np.uint8)
