"""Subsets of ImageNet that fast.ai publishes as compressed tars of `<split>/<class>/<image>`."""

from collections.abc import Iterator
from pathlib import Path

from ilsvrc.datasets._card import Sample
from ilsvrc.datasets._readers import folder_tree
from ilsvrc.datasets._readers.unpack import decompress
from ilsvrc.runtime.download import Remote, fetch

ADDRESS = "https://s3.amazonaws.com/fast-ai-imageclas"
LICENCE = "Apache 2.0 (the repository); the images are ImageNet's, under its terms of access"


def remote(name: str, first_mib_md5: str, size: int) -> Remote:
    """An archive, with the size and the MD5 of its first MiB that fast.ai publishes (fastai/data/checks.txt).

    The rest is covered by gzip's own checksum, which decompression checks.
    """
    return Remote(f"{name}.tgz", f"md5_of_first_mib:{first_mib_md5}", size, (f"{ADDRESS}/{name}.tgz",))


def acquire(archive: Remote, raw: Path) -> None:
    """Downloads the archive and leaves it as a plain tar in `raw`."""
    raw.mkdir(parents=True, exist_ok=True)
    decompress(fetch(archive, raw.name), raw / f"{archive.name.removesuffix('.tgz')}.tar")


def samples(archive: Remote, raw: Path) -> Iterator[Sample]:
    """Every image by split, class and name."""
    tar = f"{archive.name.removesuffix('.tgz')}.tar"
    for sample in folder_tree.samples((raw / tar).absolute(), raw):
        yield Sample(sample.split, sample.label_name, sample.name, tar, sample.offset, sample.size)
