"""What `inspect` shows: the test pictures that it chose, and the folder that it leaves pictures in."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ilsvrc.evaluation.inspection import drawing, thumbnails
from ilsvrc.packing.beton import Packed
from ilsvrc.runtime.files import Info

PICTURE_PX, MAP_PX = 160, 156


class Shown(NamedTuple):
    """A test picture: its place in the packed file, its central crop uint8 `[S, S, 3]`, its class and its name."""

    place: int
    crop: Tensor
    label: int
    name: str


class Album(NamedTuple):
    """A folder of pictures, named in what lies at `beside`."""

    folder: Path
    beside: Path

    def keep(self, name: str, content: bytes) -> str:
        """Writes a file; what it is called there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(content)
        return str((self.folder / name).relative_to(self.beside))

    def thumbnail(self, opened: Packed, place: int) -> str:
        """A whole picture, small."""
        content = thumbnails.jpeg(opened, opened.mapped(), place, PICTURE_PX)
        return self.keep(f"{opened.path.stem}_{place}.jpg", content)

    def drawn(self, name: str, pixels: np.ndarray) -> str:
        """A map or a crop, enlarged to where single pixels are seen."""
        return self.keep(f"{name}.png", drawing.png(drawing.enlarged(pixels, MAP_PX)))


def members(manifest: Info, label: int) -> list[int]:
    """The classes that a packed label stands for."""
    return list(manifest["label_sets"][label]) if "label_sets" in manifest else [label]


def name(manifest: Info, label: int) -> str:
    """What a packed label is called."""
    return ", ".join(manifest["classes"][k] for k in members(manifest, label)) or "none"


def first_places(labels: np.ndarray, manifest: Info, count: int) -> np.ndarray:
    """Places of the first picture of each of `count` classes, or sets of classes, in the packed file's order."""
    found, first = np.unique(labels, return_index=True)
    places = sorted(int(place) for label, place in zip(found, first, strict=True) if members(manifest, int(label)))
    return np.array(places[:count], np.int64)
