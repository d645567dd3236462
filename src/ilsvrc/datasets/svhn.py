"""SVHN, as papers train on it: 604,388 cropped house numbers of 32x32, the training and the extra part together.

Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning (2011). `svhn_core` is without the
extra part, which is 1.3 GB.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ilsvrc.datasets import _svhn
from ilsvrc.datasets._card import Card, Sample

TRAIN = ("train", "extra")
CARD = Card(
    title="SVHN (cropped digits, extra part included)",
    licence=_svhn.LICENCE,
    address=f"{_svhn.ADDRESS}/",
    papers=_svhn.PAPERS,
    classes=10,
    counts={"train": 73257 + 531131, "val": 26032},
    archives=("train.bin", "extra.bin", "test.bin"),
    encoding="raw",
    papers_data="SVHN",
)


def fingerprint(options: Mapping[str, Any]) -> str:
    """Empty: no file of the user's is read."""
    return ""


def acquire(raw: Path, options: Mapping[str, Any]) -> None:
    """Downloads the owners' three files and writes them as records to `raw`."""
    _svhn.acquire(raw, options, (*TRAIN, "test"))


def samples(raw: Path, options: Mapping[str, Any]) -> Iterator[Sample]:
    """Every image by split, class and number."""
    yield from _svhn.samples(raw, TRAIN)
