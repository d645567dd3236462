"""Results that DVC has not recorded yet, kept from being removed by it.

`dvc exp run` removes from the folders that `dvc.yaml` names all that `dvc.lock` does not: what a run made that was
stopped before its record, or one of another configuration file. So each file has a second name, a hard link in a
hidden folder, from which the next run of Snakemake brings it back; the record drops these names. What is of another
configuration, and will not be recorded, DVC is told not to look at (`data/.dvcignore`, `results/.dvcignore`).
"""

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

VERSIONED = ("data/raw", "data/packed", "results/runs", "results/predictions", "results/costs", "results/inspect")
TOPS = ("data", "results")
HIDDEN, IGNORED = ".unrecorded", ".dvcignore"
SPECIAL = re.compile(r"[\\*?\[\]!# ]")  # in a pattern of DVC's, as of git's
DVC, SEEN = Path(".dvc"), Path("work/dvc_seen.json")
OTHER_CONFIGURATION = "ILSVRC_UNRECORDED"  # set in jobs whose results are not recorded
LOCKS = ("tmp/lock", "tmp/rwlock")  # that each command of DVC writes


def keep(path: Path) -> None:
    """Keeps a whole file of the versioned folders; without a second name where the file system has no hard links."""
    hidden = _hidden(path)
    if hidden is None or not DVC.is_dir():
        return
    with suppress(OSError):
        if os.environ.get(OTHER_CONFIGURATION) and not hidden.exists():
            _ignore(hidden)
        hidden.parent.mkdir(parents=True, exist_ok=True)
        hidden.unlink(missing_ok=True)
        os.link(path, hidden)


def settle() -> dict[Path, int]:
    """Brings back the files that are missing since DVC ran; of others, which a person removed, the second name goes.

    Returns:
        Folder -> how many of its files were brought back.
    """
    if not DVC.is_dir():
        return {}
    removed_by_dvc, missing = _runs_of_dvc() != _seen(), list(_missing())
    for path, hidden in missing:
        if removed_by_dvc:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(hidden, path)
        else:
            hidden.unlink()
    remember()
    return Counter(path.parent for path, _ in missing) if removed_by_dvc else {}


def remember() -> None:
    """Notes that what DVC did so far has been seen."""
    ran = _runs_of_dvc()
    if ran != _seen():
        SEEN.parent.mkdir(exist_ok=True)
        SEEN.write_text(json.dumps(ran))


def forget(path: Path) -> None:
    """Drops the second name of a file, or those of a folder's files."""
    hidden = _hidden(path)
    if hidden is None:
        return
    if hidden.is_dir():
        shutil.rmtree(hidden)
    else:
        hidden.unlink(missing_ok=True)


def show() -> None:
    """Lets DVC look at the files, for it is about to record them."""
    for top in TOPS:
        Path(top, IGNORED).unlink(missing_ok=True)


def drop() -> None:
    """Drops all second names: DVC has recorded the files."""
    for top in TOPS:
        shutil.rmtree(Path(top, HIDDEN), ignore_errors=True)
    remember()


def _ignore(hidden: Path) -> None:
    """Adds a line to the file of what DVC does not look at; short enough for several processes to write at once."""
    top, _, *inside = hidden.parts
    with Path(top, IGNORED).open("a", encoding="utf-8") as file:
        file.write(SPECIAL.sub(r"\\\g<0>", "/" + "/".join(inside)) + "\n")


def _hidden(path: Path) -> Path | None:
    """The second name of a file or folder, None outside of the versioned folders."""
    try:
        top, *rest = path.absolute().relative_to(Path.cwd()).parts
    except ValueError:
        return None
    return Path(top, HIDDEN, *rest) if rest and f"{top}/{rest[0]}" in VERSIONED else None


def _missing() -> Iterator[tuple[Path, Path]]:
    """Files that are not there, and their second names."""
    for versioned in VERSIONED:
        top, name = versioned.split("/")
        folder = Path(top, HIDDEN, name)
        for hidden in sorted(folder.rglob("*")):
            path = Path(versioned) / hidden.relative_to(folder)
            if hidden.is_file() and not path.exists():
                yield path, hidden


def _runs_of_dvc() -> list[int]:
    """Times of DVC's last commands."""
    return [(DVC / name).stat().st_mtime_ns if (DVC / name).exists() else 0 for name in LOCKS]


def _seen() -> list[int] | None:
    try:
        seen: list[int] = json.loads(SEEN.read_text())
    except (OSError, ValueError):
        return None
    return seen
