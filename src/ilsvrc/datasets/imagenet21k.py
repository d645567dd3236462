"""ImageNet-21k: a tar for each class, in a folder or inside one plain tar, from what the user brings.

Deng et al., ImageNet: A Large-Scale Hierarchical Image Database (2009). Releases differ (Fall 2011: 21,841 classes,
14,197,122 images; Winter 2021: 19,167 classes), so no counts are checked. There is no split: one in fifty images
of each class, chosen by a hash of its name, is `val` here. `winter21_whole.tar.gz` must be decompressed first.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ilsvrc.datasets import _ilsvrc2012
from ilsvrc.datasets._card import Card, Sample
from ilsvrc.datasets._readers.archive import Member, hidden, inner_members
from ilsvrc.datasets._readers.fingerprint import of_path

VAL_PART = 50
CARD = Card(
    title="ImageNet-21k",
    licence=_ilsvrc2012.LICENCE,
    address="https://image-net.org/download-images.php",
    papers="Deng et al. 2009; AlexNet and ZFNet (their releases of 2009 and 2011), and papers on pre-training",
    path="a folder of n00000000.tar ..., one for each class, or one plain tar of them (fall11_whole.tar)",
)


def fingerprint(options: Mapping[str, Any]) -> str:
    """Names and sizes of the folder's tars, or size and 64 blocks of the one."""
    return of_path(Path(options["path"]))


def acquire(raw: Path, options: Mapping[str, Any]) -> None:
    """Downloads nothing; checks that there are classes.

    Raises:
        ValueError: nothing stands at the path, or it holds no tars.
    """
    raw.mkdir(parents=True, exist_ok=True)
    _class_tars(Path(options["path"]))


def samples(raw: Path, options: Mapping[str, Any]) -> Iterator[Sample]:
    """Every image by split, class and name; each tar is gone through once, and what is for `val` kept meanwhile."""
    path = Path(options["path"])
    val = []
    for wnid, tar in sorted(_class_tars(path).items()):
        file = str(tar.file) if path.is_absolute() else os.path.relpath(tar.file, raw)
        images = {member.name: member for member in inner_members(tar) if not hidden(member.name)}
        for image in sorted(images.values()):
            split = _split(image.name)
            sample = Sample(split, wnid, f"{wnid}/{image.name}", file, image.offset, image.size)
            if split == "train":
                yield sample
            else:
                val.append(sample)
    yield from val


def _class_tars(path: Path) -> dict[str, Member]:
    """Class -> its tar."""
    if path.is_file():
        return _ilsvrc2012.class_tars(path)
    found = [tar for tar in path.glob("*.tar") if not hidden(tar.name)]
    tars = {tar.name.removesuffix(".tar"): Member(tar.name, tar, 0, tar.stat().st_size) for tar in found}
    if not tars:
        raise ValueError(f"data.path = {str(path)!r} in params.yaml holds no tars; it should be {CARD.path}")
    return tars


def _split(name: str) -> str:
    number = int.from_bytes(hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:8], "big")
    return "train" if number % VAL_PART else "val"
