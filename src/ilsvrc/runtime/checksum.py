"""Checksum of a file over all its bytes, as its last line: `ilsvrc-crc32 <8 hexadecimal digits>`.

Zip archives, as torch writes them, are read from their own end record, so that their readers pass over the line. CRC-32
finds every flipped bit and every damaged piece of up to four bytes, others but for one in 4e9.
"""

import zlib
from pathlib import Path
from typing import IO

LABEL = b"\nilsvrc-crc32 "
LINE_BYTES = len(LABEL) + 9
END_OF_ZIP = b"PK\x05\x06"  # begins the record of 22 bytes that ends an archive without a comment
CHUNK_BYTES = 1 << 22


class ChecksumWriter:
    """A binary file that sums what is written to it; `close_line` ends it with the checksum.

    `failure` is the error of a write, which a library may put into its own words, or none.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._sum = file, 0
        self.failure: OSError | None = None

    def write(self, content: bytes) -> int:
        """Writes as the file does."""
        self._sum = zlib.crc32(content, self._sum)
        try:
            return self._file.write(content)
        except OSError as error:
            self.failure = error
            raise

    def flush(self) -> None:
        """Flushes the file."""
        self._file.flush()

    def close_line(self) -> None:
        """Writes the checksum of what was written."""
        self._file.write(LABEL + b"%08x\n" % self._sum)


def check_zip(path: Path) -> None:
    """Compares an archive's bytes with its checksum; one from before there were checksums passes.

    Raises:
        ValueError: they differ, or the archive is cut short.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 22))
        if file.read(4) == END_OF_ZIP:
            return
        content_bytes = size - LINE_BYTES
        file.seek(max(0, content_bytes))
        line = file.read()
        file.seek(0)
        if line != LABEL + b"%08x\n" % _crc32(file, content_bytes):
            raise ValueError("its bytes are not those of its checksum")


def _crc32(file: IO[bytes], num_bytes: int) -> int:
    """CRC-32 of the next `num_bytes` of a file."""
    found = 0
    while num_bytes > 0 and (chunk := file.read(min(num_bytes, CHUNK_BYTES))):
        found, num_bytes = zlib.crc32(chunk, found), num_bytes - len(chunk)
    return found
