"""SVHN's cropped digits: the owners' MATLAB files become plain records, a label and three planes of 32x32."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ilsvrc.datasets._card import Sample
from ilsvrc.datasets._readers import records
from ilsvrc.runtime import files
from ilsvrc.runtime.disk import CHUNK_BYTES, byte_bar, check_space, enough_disk
from ilsvrc.runtime.download import Remote, fetch

ADDRESS = "http://ufldl.stanford.edu/housenumbers"
FILES = {  # MD5 as torchvision, sizes as tensorflow_datasets states them; the owners publish none
    "train": ("md5:e26dedcc434d2e4c54c9b2d4a06d8373", 182040794),
    "test": ("md5:eb5a983be6a315427106f1b164d9cef3", 64275384),
    "extra": ("md5:a93ce644f1a588dc4d68dda5feec44a7", 1329278602),
}
REMOTES = {
    part: Remote(f"{part}_32x32.mat", checksum, size, (f"{ADDRESS}/{part}_32x32.mat",))
    for part, (checksum, size) in FILES.items()
}
CLASSES = tuple("0123456789")
PIXELS = 3 * 32 * 32
LICENCE = "for non-commercial use only"
PAPERS = "Netzer et al. 2011; Wide ResNet, DenseNet and others with networks for 32 px"


def acquire(raw: Path, options: Mapping[str, Any], parts: tuple[str, ...]) -> None:
    """Downloads `parts` and writes each as `<part>.bin` in `raw`."""
    raw.mkdir(parents=True, exist_ok=True)
    for part in parts:
        _write_records(fetch(REMOTES[part], "svhn"), raw / f"{part}.bin")


def samples(raw: Path, train_parts: tuple[str, ...]) -> Iterator[Sample]:
    """Every image by split, class and number; the training images are numbered through their files."""
    yield from records.cifar("train", [raw / f"{part}.bin" for part in train_parts], CLASSES)
    yield from records.cifar("val", [raw / "test.bin"], CLASSES)


def _write_records(source: Path, target: Path) -> None:
    """MATLAB's X `[height, width, channels, images]` and y (10 is the digit 0), a part of the images at a time."""
    import numpy as np
    from scipy.io import loadmat

    try:
        content = loadmat(source, variable_names=["X", "y"])
        pixels, labels = content["X"], content["y"].ravel() % 10
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise ValueError(f"{source} is not one of SVHN's files ({error}): remove it and run again") from None
    images = pixels.transpose(3, 2, 0, 1)  # N x 3 x 32 x 32
    if images.shape != (len(labels), 3, 32, 32):
        raise ValueError(f"{source} holds {pixels.shape} pixels and {len(labels)} labels: remove it and run again")
    check_space(target, len(labels) * (1 + PIXELS))
    step = 4 * CHUNK_BYTES // PIXELS
    with (
        files.atomically(target) as unfinished,
        unfinished.open("wb") as file,
        byte_bar(f"unpack {source.name}", pixels.nbytes) as progress,
        enough_disk(target),
    ):
        for start in range(0, len(labels), step):
            part = images[start : start + step].reshape(-1, PIXELS)
            file.write(np.column_stack((labels[start : start + step].astype(np.uint8), part)).tobytes())
            progress.update(part.nbytes)
