"""Images inside an uncompressed archive, read in place: where each member's bytes lie. Tar, tar of tars, zip."""

import stat
import struct
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, cast

from ilsvrc.runtime.disk import CHUNK_BYTES

LOCAL_HEADER = b"PK\x03\x04"
ZIP = (LOCAL_HEADER, b"PK\x05\x06", b"PK\x07\x08")  # the second where it is empty, the third where it was streamed
COMPRESSED = {  # how it begins -> what it is, what makes it plain
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
    b"\x04\x22\x4d\x18": ("lz4", "unlz4"),
    b"7z\xbc\xaf\x27\x1c": ("7z", "7z x"),
    b"Rar!": ("rar", "unrar x"),
}
JUNK = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx"}
BLOCK_BYTES, RECORD_BYTES = 512, 10240  # tars are padded to whole records
HEADER_BYTES = 1 << 20  # of a long name or of PAX attributes, at most
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


def hidden(name: str) -> bool:
    """True if a path has a part that is hidden or a file manager's litter."""
    parts = PurePosixPath(name).parts
    return any((part.startswith(".") and part != "..") or part.lower() in JUNK for part in parts)


def members(archive: Path) -> Iterator[Member]:
    """The regular files of a tar or a zip, in its order; a tar's hard links come last.

    Raises:
        ValueError: it is compressed, no archive, ends too early, or holds what cannot be read in place.
    """
    with archive.open("rb") as file:
        start = file.read(8)
    if start.startswith(ZIP) or (archive.suffix.lower() == ".zip" and zipfile.is_zipfile(archive)):
        yield from _zip_members(archive)
        return
    yield from inner_members(Member(archive.name, archive, 0, archive.stat().st_size))


def inner_members(outer: Member) -> Iterator[Member]:
    """The regular files of a tar that is itself a member of a tar; their offsets are those in the outer file.

    Raises:
        ValueError: it is no tar, ends too early, is several, or holds what cannot be read in place.
    """
    _refuse_compressed(outer)
    links: defaultdict[str, list[str]] = defaultdict(list)  # file -> its other names
    for info in _entries(outer):
        name = info.name.removeprefix("./")
        if info.islnk():
            links[info.linkname.removeprefix("./")].append(name)
        elif (info.issym() or info.issparse()) and not hidden(name):
            kind, option = ("a symbolic link", "with --dereference") if info.issym() else ("sparse", "without --sparse")
            raise ValueError(f"{_named(outer)}: {name} is {kind}, and has no bytes to read: write it by tar {option}")
        elif info.isreg() and not info.issparse():
            yield Member(name, outer.file, info.offset_data, info.size)
    if links:
        yield from _linked(outer, links)


def _refuse_compressed(outer: Member) -> None:
    with outer.file.open("rb") as file:
        file.seek(outer.offset)
        start = file.read(8)
    for magic, (kind, tool) in COMPRESSED.items():
        if start.startswith(magic):
            raise ValueError(
                f"{_named(outer)} is compressed ({kind}), and images are read in place: decompress it to a plain .tar"
                f" first ({tool})"
            )


def _linked(outer: Member, links: dict[str, list[str]]) -> Iterator[Member]:
    """The files that a tar holds under another name."""
    found = {}
    for info in _entries(outer):
        name = info.name.removeprefix("./")
        if name in links and info.isreg():
            found[name] = Member(name, outer.file, info.offset_data, info.size)
    for target, names in links.items():
        if target not in found and not all(map(hidden, names)):
            raise ValueError(f"{_named(outer)}: {names[0]} is a link to {target}, which is not in it: write it anew")
        yield from (found[target]._replace(name=name) for name in names if target in found)


def _entries(outer: Member) -> Iterator[tarfile.TarInfo]:
    """Every entry of a tar, seen to lie within it."""
    end, where = outer.offset + outer.size, _named(outer)
    try:
        with outer.file.open("rb") as file:
            file.seek(outer.offset)
            with tarfile.open(fileobj=cast(IO[bytes], _Headers(file)), mode="r:") as tar:
                for info in tar:
                    if info.offset >= end:  # without closing blocks, this is the next member of the outer tar
                        break
                    if info.isreg() and not info.issparse() and info.offset_data + info.size > end:
                        raise ValueError(
                            f"{where} is truncated: it has {outer.size} bytes and {info.name} would end behind them"
                        )
                    yield info
                    setattr(tar, "members", [])  # noqa: B010 (typeshed leaves it out): a million members need no memory
                _refuse_early_end(where, file, tar.offset, end)
                _refuse_second(where, file, outer.offset, tar.offset, end)
    except (tarfile.TarError, RecursionError, OverflowError) as error:
        why = "its headers have no end" if isinstance(error, RecursionError) else error
        raise ValueError(f"{where} is not a tar archive, or is damaged: {why}") from None


class _Headers:
    """A tar's file, of which a header is read only where it is as short as headers are.

    tarfile takes room for as many bytes as a header declares, before it reads any.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self.close, self.file = file.seek, file.tell, file.close, file

    def read(self, size: int = -1) -> bytes:
        """The next `size` bytes."""
        if not 0 <= size <= HEADER_BYTES:
            raise tarfile.ReadError(f"a header at byte {self.tell()} declares {size} bytes")
        return self.file.read(size)


def _refuse_early_end(where: str, file: IO[bytes], offset: int, end: int) -> None:
    """A tar ends with blocks of zeros; tarfile takes a damaged header for its end as well, without a word."""
    file.seek(offset)
    if offset + BLOCK_BYTES > end:
        raise ValueError(f"{where} is truncated: it ends without a tar's closing blocks")
    if any(file.read(BLOCK_BYTES)):
        raise ValueError(f"{where} is not a tar archive, or is damaged at byte {offset} of {file.name}")


def _refuse_second(where: str, file: IO[bytes], start: int, offset: int, end: int) -> None:
    """Of tars that were joined end to end, tar and tarfile read the first without a word about the others."""
    at = start + -(-(offset - start) // RECORD_BYTES) * RECORD_BYTES  # what fills the last record may be anything
    file.seek(at)
    while at < end and (chunk := file.read(min(CHUNK_BYTES, end - at))):
        rest = chunk.lstrip(b"\0")
        if rest:
            at += (len(chunk) - len(rest)) // BLOCK_BYTES * BLOCK_BYTES
            file.seek(at)
            if _is_header(file.read(BLOCK_BYTES)):
                raise ValueError(f"{where} is several tars, joined at byte {at}: join them by tar --concatenate")
            return
        at += len(chunk)


def _is_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, tarfile.ENCODING, "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _zip_members(archive: Path) -> Iterator[Member]:
    try:
        with zipfile.ZipFile(archive) as listed, archive.open("rb") as file:
            size = archive.stat().st_size
            left = listed.filelist[::-1]
            listed.filelist.clear()
            listed.NameToInfo.clear()
            while left:  # a million entries, each let go as it is read
                info = left.pop()
                if "/" not in info.filename:  # Windows PowerShell 5 writes backslashes
                    info.filename = info.filename.replace("\\", "/")
                if not info.is_dir():
                    yield _zip_member(archive, file, info, size)
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise ValueError(f"{archive} is not a whole zip archive: {error}") from None
    except NotImplementedError as error:
        raise ValueError(f"{archive} cannot be read ({error}): write a plain zip or tar archive") from None


def _zip_member(archive: Path, file: IO[bytes], info: zipfile.ZipInfo, size: int) -> Member:
    kinds = {
        zipfile.ZIP_STORED: f"stored:{info.CRC:08x}",
        zipfile.ZIP_DEFLATED: f"deflated:{info.file_size}:{info.CRC:08x}",
    }
    if info.flag_bits & ENCRYPTED or info.compress_type not in kinds:
        how = "encrypted" if info.flag_bits & ENCRYPTED else f"compressed by method {info.compress_type}"
        raise ValueError(f"{archive}: {info.filename} is {how}; store or deflate its images without a password")
    if stat.S_ISLNK(info.external_attr >> 16) and not hidden(info.filename):
        raise ValueError(f"{archive}: {info.filename} is a symbolic link: write it by zip without --symlinks")
    file.seek(max(0, info.header_offset))  # a damaged directory gives a negative one
    header = file.read(30)
    if info.header_offset < 0 or len(header) < 30 or not header.startswith(LOCAL_HEADER):
        raise zipfile.BadZipFile(f"{info.filename} is not where the directory says")
    offset = info.header_offset + 30 + sum(struct.unpack("<HH", header[26:30]))
    if offset + info.compress_size > size:
        raise zipfile.BadZipFile(f"{info.filename} would end behind its {size} bytes")
    return Member(info.filename, archive, offset, info.compress_size, kinds[info.compress_type])


def _named(tar: Member) -> str:
    return str(tar.file) if tar.offset == 0 else f"{tar.file}: {tar.name}"
