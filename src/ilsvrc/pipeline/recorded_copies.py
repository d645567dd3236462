"""Copies in DVC's cache of data and runs, from which lost files are brought back as they were, without any job.

A file made anew has a new time, and all that is made from it would follow: every training after a lost packed file.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path

import yaml

from ilsvrc.runtime import files

LOCK, CACHE = Path("dvc.lock"), Path(".dvc/cache/files/md5")
FOLDERS = ("data/raw", "data/packed", "results/runs")  # whose files are the same whenever they are made
MAX_HASHED_BYTES = 64_000_000  # larger neighbours are compared by size


class RecordedCopies:
    """Files that `dvc.lock` names, and their copies in the cache of this folder."""

    def __init__(self) -> None:
        self.copies = {
            Path(folder, entry["relpath"]): _cached(entry["md5"])
            for folder in FOLDERS
            for entry in _listing(_cached(_recorded().get(folder, "")))
        }

    def holds(self, path: Path, lost: Collection[str]) -> bool:
        """True if there is a copy of `path`, and its neighbours, but for those that are `lost` too, are as recorded."""
        if path not in self.copies or not self.copies[path].is_file():
            return False
        neighbours = [each for each in self.copies if each.parent == path.parent and str(each) not in lost]
        return all(_is_same(each, self.copies[each]) for each in neighbours)

    def restore(self, path: Path) -> bool:
        """Brings a lost file back, its time kept; False where the copy is damaged."""
        copy, times = self.copies[path], path.stat()
        if _md5(copy) != copy.parent.name + copy.name:
            return False
        with files.atomically(path) as unfinished:
            shutil.copyfile(copy, unfinished)
            os.utime(unfinished, ns=(times.st_atime_ns, times.st_mtime_ns))
        return True


def _recorded() -> dict[str, str]:
    """MD5 by path of the outputs in dvc.lock; none where there is no such file, or it is damaged."""
    try:
        stages = yaml.safe_load(LOCK.read_text())["stages"].values()
        return {out["path"]: out["md5"] for stage in stages for out in stage.get("outs", [])}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError):
        return {}


def _listing(path: Path) -> list[dict[str, str]]:
    """Files of a recorded folder; none where the list is not here, or is damaged."""
    try:
        listed: list[dict[str, str]] = json.loads(path.read_text())
    except (OSError, ValueError):
        return []
    return listed


def _cached(md5: str) -> Path:
    return CACHE / md5[:2] / md5[2:]


def _is_same(path: Path, copy: Path) -> bool:
    """True if a file is as it was recorded."""
    if not (path.is_file() and copy.is_file()) or path.stat().st_size != copy.stat().st_size:
        return False
    return path.stat().st_size > MAX_HASHED_BYTES or _md5(path) == copy.parent.name + copy.name


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
