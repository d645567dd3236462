"""Imagewoof: ten breeds of dogs of ImageNet that are hard to tell apart, 70/30 train and validation, in full size.

Jeremy Howard, fast.ai (2019).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ilsvrc.datasets import _fastai
from ilsvrc.datasets._card import Card, Sample

REMOTE = _fastai.remote("imagewoof2", "2cc1c1e36e20cb6fd24ffb978edcb487", 1343715595)
CARD = Card(
    title="Imagewoof (version 2, full size)",
    licence=_fastai.LICENCE,
    address="https://github.com/fastai/imagenette",
    papers="none of the landmark papers; fast.ai's leaderboard",
    classes=10,
    counts={"train": 9025, "val": 3929},
    archives=("imagewoof2.tar",),
)


def fingerprint(options: Mapping[str, Any]) -> str:
    """Empty: no file of the user's is read."""
    return ""


def acquire(raw: Path, options: Mapping[str, Any]) -> None:
    """Downloads the archive and leaves it as a plain tar in `raw`."""
    _fastai.acquire(REMOTE, raw)


def samples(raw: Path, options: Mapping[str, Any]) -> Iterator[Sample]:
    """Every image by split, class (its wnid) and name."""
    yield from _fastai.samples(REMOTE, raw)
