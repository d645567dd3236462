"""CIFAR-100: 60,000 images of 32x32 with a hundred fine labels, read in place from the owners' binary form.

Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009). The twenty coarse labels are not used.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ilsvrc.datasets._card import Card, Sample
from ilsvrc.datasets._readers import records
from ilsvrc.datasets._readers.unpack import extract
from ilsvrc.runtime.download import Remote, fetch

FOLDER = "cifar-100-binary"
TRAIN, TEST, NAMES = "train.bin", "test.bin", "fine_label_names.txt"
LABEL_BYTES = 2  # coarse, fine
REMOTE = Remote(  # address and MD5 from the owners' page, the size as tensorflow_datasets recorded it
    "cifar-100-binary.tar.gz",
    "md5:03b5dce01913d631647c71ecec9e9cb8",
    168513733,
    ("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",),
)
CARD = Card(
    title="CIFAR-100 (fine labels)",
    licence="none stated; the owners ask to cite Krizhevsky 2009",
    address="https://www.cs.toronto.edu/~kriz/cifar.html",
    papers="Krizhevsky 2009; Wide ResNet, DenseNet, ResNeXt, FractalNet and others with networks for 32 px",
    classes=100,
    counts={"train": 50000, "val": 10000},
    archives=(TRAIN, TEST, NAMES),
    mean=(129.3, 124.1, 112.4),
    std=(68.2, 65.4, 70.4),
    mean_std_source="the code of Wide ResNet and DenseNet",
    encoding="raw",
    papers_data="CIFAR-100 (flip/shift augmentation)",
)


def fingerprint(options: Mapping[str, Any]) -> str:
    """Empty: no file of the user's is read."""
    return ""


def acquire(raw: Path, options: Mapping[str, Any]) -> None:
    """Downloads the archive and unpacks images and names of the fine labels into `raw`."""
    extract(fetch(REMOTE, "cifar100"), [f"{FOLDER}/{name}" for name in CARD.archives], raw)


def samples(raw: Path, options: Mapping[str, Any]) -> Iterator[Sample]:
    """Every image by split, class and number."""
    classes = (raw / NAMES).read_text().split()
    yield from records.cifar("train", [raw / TRAIN], classes, LABEL_BYTES)
    yield from records.cifar("val", [raw / TEST], classes, LABEL_BYTES)
