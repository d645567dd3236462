"""Images laid out as `[<anything>/]<split>/<class>/<image>`, in a folder, a tar or a zip, with little memory."""

import os
import stat
from array import array
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from ilsvrc.datasets._card import Sample
from ilsvrc.datasets._readers import class_names
from ilsvrc.datasets._readers.archive import Member, hidden, members
from ilsvrc.runtime.messages import say

TEST_SPLITS = ("val", "validation", "valid", "test")
HIDDEN_LITTER = {".ipynb_checkpoints", ".git", ".dvc", ".cache", ".thumbnails", ".trash"}
Parts = tuple[str, ...]


class FolderFiles:
    """The files of one folder: their names, and where each one's bytes lie."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.offsets, self.sizes = array("q"), array("q")
        self.kinds: list[str] = []

    def add(self, name: str, member: Member) -> None:
        """One more, called `name` in its folder."""
        self.names.append(name)
        self.offsets.append(member.offset)
        self.sizes.append(member.size)
        self.kinds.append(member.kind)

    def sorted(self) -> Iterator[tuple[str, int, int, str]]:
        """Name, offset, size and kind by name; of several files of one name in an archive the last."""
        order = sorted(range(len(self.names)), key=self.names.__getitem__)
        for place, following in zip(order, [*order[1:], None], strict=True):
            if following is None or self.names[following] != self.names[place]:
                yield self.names[place], self.offsets[place], self.sizes[place], self.kinds[place]


Tree = Mapping[Parts, FolderFiles]  # a folder's path -> its files
Split = dict[str, Parts]  # class -> its folder


def samples(path: Path, raw: Path, train_split: str | None = None, test_split: str | None = None) -> Iterator[Sample]:
    """Every image by split, class and name; its file relative to `raw` where `path` is relative."""
    tree = _tree(path)
    base = str(path) if path.is_absolute() else os.path.relpath(path, raw)
    for split, classes in _splits(path, tree, train_split, test_split).items():
        for label_name, folder in sorted(classes.items()):
            for name, offset, size, kind in tree[folder].sorted():
                file = "/".join((base, *folder, name)) if path.is_dir() else base
                yield Sample(split, label_name, f"{label_name}/{name}", file, offset, size, kind)


def check(path: Path, train_split: str | None = None, test_split: str | None = None) -> None:
    """Sees that `samples` will find its way.

    Raises:
        ValueError: the path is missing or empty, or a split or a class is.
    """
    passed_over: set[Parts] = set()
    splits = _splits(path, _tree(path, passed_over), train_split, test_split)
    for classes in splits.values():
        _say_hidden(path, next(iter(classes.values()))[:-1], passed_over)


def _say_hidden(path: Path, split: Parts, passed_over: set[Parts]) -> None:
    """Says which hidden folders beside the classes are taken for none."""
    if path.is_dir():
        here = {entry.name for entry in path.joinpath(*split).iterdir() if entry.is_dir()}
    else:
        depth = len(split)
        here = {parts[depth] for parts in passed_over if parts[:depth] == split and len(parts) > depth}
    if names := [name for name in here if name.startswith(".") and name not in HIDDEN_LITTER]:
        where = "/".join((str(path), *split))
        say(f"{where}: {listed(names)} is passed over, as hidden files are; rename it where it is a class")


def files(folder: Path) -> Iterator[Member]:
    """Every regular file under `folder` that is no litter, links followed.

    Raises:
        ValueError: a link leads nowhere.
        OSError: a folder cannot be read.
    """
    yield from _below(folder, "", frozenset())


def _below(folder: Path, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[Member]:
    """Files of a folder whose path begins with `prefix`; a link to a folder that it is in is passed over."""
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    with os.scandir(folder) as entries:
        found = sorted((entry for entry in entries if not hidden(entry.name)), key=lambda entry: entry.name)
    for entry in found:
        status = _status(entry)
        if stat.S_ISDIR(status.st_mode):
            yield from _below(Path(entry.path), f"{prefix}{entry.name}/", above | {here})
        elif stat.S_ISREG(status.st_mode):
            yield Member(prefix + entry.name, Path(entry.path), 0, status.st_size)


def _status(entry: os.DirEntry[str]) -> os.stat_result:
    try:
        return entry.stat()
    except OSError as error:
        if not entry.is_symlink():
            raise
        raise ValueError(f"{entry.path} is a link that leads nowhere ({error.strerror}): mend or remove it") from None


def _tree(path: Path, passed_over: set[Parts] | None = None) -> Tree:
    """The files that are not hidden; `passed_over` gets the folders of an archive's hidden ones."""
    if not path.exists():
        raise ValueError(f"data.path = {str(path)!r} in params.yaml: there is no such folder or tar archive")
    tree: dict[Parts, FolderFiles] = {}
    for member in files(path) if path.is_dir() else members(path):
        *folder, name = PurePosixPath(member.name).parts
        if hidden(member.name):
            if passed_over is not None:
                passed_over.add(tuple(folder))
            continue
        tree.setdefault(tuple(folder), FolderFiles()).add(name, member)
    if not tree:
        raise ValueError(f"{path} is empty (hidden files are passed over); it should hold <split>/<class>/<image>")
    return tree


def _splits(path: Path, tree: Tree, train: str | None, test: str | None) -> dict[str, Split]:
    """`train` and `val`, each with every class."""
    train = train or "train"
    root = _root(path, tree, train)
    here = {parts[len(root)] for parts in tree if parts[: len(root)] == root and len(parts) > len(root)}
    test = test or next((name for name in TEST_SPLITS if name in here), None)
    if test not in here:
        wanted = f"split {test!r}" if test else f"test split ({', '.join(TEST_SPLITS)})"
        raise ValueError(f"{path} has no {wanted}, only: {listed(here)}; name it by data.test_split in params.yaml")
    if test == train:
        raise ValueError(f"data.train_split and data.test_split in params.yaml are both {train!r}")
    splits = {ours: _classes(path, tree, (*root, theirs)) for ours, theirs in (("train", train), ("val", test))}
    one = class_names.united(name for classes in splits.values() for name in classes)
    splits = {ours: _united(path, classes, one) for ours, classes in splits.items()}
    _same_classes(path, splits)
    return splits


def _united(path: Path, classes: Split, one: Mapping[str, str]) -> Split:
    """The folder of each class by the one name that it has."""
    folders: Split = {}
    for name, parts in classes.items():
        other = folders.setdefault(one.get(name, name), parts)
        if other != parts:
            raise ValueError(
                f"{path}: {other[-1]!r} and {name!r} in {'/'.join(parts[:-1])} are one name to the eye: put the images"
                " into one folder"
            )
    return folders


def _root(path: Path, tree: Tree, train: str) -> Parts:
    """The parts above the training split: the place nearest to the top."""
    roots = {parts[: parts.index(train)] for parts in tree if train in parts}
    if not roots:
        names = {part for parts in tree for part in parts[:2]}
        only = f"folders: {listed(names)}" if names else f"files: {listed(tree[()].names)}"
        raise ValueError(
            f"{path} has no split {train!r}, only {only};"
            " it should hold train/<class>/<image>, or name the split by data.train_split in params.yaml"
        )
    nearest = min(map(len, roots))
    roots = {root for root in roots if len(root) == nearest}
    if len(roots) > 1:
        raise ValueError(f"{path} has {train!r} in several folders: {listed('/'.join(root) for root in roots)}")
    return roots.pop()


def _classes(path: Path, tree: Tree, split: Parts) -> Split:
    """The folder of each class of a split."""
    classes: Split = {}
    for parts, images in tree.items():
        if parts[: len(split)] == split:
            if len(parts) != len(split) + 1:
                odd = "/".join((*parts, images.names[0]))
                raise ValueError(f"{path}: {odd} should be {'/'.join(split)}/<class>/<image>")
            classes[parts[-1]] = parts
    if path.is_dir():
        _refuse_empty(path.joinpath(*split), classes)
    return classes


def _refuse_empty(split: Path, classes: Split) -> None:
    """A class without an image: most often, copying it failed."""
    empty = [folder.name for folder in split.iterdir() if folder.is_dir() and not hidden(folder.name)]
    empty = [name for name in empty if name not in classes]
    if empty:
        raise ValueError(f"{split} has folders without images: {listed(empty)}; fill or remove them")


def _same_classes(path: Path, splits: Mapping[str, Split]) -> None:
    train, val = (set(splits[name]) for name in ("train", "val"))
    for one, other, missing in (("train", "test", train - val), ("test", "train", val - train)):
        if missing:
            raise ValueError(
                f"{path}: the {other} split has no images of {listed(missing)}, which the {one} split has;"
                " both need every class"
            )


def listed(names: Iterable[str], most: int = 10) -> str:
    """The first of the sorted names, and how many more there are."""
    ordered = sorted(names)
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + more or "nothing"
