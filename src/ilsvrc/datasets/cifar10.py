"""CIFAR-10: 60,000 images of 32x32 in ten classes, read in place from the owners' binary batches.

Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ilsvrc.datasets._card import Card, Sample
from ilsvrc.datasets._readers import records
from ilsvrc.datasets._readers.unpack import extract
from ilsvrc.runtime.download import Remote, fetch

FOLDER = "cifar-10-batches-bin"
TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = "test_batch.bin"
REMOTE = Remote(  # address and MD5 from the owners' page, the size as tensorflow_datasets recorded it
    "cifar-10-binary.tar.gz",
    "md5:c32a1d4ab5d03f1284b67883e8d87530",
    170052171,
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CARD = Card(
    title="CIFAR-10",
    licence="none stated; the owners ask to cite Krizhevsky 2009",
    address="https://www.cs.toronto.edu/~kriz/cifar.html",
    papers="Krizhevsky 2009; ResNet, Wide ResNet, DenseNet, ResNeXt and most papers with networks for 32 px",
    classes=10,
    counts={"train": 50000, "val": 10000},
    archives=(*TRAIN, TEST),
    mean=(125.3, 123.0, 113.9),
    std=(63.0, 62.1, 66.7),
    mean_std_source="the code of fb.resnet.torch, Wide ResNet and DenseNet",
    encoding="raw",
    papers_data="CIFAR-10 (flip/shift augmentation)",
)


def fingerprint(options: Mapping[str, Any]) -> str:
    """Empty: no file of the user's is read."""
    return ""


def acquire(raw: Path, options: Mapping[str, Any]) -> None:
    """Downloads the archive and unpacks its batches into `raw`."""
    extract(fetch(REMOTE, "cifar10"), [f"{FOLDER}/{name}" for name in CARD.archives], raw)


def samples(raw: Path, options: Mapping[str, Any]) -> Iterator[Sample]:
    """Every image by split, class and number; the training images are numbered through the five batches."""
    yield from records.cifar("train", [raw / name for name in TRAIN], CLASSES)
    yield from records.cifar("val", [raw / TEST], CLASSES)
