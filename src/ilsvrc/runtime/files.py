"""Files: read, hashed, and written so that a reader never sees half of one, also after a loss of power."""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from ilsvrc.runtime import unrecorded

UNFINISHED = re.compile(r"(?P<name>.+)\.(?P<process>\d+)\.part")  # names of files that are being written
NO_ROOM, FAILING = (errno.ENOSPC, errno.EDQUOT), (errno.EIO, errno.EFBIG)
MADE_HERE, ASIDE = ("data", "results"), Path("work/damaged")
FULL = "the disk is full: make room and run again"


class DamagedError(ValueError):
    """A file that a stage wrote is not as it was written: it has to be made again.

    Args:
        path: the file.
        why: what is wrong with it, as the rest of a sentence.
    """

    def __init__(self, path: Path, why: object) -> None:
        super().__init__(f"{path} {why}; remove it and run snakemake again")
        self.path, self.why = path, why


def set_aside(path: Path) -> Path | None:
    """Moves a damaged file of this folder's data or results to work/damaged; None where it is elsewhere, and stays."""
    with suppress(ValueError, OSError):
        inside = path.absolute().relative_to(Path.cwd())
        if inside.parts[0] in MADE_HERE:
            make_folder(ASIDE)
            return Path(shutil.move(path, ASIDE / "_".join(inside.parts)))
    return None


def read_json(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file.

    Raises:
        DamagedError: the file is damaged.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DamagedError(path, f"is damaged ({error})") from None
    return content


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all."""
    with atomically(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


@contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; the file moves to `path` once it is whole and on the disk.

    The temporary name is `<name>.<process>.part`. The file is removed where writing fails; a killed process leaves it,
    and the next process that writes `path` removes it. The umask settles who may read it, whatever library writes it.

    Raises:
        OSError: the disk is full or fails; the message names `path`.
    """
    unfinished = temporary_name(path)
    try:
        unfinished.touch()
        mode = unfinished.stat().st_mode
        yield unfinished
        if unfinished.stat().st_mode != mode:
            unfinished.chmod(mode)
        move(unfinished, path)
    except Exception as error:
        if explained := _explained(error, path):
            raise explained from error
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def _explained(error: Exception, path: Path) -> OSError | None:
    """An error of the disk that names the file that was written; None of other errors, and of those that tell more."""
    number = _errno(error)
    if is_of_full_disk(error):
        return OSError(number, FULL, str(path))
    if number in FAILING and not _tells_more(error):
        why = f"{os.strerror(number or 0)} while this file was written; is the disk in order?"
        return OSError(number, why, str(path))
    return None


def _tells_more(error: Exception) -> bool:
    """True if an error names its file, or has words of its own in the place of the system's."""
    if not isinstance(error, OSError):
        return False
    return error.filename is not None or error.strerror != os.strerror(error.errno or 0)


def is_of_full_disk(error: Exception) -> bool:
    """True if a write failed for want of room, and nobody said so."""
    return _errno(error) in NO_ROOM and "make room" not in str(error)


def _errno(error: Exception) -> int | None:
    """Number of an error of the disk; some libraries tell it in words alone."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    return next((number for number in (*NO_ROOM, *FAILING) if os.strerror(number) in str(error)), None)


def temporary_name(path: Path) -> Path:
    """This process's name for `path` while it is unfinished; what killed processes left under theirs is removed."""
    folder, own = path.parent.absolute(), path.with_name(f"{path.name}.{os.getpid()}.part")
    make_folder(folder)
    for each in (own, *_leftovers(folder).pop(path.name, ())):  # in containers processes often have the same number
        shutil.rmtree(each, ignore_errors=True) if each.is_dir() else each.unlink(missing_ok=True)
    return own


@cache
def _leftovers(folder: Path) -> dict[str, list[Path]]:
    """Leftovers in `folder` by the name that they were to get; a process looks once."""
    found: dict[str, list[Path]] = {}
    for each in folder.glob("*.part"):
        if (named := UNFINISHED.fullmatch(each.name)) and is_leftover(each):
            found.setdefault(named["name"], []).append(each)
    return found


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, which last through a loss of power."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in made:
        with suppress(OSError):  # some file systems cannot sync folders
            sync(each.parent)


def move(source: Path, target: Path) -> None:
    """Gives a whole file of the same folder its final name, which lasts through a loss of power."""
    sync(source)
    source.replace(target)
    unrecorded.keep(target)
    with suppress(OSError):  # some file systems cannot sync folders
        sync(target.parent)


def sync(path: Path) -> None:
    """Waits until the bytes of a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_leftover(path: Path) -> bool:
    """True if `path` is an unfinished file or folder, and no process of its number runs on this machine."""
    return UNFINISHED.fullmatch(path.name) is not None and not is_of_running_process(path)


def is_of_running_process(path: Path) -> bool:
    """True if `path` is an unfinished file or folder, and the process of its number runs on this machine."""
    found = UNFINISHED.fullmatch(path.name)
    return found is not None and _is_running(int(found["process"]))


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True
