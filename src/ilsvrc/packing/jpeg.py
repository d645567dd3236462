"""JPEG files as they are: what their markers say, and a strict decoder (libjpeg-turbo) that reports any damage.

Pillow decodes an image with a damaged middle without a word; libjpeg-turbo's return code tells. Where there is no
libturbojpeg, Pillow must do.
"""

import ctypes
import ctypes.util
import importlib.util
import io
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

START, END = b"\xff\xd8", b"\xff\xd9"
FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive: Huffman coded
OTHER_FRAMES = {0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
STANDALONE = {0x01, *range(0xD0, 0xD9)}
ADOBE, START_OF_SCAN, END_OF_IMAGE, PROGRESSIVE = 0xEE, 0xDA, 0xD9, 0xC2
RGB_PIXELS, LIMIT_SCANS = 0, 32768  # TurboJPEG's numbers; a small file of thousands of scans would take hours
SMOOTHED = range(1, 10)  # coefficients that libjpeg-turbo looks at before it smooths blocks
MAX_SIDE_PX = 65500  # libjpeg's
MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")  # of a segment
BEHIND_A_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # no restart marker, and no byte of pixels that is 255


class Frame(NamedTuple):
    """A JPEG's size and kind."""

    width: int
    height: int
    plain: bool  # 8 bits, grey or YCbCr, Huffman coded
    smoothed: bool = False  # a progressive one without all of the low coefficients

    @property
    def portable(self) -> bool:
        """True if every decoder gives the same RGB pixels; each version of libjpeg-turbo smooths differently."""
        return self.plain and not self.smoothed


def frame(content: bytes) -> Frame | None:
    """The frame in the markers before the first scan, None if they are no JPEG's or are broken."""
    if not content.startswith(START):
        return None
    position, adobe_rgb, progressive, found = 2, False, False, None
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF or marker in STANDALONE:
            position += 1 if marker == 0xFF else 2
            continue
        segment = content[position + 4 : position + 2 + int.from_bytes(content[position + 2 : position + 4], "big")]
        if marker == START_OF_SCAN:
            smoothed = found is not None and progressive and _smoothed(content)
            return found and found._replace(plain=found.plain and not adobe_rgb, smoothed=smoothed)
        if marker in FRAMES | OTHER_FRAMES and len(segment) >= 6:
            found, progressive = _frame(marker, segment), marker == PROGRESSIVE
        adobe_rgb |= marker == ADOBE and segment.startswith(b"Adobe") and segment[11:12] == b"\0"
        position += 4 + len(segment)
    return None


def whole(content: bytes) -> bytes:
    """The file up to its last end-of-image marker: what some cameras and tools append is left out."""
    end = content.rfind(END)
    return content[: end + 2] if end >= 0 else content


def check_structure(content: bytes) -> None:
    """Walks a JPEG's markers from its start to its end without decoding it: what is cut or patched shows.

    Raises:
        ValueError: a segment leaves the file, bytes stand between segments, or there is no scan or no end.
    """
    for _ in _segments(content):
        pass


def decode(content: bytes, width: int, height: int) -> np.ndarray:
    """Pixels `[height, width, 3]`, uint8, RGB: those of Pillow (accurate DCT, fancy upsampling).

    Raises:
        ValueError: the file is truncated or damaged; the message is libjpeg-turbo's.
        OSError: the same, from Pillow.
    """
    library = turbojpeg()
    if library is None:
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    pixels = np.empty((height, width, 3), np.uint8)
    handle = ctypes.c_void_p(library.tjInitDecompress())
    try:
        status = library.tjDecompress2(
            handle, content, ctypes.c_ulong(len(content)), pixels.ctypes.data_as(ctypes.c_void_p),
            width, 0, height, RGB_PIXELS, LIMIT_SCANS,
        )  # fmt: skip
        if status != 0:
            raise ValueError(f"damaged JPEG ({library.tjGetErrorStr2(handle).decode(errors='replace')})")
    finally:
        library.tjDestroy(handle)
    return pixels


@cache
def turbojpeg() -> ctypes.CDLL | None:
    """libturbojpeg: the one that FFCV is linked with, else the system's, None where there is none."""
    for name in _libraries():
        try:
            library = ctypes.CDLL(name)
            library.tjInitDecompress.restype = ctypes.c_void_p
            library.tjGetErrorStr2.restype = ctypes.c_char_p
            library.tjDecompress2.restype = ctypes.c_int
        except (OSError, AttributeError):
            continue
        return library
    return None


def _libraries() -> list[str]:
    ffcv = importlib.util.find_spec("ffcv")
    folders = ffcv.submodule_search_locations if ffcv else None
    ours = [str(path) for folder in folders or () for path in Path(folder).glob("_libffcv*.so")]
    found = ctypes.util.find_library("turbojpeg")
    conda = [str(path) for path in (Path(sys.prefix) / "lib").glob("libturbojpeg.so*")]
    return [*ours, *conda, "libturbojpeg.so.0", *([found] if found else [])]


def _segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Each segment's marker and content up to the end of the image; raises what `check_structure` does."""
    position, num_scans = len(START), 0
    while True:
        found = MARKER.match(content, position)
        if found is None:
            raise ValueError(f"damaged JPEG (no marker at byte {position} of {len(content)})")
        marker = found[1][0]
        if marker == END_OF_IMAGE and num_scans:
            return
        position = found.end() + int.from_bytes(content[found.end() : found.end() + 2], "big")
        if position < found.end() + 2 or position > len(content) or marker == END_OF_IMAGE:
            raise ValueError(f"damaged JPEG (truncated or patched before byte {found.start()} of {len(content)})")
        yield marker, content[found.end() + 2 : position]
        if marker == START_OF_SCAN:
            num_scans += 1
            position = _end_of_scan(content, position)


def _smoothed(content: bytes) -> bool:
    """True if a progressive JPEG's scans leave out some of the low coefficients, or some of their bits."""
    missing: dict[int, set[int]] = {}  # of each component
    try:
        for marker, segment in _segments(content):
            if marker == PROGRESSIVE:
                missing = {component: set(SMOOTHED) for component in segment[6::3]}
            elif marker == START_OF_SCAN and segment[-1:] and segment[-1] & 15 == 0:  # down to the last bit
                for component in segment[1:-3:2]:
                    missing.get(component, set()).difference_update(range(segment[-3], segment[-2] + 1))
    except ValueError:  # damaged: the decoder, or check_structure, says where
        return False
    return any(missing.values())


def _end_of_scan(content: bytes, start: int) -> int:
    """Offset of the first marker after a scan's bytes."""
    found = BEHIND_A_SCAN.search(content, start)
    if found is None or found.start() == start:
        raise ValueError(f"damaged JPEG (truncated: the scan at byte {start} of {len(content)} has no end)")
    return found.start()


def _frame(marker: int, segment: bytes) -> Frame:
    height, width = int.from_bytes(segment[1:3], "big"), int.from_bytes(segment[3:5], "big")
    plain = marker in FRAMES and segment[0] == 8 and segment[5] in (1, 3) and width > 0 and height > 0
    return Frame(width, height, plain)
