"""Decompression of archives that cannot be read in place: one gzip, or a few files of a tar."""

import gzip
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from ilsvrc.runtime import files
from ilsvrc.runtime.disk import CHUNK_BYTES, byte_bar, enough_disk


def decompress(source: Path, target: Path) -> None:
    """A gzip's content as a plain file, its checksum (CRC-32) held, under its final name only when it is whole.

    Raises:
        ValueError: it is no gzip, or is damaged.
    """
    try:
        with (
            byte_bar(f"decompress {source.name}", source.stat().st_size) as progress,
            enough_disk(target),
            files.atomically(target) as unfinished,
            source.open("rb") as squeezed,
            gzip.open(squeezed) as content,
            unfinished.open("wb") as file,
        ):
            while chunk := content.read(CHUNK_BYTES):
                file.write(chunk)
                progress.update(squeezed.tell() - progress.done)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{source} is damaged ({error}): remove it and run again") from None


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
    content = tar.extractfile(info)
    assert content
    with files.atomically(target) as unfinished, unfinished.open("wb") as file:
        while chunk := content.read(CHUNK_BYTES):
            file.write(chunk)
