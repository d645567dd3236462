"""Files from their owners' servers: resumed, checked, from the next mirror where one fails.

A file stands under its final name only once its checksum holds; what is half there waits beside it as `<name>.part`.

`ILSVRC_MIRRORS` in the environment names folders or addresses (separated by blanks) that hold files of the same names;
they are asked first.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ilsvrc.runtime import files
from ilsvrc.runtime.disk import CHUNK_BYTES, byte_bar, check_space, enough_disk, exclusive
from ilsvrc.runtime.http import UselessError, download
from ilsvrc.runtime.messages import say

DOWNLOADS = Path("data/downloads")
MIRRORS = "ILSVRC_MIRRORS"
ALGORITHMS = {
    "md5": "MD5",
    "sha256": "SHA-256",
    "sha256_start": "start of the SHA-256",
    "md5_of_first_mib": "MD5 of the first 1048576 bytes",
}


@dataclass(frozen=True)
class Remote:
    """A published file: its name, addresses, size and checksum.

    `checksum` is such as `md5:0a1b...`, with a key of `ALGORITHMS`; `size` in bytes. Empty and None where nobody
    states them.
    """

    name: str
    checksum: str
    size: int | None
    addresses: tuple[str, ...] = ()

    def described(self) -> str:
        """Size and checksum in words."""
        algorithm, _, digest = self.checksum.partition(":")
        parts = [f"{self.size} bytes" if self.size else "", f"{ALGORITHMS[algorithm]} {digest}" if algorithm else ""]
        return ", ".join(filter(None, parts))


def fetch(remote: Remote, data_set: str) -> Path:
    """The file in `data/downloads/<data_set>`, fetched where it is not there, by one process at a time.

    Raises:
        OSError: no address gave it, or the disk is full; the message says what to do.
    """
    folder = DOWNLOADS / data_set
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder):
        return _fetch(remote, folder)


def _fetch(remote: Remote, folder: Path) -> Path:
    final, reasons = folder / remote.name, []
    if final.exists():
        wrong = mismatch(final, remote, folder)
        if wrong is None:
            return final
        aside = final.with_name(f"{final.name}.wrong")
        final.replace(aside)
        reasons.append(f"{final}: {wrong}; it is now {aside.name}")
        say(reasons[0])
    for address in _addresses(remote):
        try:
            _fetch_from(address, remote, final)
            _mark(final, remote, folder)
            return final
        except UselessError as error:
            reasons.append(f"{address}: {error}")
    raise OSError(_what_to_do(remote, final, reasons))


def mismatch(path: Path, remote: Remote, markers: Path) -> str | None:
    """Reason why `path` is not the published file; None if it is.

    A file that held is not read again while its place, size and time stay; `markers` is the folder that remembers it.
    """
    marker = _marker(path, markers)
    if marker.exists() and marker.read_text() == _state(path, remote):
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
    sum_ = hashlib.new(algorithm.removesuffix("_start"), usedforsecurity=False)
    with path.open("rb") as file, byte_bar(f"check {path.name}", path.stat().st_size) as progress:
        while chunk := file.read(CHUNK_BYTES):
            sum_.update(chunk)
            progress.update(len(chunk))
    return sum_.hexdigest()


def _wrong(path: Path, remote: Remote) -> str | None:
    size = path.stat().st_size
    if remote.size not in (None, size):
        return f"it has {size} bytes and should have {remote.size}"
    if not remote.checksum:
        return None
    algorithm, expected = remote.checksum.split(":")
    found = digest(path, algorithm)
    found = found[: len(expected)] if algorithm.endswith("_start") else found
    return None if found == expected else f"its {ALGORITHMS[algorithm]} is {found} and should be {expected}"


def _addresses(remote: Remote) -> list[str]:
    own = [f"{place.rstrip('/')}/{remote.name}" for place in os.environ.get(MIRRORS, "").split()]
    return [*own, *remote.addresses]


def _fetch_from(address: str, remote: Remote, final: Path) -> None:
    """Fetches and checks the file, and moves it to its final name; starts once more if a resumed file is wrong.

    No ETag is compared: mirrors have different ones for the same file, and the checksum of the whole tells more.
    """
    part = final.with_name(f"{final.name}.part")
    for last in (False, True):
        with enough_disk(part):
            if address.startswith(("http://", "https://")):
                resumed = download(address, part, remote.name, remote.size)
            else:
                resumed = _copy(address, part, remote)
        wrong = _wrong(part, remote)
        if wrong is None:
            files.move(part, final)  # what is under a final name is not read again
            return
        part.unlink()
        if last or not resumed:
            raise UselessError(f"{wrong}; removed")


def _copy(address: str, part: Path, remote: Remote) -> bool:
    """From a file of this machine: a path, or `file://`. Never resumed; a half stays while the file is not right."""
    source = Path(unquote(urlsplit(address).path) if address.startswith("file:") else address)
    try:
        size = source.stat().st_size
        if remote.size not in (None, size):
            raise UselessError(f"it has {size} bytes and should have {remote.size}")
        check_space(part, size)
        with source.open("rb") as local, part.open("wb") as file, byte_bar(f"copy {remote.name}", size) as progress:
            while chunk := local.read(CHUNK_BYTES):
                file.write(chunk)
                progress.update(len(chunk))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise UselessError((error.strerror or str(error)).lower()) from None
    return False


def _what_to_do(remote: Remote, final: Path, reasons: list[str]) -> str:
    tried = "".join(f"\n  {reason}" for reason in reasons) or "\n  no address is known"
    described = f" ({remote.described()})" if remote.described() else ""
    return (
        f"{remote.name} cannot be fetched:{tried}\n"
        f"run again where there is a network, or put the file{described} at {final} yourself,"
        f" or name a folder or an address that holds it in the environment variable {MIRRORS}"
    )


def _marker(path: Path, markers: Path) -> Path:
    return markers / f"{path.name}.checked"


def _state(path: Path, remote: Remote) -> str:
    status = path.stat()
    where = str(path.resolve())
    state = {"checksum": remote.checksum, "path": where, "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    return f"{json.dumps(state)}\n"


def _mark(path: Path, remote: Remote, markers: Path) -> None:
    files.write_text(_marker(path, markers), _state(path, remote))
