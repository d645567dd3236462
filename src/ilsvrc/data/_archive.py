"""Pictures inside an uncompressed archive, read in place: where each member's bytes lie. Tar, tar of tars, zip."""

import gzip
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from ilsvrc.data._disk import byte_bar, enough_disk

ZIP = b"PK\x03\x04"
COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
BLOCK_BYTES, CHUNK_BYTES = 512, 1 << 20
ENCRYPTED = 0x1  # a flag of a zip's member


class Member(NamedTuple):
    """A file of an archive or a folder: `size` bytes at `offset` of `file`, called `name` inside.

    `kind` is card.Sample's: what the bytes are.
    """

    name: str
    file: Path
    offset: int
    size: int
    kind: str = ""


def members(archive: Path) -> Iterator[Member]:
    """The regular files of a tar or a zip, in its order.

    Raises:
        ValueError: it is compressed, no archive, or ends too early.
    """
    with archive.open("rb") as file:
        start = file.read(8)
    if start.startswith(ZIP):
        yield from _zip_members(archive)
        return
    for magic, kind in COMPRESSED.items():
        if start.startswith(magic):
            raise ValueError(
                f"{archive} is compressed ({kind}), and pictures are read in place: decompress it to a plain .tar"
                " (gunzip, bunzip2, unxz, unzstd) and name that as data.path in params.yaml"
            )
    yield from inner_members(Member(archive.name, archive, 0, archive.stat().st_size))


def inner_members(outer: Member) -> Iterator[Member]:
    """The regular files of a tar that is itself a member of a tar; their offsets are those in the outer file.

    Raises:
        ValueError: it is no tar, or ends too early.
    """
    end, where = outer.offset + outer.size, _named(outer)
    try:
        with outer.file.open("rb") as file:
            file.seek(outer.offset)
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for info in tar:
                    if info.offset >= end:  # without closing blocks, this is the next member of the outer tar
                        break
                    if info.isreg() and not info.issparse():
                        if info.offset_data + info.size > end:
                            raise ValueError(
                                f"{where} is truncated: it has {outer.size} bytes and {info.name} would end behind them"
                            )
                        yield Member(info.name.removeprefix("./"), outer.file, info.offset_data, info.size)
                    tar.members = []  # a million members need no memory
                _refuse_early_end(where, file, tar.offset, end)
    except tarfile.TarError as error:
        raise ValueError(f"{where} is not a tar archive, or is damaged: {error}") from None


def _refuse_early_end(where: str, file: IO[bytes], offset: int, end: int) -> None:
    """A tar ends with blocks of zeros; tarfile takes a damaged header for its end as well, without a word."""
    file.seek(offset)
    if offset + BLOCK_BYTES > end:
        raise ValueError(f"{where} is truncated: it ends without a tar's closing blocks")
    if any(file.read(BLOCK_BYTES)):
        raise ValueError(f"{where} is not a tar archive, or is damaged at byte {offset} of {file.name}")


def decompress(source: Path, target: Path) -> None:
    """A gzip's content as a plain file, its checksum (CRC-32) held, under its final name only when it is whole.

    Raises:
        ValueError: it is no gzip, or is damaged.
    """
    unfinished = target.with_name(f"{target.name}.tmp")
    with byte_bar(f"decompress {source.name}", source.stat().st_size) as progress, enough_disk(target):
        try:
            with source.open("rb") as squeezed, gzip.open(squeezed) as content, unfinished.open("wb") as file:
                while chunk := content.read(CHUNK_BYTES):
                    file.write(chunk)
                    progress.update(squeezed.tell() - progress.done)
            unfinished.replace(target)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{source} is damaged ({error}): remove it and run again") from None
        finally:
            unfinished.unlink(missing_ok=True)


def extract(source: Path, names: Iterable[str], folder: Path) -> None:
    """The files `names` of a tar (compressed by gzip or not), each into `folder` under its last name.

    Raises:
        ValueError: one is not there, or the archive is damaged.
    """
    missing = set(names)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(source) as tar, enough_disk(folder):
            for info in tar:
                if info.name.removeprefix("./") in missing and info.isreg():
                    missing.remove(info.name.removeprefix("./"))
                    _write(tar, info, folder / Path(info.name).name)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{source} is damaged ({error}): remove it and run again") from None
    if missing:
        raise ValueError(f"{source} lacks {', '.join(sorted(missing))}; it is not the archive that it should be")


def _write(tar: tarfile.TarFile, info: tarfile.TarInfo, target: Path) -> None:
    unfinished = target.with_name(f"{target.name}.tmp")
    content = tar.extractfile(info)
    assert content
    with unfinished.open("wb") as file:
        while chunk := content.read(CHUNK_BYTES):
            file.write(chunk)
    unfinished.replace(target)


def _zip_members(archive: Path) -> Iterator[Member]:
    try:
        with zipfile.ZipFile(archive) as listed, archive.open("rb") as file:
            size = archive.stat().st_size
            left = listed.filelist[::-1]
            listed.filelist.clear()
            listed.NameToInfo.clear()
            while left:  # a million entries, each let go as it is read
                info = left.pop()
                if not info.is_dir():
                    yield _zip_member(archive, file, info, size)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{archive} is not a whole zip archive: {error}") from None


def _zip_member(archive: Path, file: IO[bytes], info: zipfile.ZipInfo, size: int) -> Member:
    kinds = {zipfile.ZIP_STORED: "", zipfile.ZIP_DEFLATED: f"deflated:{info.file_size}"}
    if info.flag_bits & ENCRYPTED or info.compress_type not in kinds:
        how = "encrypted" if info.flag_bits & ENCRYPTED else f"compressed by method {info.compress_type}"
        raise ValueError(f"{archive}: {info.filename} is {how}; store or deflate its pictures without a password")
    file.seek(info.header_offset)
    header = file.read(30)
    if len(header) < 30 or not header.startswith(ZIP):
        raise zipfile.BadZipFile(f"{info.filename} is not where the directory says")
    offset = info.header_offset + 30 + sum(struct.unpack("<HH", header[26:30]))
    if offset + info.compress_size > size:
        raise zipfile.BadZipFile(f"{info.filename} would end behind its {size} bytes")
    return Member(info.filename, archive, offset, info.compress_size, kinds[info.compress_type])


def _named(tar: Member) -> str:
    return str(tar.file) if tar.offset == 0 else f"{tar.file}: {tar.name}"
