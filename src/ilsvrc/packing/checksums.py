"""Checksums of a packed file: of its tables, compared at each opening, and of each image's bytes, at the first reading.

They lie beside the file as `<split>.checksums.npz`, so that the packed bytes are FFCV's alone. A file that has none, as
those of earlier releases, is read once as a whole, and its checksums are kept in `work/checksums`.
"""

import ctypes
import hashlib
import mmap
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np

from ilsvrc.packing import beton_layout, c_extension
from ilsvrc.runtime import files

SUFFIX, MANIFEST_SUFFIX = ".checksums.npz", ".manifest.json"
KEPT = Path("work/checksums")
CHUNK_BYTES = 1 << 22


@dataclass(frozen=True)
class Checksums:
    """Checksums of a packed file of N images."""

    payloads: np.ndarray  # uint32 [N]: CRC-32 of each image's bytes
    tables_sha256: str
    content_sha256: str  # of the whole file
    seen: np.ndarray  # uint8 [N]: 1 where an image was compared, by this process or one that it forked

    @classmethod
    def of(cls, payloads: np.ndarray, tables_sha256: str, content_sha256: str) -> Self:
        """Checksums with which no image was compared yet."""
        shared = np.frombuffer(mmap.mmap(-1, len(payloads)), np.uint8)
        return cls(payloads, tables_sha256, content_sha256, shared)

    def write(self, path: Path) -> None:
        """Writes the file, whole or not at all, and the same bytes whenever it does: numpy's savez writes the time."""
        with files.atomically(path) as unfinished, ZipFile(unfinished, "w") as archive:
            for name in ("payloads", "tables_sha256", "content_sha256"):
                with archive.open(ZipInfo(f"{name}.npy"), "w") as member:
                    np.lib.format.write_array(member, np.array(getattr(self, name)))

    def unseen(self, indices: np.ndarray) -> np.ndarray:
        """Those of the images that nobody has compared yet, each once."""
        fresh: np.ndarray = np.unique(indices[self.seen[indices] == 0])
        return fresh

    def compare(self, indices: np.ndarray, sums: np.ndarray) -> np.ndarray:
        """The images whose bytes have other sums; the others need no second look."""
        same = self.payloads[indices] == sums
        self.seen[indices[same]] = 1
        changed: np.ndarray = indices[~same]
        return changed


def beside(beton: Path) -> Path:
    """Path of the checksums of the packed split at `beton`."""
    return beton.with_suffix(SUFFIX)


def kept(content_sha256: str) -> Path:
    """Path of the checksums of a packed file that came without."""
    return KEPT / f"{content_sha256}.npz"


def find(beton: Path, content_sha256: str) -> Checksums | None:
    """Checksums of a packed file whose manifest names `content_sha256` (empty: there is none); None if nobody made any.

    Those of another content are passed over, and so are damaged ones.
    """
    for path in (beside(beton), kept(content_sha256)):
        found = _read(path)
        if found is not None and content_sha256 in ("", found.content_sha256):
            return found
    return None


def _read(path: Path) -> Checksums | None:
    """The checksums in a file, None where it is missing or damaged: zip archives have checksums of their own."""
    try:
        with np.load(path, allow_pickle=False) as found:
            payloads, *hashes = (found[name] for name in ("payloads", "tables_sha256", "content_sha256"))
            return Checksums.of(payloads, *map(str, hashes))
    except (OSError, ValueError, TypeError, KeyError, EOFError, RuntimeError, BadZipFile, zlib.error):
        return None


def manifests_sha256(beton: Path) -> str:
    """SHA-256 of the packed file as its manifest has it; empty where there is no manifest that tells."""
    with suppress(OSError, ValueError):
        return str(files.read_json(beton.with_suffix(MANIFEST_SUFFIX)).get("content_sha256", ""))
    return ""


def tables_sha256(beton: Path, num_images: int) -> str:
    """SHA-256 of the tables of a packed file: all that is neither an image nor padding."""
    digest = hashlib.sha256()
    with beton.open("rb") as file:
        for piece in _pieces(file.read, beton_layout.RECORDS_AT + num_images * beton_layout.RECORD.itemsize):
            digest.update(piece)
        table_bytes = num_images * beton_layout.ALLOCATION.itemsize
        file.seek(max(0, beton.stat().st_size - table_bytes))
        for piece in _pieces(file.read, table_bytes):
            digest.update(piece)
    return digest.hexdigest()


def _pieces(read: Callable[[int], bytes], num_bytes: int) -> Iterator[bytes]:
    """The next `num_bytes` of a file."""
    while num_bytes > 0 and (piece := read(min(num_bytes, CHUNK_BYTES))):
        yield piece
        num_bytes -= len(piece)


def crc32_each(content: np.ndarray, offsets: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """CRC-32, uint32 `[N]`, of N stretches of `content`."""
    stretches = (content[start : start + size] for start, size in zip(offsets.tolist(), sizes.tolist(), strict=True))
    return np.fromiter((crc32(stretch) for stretch in stretches), np.uint32, len(offsets))


def crc32(content: np.ndarray | bytes) -> int:
    """CRC-32 of bytes, as zlib's."""
    function, array = _function(), np.frombuffer(content, np.uint8)
    return zlib.crc32(array.data) if function is None else function(array.ctypes.data, len(array))


@cache
def _function() -> Callable[[int, int], int] | None:
    """The compiled CRC-32; None where it cannot run here."""
    address = c_extension.address("ilsvrc_crc32")
    if address is None:
        return None
    return ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t)(address)
