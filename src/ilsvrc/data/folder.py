"""Pictures of your own: a folder, or an uncompressed tar, of `[<anything>/]<split>/<class>/<image>`.

The training split is called `train`, the test split `val`, `validation`, `valid` or `test` (the first of these that
is there); `data.train_split` and `data.test_split` in params.yaml name others. Here they are always `train` and
`val`. Nothing is copied or extracted. Hidden files and the litter of file managers are passed over; any other file in
a class is taken for a picture.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ilsvrc.card import Card, Sample
from ilsvrc.data._archive import Member, members

CARD = Card(title="A folder of pictures", licence="yours", address="")
TEST_SPLITS = ("val", "validation", "valid", "test")
JUNK = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx"}
FINGERPRINT_BLOCKS, BLOCK_BYTES = 64, 4096
Split = dict[str, list[Member]]  # class -> pictures


def fingerprint(options: Mapping[str, Any]) -> str:
    """What stands at `data.path`: names and sizes of a folder's files, size and 64 blocks of an archive."""
    path = Path(options["path"])
    if path.is_dir():
        found = sorted((member.name, member.size) for member in _files(path))
        return hashlib.sha256(repr(found).encode(errors="surrogateescape")).hexdigest()[:16]
    return _archive_fingerprint(path) if path.is_file() else "missing"


def acquire(raw: Path, options: Mapping[str, Any]) -> None:
    """Fetches nothing; checks that the pictures are there.

    Raises:
        ValueError: the path is missing or empty, or a split or a class is.
    """
    raw.mkdir(parents=True, exist_ok=True)
    _splits(Path(options["path"]), options)


def samples(raw: Path, options: Mapping[str, Any]) -> Iterator[Sample]:
    """Every picture by split, class and name; its file relative to `raw` where `data.path` is relative."""
    path = Path(options["path"])
    for split, classes in _splits(path, options).items():
        for label_name, pictures in sorted(classes.items()):
            for picture in sorted(pictures):
                file = str(picture.file) if path.is_absolute() else os.path.relpath(picture.file, raw)
                name = f"{label_name}/{PurePosixPath(picture.name).name}"
                yield Sample(split, label_name, name, file, picture.offset, picture.size)


def _splits(path: Path, options: Mapping[str, Any]) -> dict[str, Split]:
    """`train` and `val`, each with every class."""
    tree = _tree(path)
    train = options.get("train_split") or "train"
    root = _root(path, tree, train)
    here = {parts[len(root)] for parts in tree if parts[: len(root)] == root and len(parts) > len(root) + 1}
    test = options.get("test_split") or next((name for name in TEST_SPLITS if name in here), None)
    if test not in here:
        wanted = f"split {test!r}" if test else f"test split ({', '.join(TEST_SPLITS)})"
        raise ValueError(f"{path} has no {wanted}, only: {_listed(here)}; name it by data.test_split in params.yaml")
    if test == train:
        raise ValueError(f"data.train_split and data.test_split in params.yaml are both {train!r}")
    splits = {ours: _classes(path, tree, (*root, theirs)) for ours, theirs in (("train", train), ("val", test))}
    _same_classes(path, splits)
    return splits


def _tree(path: Path) -> dict[tuple[str, ...], Member]:
    """Every file by its path's parts."""
    if not path.exists():
        raise ValueError(f"data.path = {str(path)!r} in params.yaml: there is no such folder or tar archive")
    found = _files(path) if path.is_dir() else (m for m in members(path) if not _hidden(m.name))
    tree = {tuple(PurePosixPath(member.name).parts): member for member in found}
    if not tree:
        raise ValueError(f"{path} is empty; it should hold <split>/<class>/<image>")
    return tree


def _root(path: Path, tree: Mapping[tuple[str, ...], Member], train: str) -> tuple[str, ...]:
    """The parts above the training split: the place nearest to the top."""
    roots = {parts[: parts.index(train)] for parts in tree if train in parts[:-1]}
    if not roots:
        names = {part for parts in tree for part in parts[:-1][:2]}
        raise ValueError(
            f"{path} has no split {train!r}, only folders: {_listed(names)};"
            " it should hold train/<class>/<image>, or name the split by data.train_split in params.yaml"
        )
    nearest = min(map(len, roots))
    roots = {root for root in roots if len(root) == nearest}
    if len(roots) > 1:
        raise ValueError(f"{path} has {train!r} in several folders: {_listed('/'.join(root) for root in roots)}")
    return roots.pop()


def _classes(path: Path, tree: Mapping[tuple[str, ...], Member], split: tuple[str, ...]) -> Split:
    """Pictures of a split by class."""
    classes: Split = defaultdict(list)
    for parts, member in tree.items():
        if parts[: len(split)] == split:
            if len(parts) != len(split) + 2:
                raise ValueError(f"{path}: {member.name} should be {'/'.join(split)}/<class>/<image>")
            classes[parts[-2]].append(member)
    return classes


def _same_classes(path: Path, splits: Mapping[str, Split]) -> None:
    train, val = (set(splits[name]) for name in ("train", "val"))
    for one, other, missing in (("train", "test", train - val), ("test", "train", val - train)):
        if missing:
            raise ValueError(
                f"{path}: the {other} split has no pictures of {_listed(missing)}, which the {one} split has;"
                " both need every class"
            )


def _files(folder: Path) -> Iterator[Member]:
    """Every file under `folder` that is no litter, links followed."""
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        for name in sorted(files):
            if not _hidden(name):
                file = Path(parent) / name
                yield Member(file.relative_to(folder).as_posix(), file, 0, file.stat().st_size)


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part.lower() in JUNK for part in PurePosixPath(name).parts)


def _archive_fingerprint(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for block in range(FINGERPRINT_BLOCKS):
            file.seek(max(0, size - BLOCK_BYTES) * block // (FINGERPRINT_BLOCKS - 1))
            digest.update(file.read(BLOCK_BYTES))
    return digest.hexdigest()[:16]


def _listed(names: Any, most: int = 10) -> str:
    names = sorted(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "") or "nothing"
