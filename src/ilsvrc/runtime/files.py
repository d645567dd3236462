"""Files: read, hashed, and written so that a reader never sees half of one, also after a loss of power."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

UNFINISHED = re.compile(r".+\.(?P<process>\d+)\.part")  # names of files that are being written


def read_json(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); remove it and run snakemake again") from None
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
    and the next writer of `path` removes it.
    """
    unfinished = temporary_name(path)
    try:
        yield unfinished
        move(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def temporary_name(path: Path) -> Path:
    """This process's name for `path` while it is unfinished; what killed processes left under theirs is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for each in path.parent.glob("*.part"):
        if each.name.startswith(f"{path.name}.") and is_leftover(each):
            shutil.rmtree(each) if each.is_dir() else each.unlink(missing_ok=True)
    return path.with_name(f"{path.name}.{os.getpid()}.part")


def move(source: Path, target: Path) -> None:
    """Gives a whole file of the same folder its final name, which lasts through a loss of power."""
    sync(source)
    source.replace(target)
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
