"""Small packed files that the tests of loading share."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from images import NUM_PHOTOS, jpeg_bytes, photo

from ilsvrc.config.specs import FormSpec
from ilsvrc.datasets._card import Sample
from ilsvrc.packing.writer import Packing, pack

Packer = Callable[..., tuple[Path, Packing]]


@pytest.fixture(scope="session")
def packer(tmp_path_factory: pytest.TempPathFactory) -> Packer:
    """Packs a list of encoded images: `packer(contents, workers=1, **form) -> (beton, packing)`."""

    def packs(contents: Sequence[bytes], workers=1, page_bytes=1 << 21, compare=False, **form: object):
        folder = tmp_path_factory.mktemp("packed")
        samples = []
        for number, content in enumerate(contents):
            name = f"{number:03d}"
            (folder / name).write_bytes(content)
            samples.append(Sample("train", str(number % 3), name, name, 0, len(content)))
        labels = {"0": 0, "1": 1, "2": 2}
        beton = folder / "train.beton"
        packing = pack(samples, labels, folder, FormSpec(data="t", **form), beton, workers, page_bytes, compare)
        return beton, packing

    return packs


@pytest.fixture(scope="session")
def photos() -> list[bytes]:
    return [jpeg_bytes(photo(number)) for number in range(NUM_PHOTOS)]


@pytest.fixture(scope="session")
def jpeg_beton(packer: Packer, photos: list[bytes]) -> Path:
    """53 JPEGs of eight sizes, stored with their own bytes."""
    return packer(photos)[0]


@pytest.fixture(scope="session")
def raw_beton(packer: Packer, photos: list[bytes]) -> Path:
    """The same, stored raw with a short side of 40 pixels at most."""
    return packer(photos, encoding="raw", short_side_px=40)[0]
