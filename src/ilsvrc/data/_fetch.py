"""Files from their owners' servers: resumed, checked, from the next mirror where one fails.

A file stands under its final name only once its checksum holds; what is half there waits beside it as `<name>.part`.
`requests` does HTTP: redirects, certificates, timeouts, and proxies from the environment. What it does not do is here:
pooch would hash a file of many gigabytes at every look, keeps no half of a download and knows no mirrors, and
urllib3's `Retry` repeats a request but not a body that breaks off.

`ILSVRC_MIRRORS` in the environment names folders or addresses (separated by blanks) that hold files of the same names;
they are asked first.
"""

import errno
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from ilsvrc.progress import Bar

DOWNLOADS = Path("data/downloads")
MIRRORS = "ILSVRC_MIRRORS"
CHUNK_BYTES = 1 << 16  # what a broken connection may cost
CONNECT_S, STALL_S = 15.0, 60.0  # without an answer; without a byte
ATTEMPTS = 5  # that get no further, one after the other
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
BUSY = {408, 425, 429, 500, 502, 503, 504}
ALGORITHMS = {"md5": "MD5", "sha256": "SHA-256", "md5_of_first_mib": "MD5 of the first 1048576 bytes"}


@dataclass(frozen=True)
class Remote:
    """A file that its owners publish: its name, where it is, and how to tell that it is whole.

    `checksum` is such as `md5:0a1b...`, with a key of `ALGORITHMS`; `size` in bytes, None where nobody states it.
    """

    name: str
    checksum: str
    size: int | None
    addresses: tuple[str, ...] = ()

    def described(self) -> str:
        """What to compare a file with, in words."""
        algorithm, digest = self.checksum.split(":")
        return f"{f'{self.size} bytes, ' if self.size else ''}{ALGORITHMS[algorithm]} {digest}"


class _UselessError(Exception):
    """This address will not give the file."""


class _BrokenError(Exception):
    """This address gave no more for now."""

    def __init__(self, message: str, pause_s: float = 0.0) -> None:
        super().__init__(message)
        self.pause_s = pause_s


def fetch(remote: Remote, data_set: str) -> Path:
    """The file in `data/downloads/<data_set>`, fetched where it is not there.

    Raises:
        OSError: no address gave it, or the disk is full; the message says what to do.
    """
    folder = DOWNLOADS / data_set
    folder.mkdir(parents=True, exist_ok=True)
    final, reasons = folder / remote.name, []
    if final.exists():
        wrong = mismatch(final, remote, folder)
        if wrong is None:
            return final
        aside = final.with_name(f"{final.name}.wrong")
        final.replace(aside)
        reasons.append(f"{final}: {wrong}; it is now {aside.name}")
        sys.stderr.write(f"{reasons[0]}\n")
    for address in _addresses(remote):
        try:
            _fetch_from(address, remote, final)
            _mark(final, remote, folder)
            return final
        except _UselessError as error:
            reasons.append(f"{address}: {error}")
    raise OSError(_what_to_do(remote, final, reasons))


def mismatch(path: Path, remote: Remote, markers: Path) -> str | None:
    """Why `path` is not the file that it should be, None where it is.

    A file that held is not read again while its place, size and time stay; `markers` is the folder that remembers it.
    """
    marker = _marker(path, markers)
    if marker.exists() and json.loads(marker.read_text()) == _state(path, remote):
        return None
    wrong = _wrong(path, remote)
    if wrong is None:
        _mark(path, remote, markers)
    return wrong


def digest(path: Path, algorithm: str) -> str:
    """The hexadecimal checksum of a file."""
    if algorithm == "md5_of_first_mib":
        with path.open("rb") as file:
            return hashlib.md5(file.read(1 << 20), usedforsecurity=False).hexdigest()
    sum_ = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file, byte_bar(f"check {path.name}", path.stat().st_size) as progress:
        while chunk := file.read(1 << 20):
            sum_.update(chunk)
            progress.update(len(chunk))
    return sum_.hexdigest()


def byte_bar(title: str, total: int | None) -> "AbstractContextManager[Bar]":
    """A progress bar that counts bytes; a dry run, which imports this module, never loads what draws it."""
    from ilsvrc.progress import bar

    return bar(title, total, unit="B")


@contextmanager
def enough_disk(path: Path) -> Iterator[None]:
    """Says in one sentence that the disk of `path` is full."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and "make room" not in str(error):
            raise OSError(error.errno, "the disk is full: make room and run again", str(path)) from None
        raise


def check_space(path: Path, needed: int) -> None:
    """Refuses to begin what cannot fit beside `path`.

    Raises:
        OSError: fewer than `needed` bytes are free.
    """
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        message = f"{needed / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB are free: make room and run again"
        raise OSError(errno.ENOSPC, message, str(path))


def _wrong(path: Path, remote: Remote) -> str | None:
    size = path.stat().st_size
    if remote.size not in (None, size):
        return f"it has {size} bytes and should have {remote.size}"
    algorithm, expected = remote.checksum.split(":")
    found = digest(path, algorithm)
    return None if found == expected else f"its {ALGORITHMS[algorithm]} is {found} and should be {expected}"


def _addresses(remote: Remote) -> list[str]:
    own = [f"{place.rstrip('/')}/{remote.name}" for place in os.environ.get(MIRRORS, "").split()]
    return [*own, *remote.addresses]


def _fetch_from(address: str, remote: Remote, final: Path) -> None:
    """Fetches, checks, and moves to the final name; a half of other bytes costs one start anew."""
    part = final.with_name(f"{final.name}.part")
    while True:
        resumed = part.exists()
        with enough_disk(part):
            (_download if address.startswith(("http://", "https://")) else _copy)(address, part, remote)
        wrong = _wrong(part, remote)
        if wrong is None:
            part.replace(final)
            return
        part.unlink()
        if not resumed:
            raise _UselessError(f"{wrong}; removed")


def _copy(address: str, part: Path, remote: Remote) -> None:
    """From a file of this machine: a path, or `file://`."""
    source = Path(unquote(urlsplit(address).path) if address.startswith("file:") else address)
    part.unlink(missing_ok=True)
    try:
        size = source.stat().st_size
        check_space(part, size)
        with source.open("rb") as given, part.open("wb") as file, byte_bar(f"copy {remote.name}", size) as progress:
            while chunk := given.read(CHUNK_BYTES):
                file.write(chunk)
                progress.update(len(chunk))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise _UselessError(f"{error.strerror.lower()}") from None


def _download(address: str, part: Path, remote: Remote) -> None:
    """Over HTTP, again and again from where it broke off, as long as it gets further."""
    failures, furthest, pause_s = 0, _size(part), FIRST_PAUSE_S
    with byte_bar(f"fetch {remote.name}", remote.size) as progress:
        while True:
            try:
                return _request(address, part, remote, progress)
            except _BrokenError as error:
                further = _size(part) > furthest
                failures = 1 if further else failures + 1
                furthest = max(furthest, _size(part))
                if failures == ATTEMPTS:
                    raise _UselessError(f"{error} ({ATTEMPTS} times)") from None
                pause_s = FIRST_PAUSE_S * 2 ** (failures - 1)
                time.sleep(min(max(pause_s, error.pause_s), LONGEST_PAUSE_S))


def _request(address: str, part: Path, remote: Remote, progress: Any) -> None:
    """One request for what is missing."""
    import requests
    import urllib3

    have = _size(part)
    if have and have == remote.size:
        return
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with requests.get(address, headers=headers, stream=True, timeout=(CONNECT_S, STALL_S)) as response:
            _check_status(response, part)
            have = have if response.status_code == 206 else 0  # a server that ignores ranges starts over
            total = _total(response, have, part)
            if remote.size is not None and total not in (None, remote.size):
                raise _UselessError(f"it has {total} bytes there and should have {remote.size}")
            check_space(part, (total or remote.size or have) - have)
            progress.total = total
            progress.resume(have)
            with part.open("ab" if have else "wb") as file:
                for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):  # as it is stored, never unzipped
                    file.write(chunk)
                    progress.update(len(chunk))
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
        raise _UselessError(f"{error}") from None
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _BrokenError(_in_words(error)) from None
    if total is not None and _size(part) != total:
        raise _BrokenError(f"closed after {_size(part)} of {total} bytes")


def _check_status(response: Any, part: Path) -> None:
    """Passes on 200 and 206."""
    status = response.status_code
    if status in (200, 206):
        return
    if status == 416:  # the half is longer than the file
        part.unlink(missing_ok=True)
        raise _BrokenError("HTTP 416: there is no such range")
    said = f"HTTP {status} {response.reason}".strip()
    if status in BUSY:
        asked = response.headers.get("Retry-After", "")
        raise _BrokenError(said, float(asked) if asked.isdigit() else 0.0)
    raise _UselessError(said)


def _total(response: Any, have: int, part: Path) -> int | None:
    """The whole file's size, as the answer states it; the range must begin where our half ends."""
    length = response.headers.get("Content-Length", "")
    if response.status_code == 200:
        return int(length) if length.isdigit() else None
    unit_range, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    if unit_range.partition("-")[0] != str(have):
        part.unlink(missing_ok=True)
        raise _BrokenError(f"it sent bytes {unit_range or '?'} where {have}- was asked for")
    return int(total) if total.isdigit() else None


def _in_words(error: Exception) -> str:
    """A network library's error, less its nesting."""
    text = f"{type(error).__name__} {error}"
    known = {
        "NameResolution": "the name is not known (no network?)",
        "Connection refused": "connection refused",
        "Network is unreachable": "network is unreachable",
        "timed out": "no answer, or no byte, for too long",
        "IncompleteRead": "the connection broke off",
        "Connection aborted": "the connection broke off",
        "Connection broken": "the connection broke off",
        "reset by peer": "the connection broke off",
        "ProxyError": "the proxy (https_proxy, http_proxy in the environment) does not answer",
        "CERTIFICATE_VERIFY": "its certificate cannot be verified (REQUESTS_CA_BUNDLE names your own authority)",
    }
    return next((words for key, words in known.items() if key in text), text)


def _what_to_do(remote: Remote, final: Path, reasons: list[str]) -> str:
    tried = "".join(f"\n  {reason}" for reason in reasons) or "\n  no address is known"
    return (
        f"{remote.name} cannot be fetched:{tried}\n"
        f"run again where there is a network, or put the file ({remote.described()}) at {final} yourself,"
        f" or name a folder or an address that holds it in the environment variable {MIRRORS}"
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _marker(path: Path, markers: Path) -> Path:
    return markers / f"{path.name}.checked"


def _state(path: Path, remote: Remote) -> dict[str, Any]:
    status = path.stat()
    where = str(path.resolve())
    return {"checksum": remote.checksum, "path": where, "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _mark(path: Path, remote: Remote, markers: Path) -> None:
    markers.mkdir(parents=True, exist_ok=True)
    _marker(path, markers).write_text(json.dumps(_state(path, remote)) + "\n")
