"""Splits of a CSV: those that its column names, or a fifth for the test, chosen by hashes of the files' names."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from ilsvrc.datasets._card import SPLITS
from ilsvrc.datasets._readers.folder_tree import TEST_SPLITS, listed

TEST_PART = 5  # one in so many


def named(path: Path, found: set[str], train: str | None, test: str | None) -> dict[str, str]:
    """The table's names of the splits -> train and val; images of another well-known split are left out.

    Raises:
        ValueError: a split is missing, or one has a name that neither is well known nor may be left out.
    """
    both_given = train is not None and test is not None
    train = train or "train"
    test = test or next((name for name in TEST_SPLITS if name in found), "val")
    odd = set() if both_given else found - {train, test, "train", *TEST_SPLITS}
    if odd or not {train, test} <= found or train == test:
        raise ValueError(
            f"{path} has the splits {listed(map(repr, found))}; they should be {train!r} and one of"
            f" {', '.join(TEST_SPLITS)}, or those that data.train_split and data.test_split in params.yaml name"
        )
    return {train: "train", test: "val"}


def hashed(file: str) -> str:
    """The split of a file: the test's for one hash in five."""
    return SPLITS[_hash(file) % TEST_PART == 0]


def fifth_of_each(labelled: Iterable[tuple[str, str]]) -> set[str]:
    """The test's files, of (class, file): a fifth of each class by hash, at least one, and none of a single image."""
    files = defaultdict(list)
    for label, file in labelled:
        files[label].append(file)
    return {
        file
        for of_class in files.values()
        if len(of_class) > 1
        for file in sorted(of_class, key=_hash)[: max(1, len(of_class) // TEST_PART)]
    }


def _hash(file: str) -> int:
    return int.from_bytes(hashlib.sha256(file.encode(errors="surrogateescape")).digest()[:8], "big")
