"""MNIST: 70,000 handwritten digits of 28x28, grey, read in place from the owners' IDX files.

LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition (1998).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ilsvrc.datasets._card import Card, Sample
from ilsvrc.datasets._readers import records
from ilsvrc.datasets._readers.unpack import decompress
from ilsvrc.runtime.download import Remote, fetch

MIRRORS = (  # torchvision's, Google's; LeCun's own page refuses most downloads since 2021
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
    "http://yann.lecun.com/exdb/mnist",
)
FILES = {  # MD5 as torchvision, sizes as tensorflow_datasets states them
    "train-images-idx3-ubyte": ("md5:f68b3c2dcbeaaa9fbdd348bbdeb94873", 9912422),
    "train-labels-idx1-ubyte": ("md5:d53e105ee54ea40749a09fcbcd1e9432", 28881),
    "t10k-images-idx3-ubyte": ("md5:9fb629c4189551a2d022fa330f9573f3", 1648877),
    "t10k-labels-idx1-ubyte": ("md5:ec29112dd5afa0611ce80d1b7f02629c", 4542),
}
REMOTES = tuple(
    Remote(f"{name}.gz", checksum, size, tuple(f"{mirror}/{name}.gz" for mirror in MIRRORS))
    for name, (checksum, size) in FILES.items()
)
CLASSES = tuple("0123456789")
CARD = Card(
    title="MNIST",
    licence="CC BY-SA 3.0 (as Keras cites its owners, LeCun and Cortes; their page states none)",
    address="http://yann.lecun.com/exdb/mnist/",
    papers="LeCun et al. 1998; Network in Network, Maxout and others before 2016",
    classes=10,
    counts={"train": 60000, "val": 10000},
    archives=tuple(FILES),
    mean=(33.3285, 33.3285, 33.3285),
    std=(78.5655, 78.5655, 78.5655),
    mean_std_source="PyTorch's examples: 0.1307 and 0.3081 of 255",
    encoding="raw",
    papers_data="MNIST",
)


def fingerprint(options: Mapping[str, Any]) -> str:
    """Empty: no file of the user's is read."""
    return ""


def acquire(raw: Path, options: Mapping[str, Any]) -> None:
    """Downloads the four files and decompresses them into `raw`."""
    raw.mkdir(parents=True, exist_ok=True)
    for remote in REMOTES:
        decompress(fetch(remote, "mnist"), raw / remote.name.removesuffix(".gz"))


def samples(raw: Path, options: Mapping[str, Any]) -> Iterator[Sample]:
    """Every image by split, class and number."""
    for split, prefix in (("train", "train"), ("val", "t10k")):
        yield from records.idx(split, raw / f"{prefix}-images-idx3-ubyte", raw / f"{prefix}-labels-idx1-ubyte", CLASSES)
