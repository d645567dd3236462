"""ImageNet less the 1,762 validation images that its owners blacklisted for their ambiguous labels (2014).

Some papers (SENet among them: "non-blacklisted") report on the other 48,238. The list is in ILSVRC-2014's development
kit: put `ILSVRC2014_devkit.tgz`, or the list out of it, beside ImageNet's archives.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ilsvrc.datasets import _ilsvrc2012, imagenet
from ilsvrc.datasets._card import Sample
from ilsvrc.datasets._readers.fingerprint import of_files

CARD = dataclasses.replace(
    imagenet.CARD,
    title="ImageNet (ILSVRC-2012) without the blacklisted validation images",
    path=f"{_ilsvrc2012.PATH}, and {_ilsvrc2012.BLACKLIST_DEVKIT}",
    counts={"train": _ilsvrc2012.NUM_TRAIN, "val": _ilsvrc2012.NUM_VAL - _ilsvrc2012.NUM_BLACKLISTED},
    papers_data="ILSVRC-2012 val, non-blacklisted 48,238",
)
class_numbers = _ilsvrc2012.class_numbers


def fingerprint(options: Mapping[str, Any]) -> str:
    """Fingerprints of ImageNet and of the list."""
    folder = Path(options["path"])
    lists = (folder / name for name in (_ilsvrc2012.BLACKLIST, _ilsvrc2012.BLACKLIST_DEVKIT))
    return f"{_ilsvrc2012.fingerprint(options)},{of_files(lists)}"


def acquire(raw: Path, options: Mapping[str, Any]) -> None:
    """Acquires ImageNet, and checks that the list is there.

    Raises:
        ValueError: something is missing, or is not what image-net.org gives.
    """
    _ilsvrc2012.blacklist(Path(options["path"]))
    _ilsvrc2012.acquire(raw, options)


def samples(raw: Path, options: Mapping[str, Any]) -> Iterator[Sample]:
    """Every image by split, class and name."""
    folder = Path(options["path"])
    file = str(folder) if folder.is_absolute() else os.path.relpath(folder, raw)
    left_out = _ilsvrc2012.blacklist(folder)
    yield from _ilsvrc2012.train_samples(folder, f"{file}/{_ilsvrc2012.TRAIN.name}")
    yield from _ilsvrc2012.val_samples(folder, raw, f"{file}/{_ilsvrc2012.VAL.name}", left_out)
