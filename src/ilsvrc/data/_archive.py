"""Pictures inside an uncompressed tar, read in place: where each member's bytes lie."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}


class Member(NamedTuple):
    """A file of an archive or a folder: `size` bytes at `offset` of `file`, called `name` inside."""

    name: str
    file: Path
    offset: int
    size: int


def members(archive: Path) -> Iterator[Member]:
    """The regular files of a tar, in its order.

    Raises:
        ValueError: it is compressed, no tar, or ends too early.
    """
    _refuse_compressed(archive)
    size = archive.stat().st_size
    try:
        with tarfile.open(archive, "r:") as tar:
            for info in tar:
                if info.isreg() and not info.issparse():
                    _refuse_truncated(archive, size, info)
                    yield Member(info.name.removeprefix("./"), archive, info.offset_data, info.size)
                tar.members = []  # a million members need no memory
    except tarfile.TarError as error:
        raise ValueError(f"{archive} is not a tar archive, or is damaged: {error}") from None


def _refuse_truncated(archive: Path, size: int, info: tarfile.TarInfo) -> None:
    if info.offset_data + info.size > size:
        raise ValueError(f"{archive} is truncated: it has {size} bytes and {info.name} would end behind them")


def _refuse_compressed(archive: Path) -> None:
    with archive.open("rb") as file:
        start = file.read(8)
    for magic, kind in COMPRESSED.items():
        if start.startswith(magic):
            raise ValueError(
                f"{archive} is compressed ({kind}), and pictures are read in place: decompress it to a plain .tar"
                " (gunzip, bunzip2, unxz, unzstd; unzip to a folder) and name that as data.path in params.yaml"
            )
