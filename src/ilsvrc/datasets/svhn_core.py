"""SVHN without its extra part: 73,257 training images. Papers train on `svhn`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ilsvrc.datasets import _svhn
from ilsvrc.datasets._card import Card, Sample

TRAIN = ("train",)
CARD = Card(
    title="SVHN (cropped digits, without the extra part)",
    licence=_svhn.LICENCE,
    address=f"{_svhn.ADDRESS}/",
    papers="Netzer et al. 2011",
    classes=10,
    counts={"train": 73257, "val": 26032},
    archives=("train.bin", "test.bin"),
    encoding="raw",
)


def fingerprint(options: Mapping[str, Any]) -> str:
    """Empty: no file of the user's is read."""
    return ""


def acquire(raw: Path, options: Mapping[str, Any]) -> None:
    """Downloads the owners' two files and writes them as records to `raw`."""
    _svhn.acquire(raw, options, (*TRAIN, "test"))


def samples(raw: Path, options: Mapping[str, Any]) -> Iterator[Sample]:
    """Every image by split, class and number."""
    yield from _svhn.samples(raw, TRAIN)
