"""Pixels in files of equal records, read in place: CIFAR's binary batches, and MNIST's IDX."""

import math
import mmap
import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from ilsvrc.datasets._card import Sample

UNSIGNED_BYTES = b"\x00\x00\x08"  # how an IDX of uint8 begins


def labels(path: Path, label_at: int, record_bytes: int) -> bytes:
    """The label, a byte at `label_at`, of each record of a file.

    Raises:
        ValueError: the file does not end with a whole record.
    """
    size = path.stat().st_size
    if size == 0 or size % record_bytes:
        raise ValueError(f"{path} has {size} bytes, which are no whole records of {record_bytes}: remove it, run again")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content[label_at::record_bytes]


def cifar(
    split: str, files: Sequence[Path], classes: Sequence[str], label_bytes: int = 1, side_px: int = 32
) -> Iterator[Sample]:
    """The images of one split in files of CIFAR's binary form, numbered through them, by class and name.

    A record is `label_bytes` labels, the last of which counts, and the pixels: a plane for each of red, green, blue.
    """
    pixels = 3 * side_px**2
    record = label_bytes + pixels
    of_class = defaultdict(list)
    number = 0
    for file in files:
        for place, label in enumerate(labels(file, label_bytes - 1, record)):
            of_class[_class(file, classes, label)].append((number, file.name, place * record + label_bytes))
            number += 1
    for name in sorted(of_class):
        for number, file_name, offset in of_class[name]:
            yield Sample(
                split, name, f"{name}/{number:06d}", file_name, offset, pixels, f"planes:3x{side_px}x{side_px}"
            )


def idx(split: str, images: Path, labels_file: Path, classes: Sequence[str]) -> Iterator[Sample]:
    """The grey images of one split in a pair of IDX files, by class and name."""
    shape, first = _idx_header(images)
    label_shape, first_label = _idx_header(labels_file)
    if len(shape) != 3 or label_shape != shape[:1]:
        raise ValueError(f"{images} and {labels_file} are no pair: their shapes are {shape} and {label_shape}")
    of_class = defaultdict(list)
    for number, label in enumerate(labels_file.read_bytes()[first_label:]):
        of_class[_class(labels_file, classes, label)].append(number)
    pixels, kind = shape[1] * shape[2], f"rows:{shape[1]}x{shape[2]}"
    for name in sorted(of_class):
        for number in of_class[name]:
            yield Sample(split, name, f"{name}/{number:05d}", images.name, first + number * pixels, pixels, kind)


def _idx_header(path: Path) -> tuple[tuple[int, ...], int]:
    """The shape that an IDX of bytes states, and where its values begin."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(4)
        if len(start) < 4 or not start.startswith(UNSIGNED_BYTES):
            raise ValueError(f"{path} is no IDX file of bytes: it begins with {start!r}")
        dimensions = file.read(4 * start[3])
    shape = struct.unpack(f">{len(dimensions) // 4}I", dimensions[: len(dimensions) // 4 * 4])
    first = 4 + 4 * start[3]
    if size != first + math.prod(shape):
        raise ValueError(f"{path} has {size} bytes and should have {first + math.prod(shape)}: remove it, run again")
    return shape, first


def _class(file: Path, classes: Sequence[str], label: int) -> str:
    if label >= len(classes):
        raise ValueError(f"{file} holds the label {label}; there are {len(classes)} classes")
    return classes[label]
