"""Reader of samples: their bytes, and the encoded image or the pixels in them, by `_card.Sample.kind`."""

import errno
import os
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from ilsvrc.datasets._card import Sample

MAX_BYTES = 1 << 28  # of an encoded image


def sample_bytes(sample: Sample, raw: Path) -> bytes:
    """The sample's bytes as they lie in its file.

    Raises:
        OSError: the file is shorter than acquire found it, or cannot be read.
    """
    with (raw / sample.file).open("rb") as file:
        return bytes_in(file, sample)


def bytes_in(file: IO[bytes], sample: Sample) -> bytes:
    """`sample_bytes` from the sample's file, opened."""
    content = os.pread(file.fileno(), sample.size, sample.offset)
    if len(content) != sample.size:
        raise OSError(
            errno.EIO, f"{sample.name} has {len(content)} of {sample.size} bytes: run acquire again", file.name
        )
    is_whole_file = Path(sample.file).name == Path(sample.name).name and not sample.kind
    if is_whole_file and os.fstat(file.fileno()).st_size != sample.size:
        raise OSError(errno.EIO, f"{sample.name} is longer than it was when it was found: run acquire again", file.name)
    return content


def refuse_oversized(sample: Sample) -> None:
    """Raises a ValueError, before anything is read, for more bytes than an image has."""
    kind, _, form = sample.kind.partition(":")
    declared = int(form.partition(":")[0]) if kind == "deflated" else sample.size
    if max(declared, sample.size) > MAX_BYTES:
        raise ValueError(f"{declared} bytes; more than {MAX_BYTES} are no image of a data set")


def image_content(sample: Sample, content: bytes) -> bytes | np.ndarray:
    """An encoded image, or RGB pixels uint8 `[height, width, 3]`.

    Raises:
        ValueError: an image of a zip is damaged.
    """
    kind, _, form = sample.kind.partition(":")
    if kind == "stored":
        return _compared(content, form)
    if kind == "deflated":
        size, _, crc32 = form.partition(":")
        return _compared(_inflated(content, int(size)), crc32)
    if kind == "planes":
        return np.ascontiguousarray(_shaped(content, form).transpose(1, 2, 0))  # H x W x C
    if kind == "rows":
        return np.repeat(_shaped(content, form)[:, :, None], 3, axis=2)  # H x W x 3
    assert not kind, f"no such kind of image: {sample.kind}"
    return content


def _inflated(content: bytes, size: int) -> bytes:
    """A zip's member, decompressed."""
    try:
        inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, size + 1)
    except zlib.error as error:
        raise ValueError(f"damaged in the zip archive ({error})") from None
    if len(inflated) != size:
        raise ValueError(f"damaged in the zip archive (it should have {size} bytes)")
    return inflated


def _compared(content: bytes, crc32: str) -> bytes:
    """A zip's member whose CRC-32 is the archive's, where the index has it."""
    if crc32 and zlib.crc32(content) != int(crc32, 16):
        raise ValueError("damaged in the zip archive (its bytes have not the CRC-32 that the archive names)")
    return content


def _shaped(content: bytes, form: str) -> np.ndarray:
    return np.frombuffer(content, np.uint8).reshape([int(side) for side in form.split("x")])
