"""Images of an inspection: the test images that are shown, and the folder that images are written to."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.evaluation import task
from ilsvrc.evaluation.inspection import drawing, thumbnails
from ilsvrc.packing.beton import Packed
from ilsvrc.runtime import files

THUMBNAIL_PX, MAP_PX = 160, 156


class Shown(NamedTuple):
    """A test image: its place in the packed file, its central crop uint8 `[S, S, 3]`, its class and its name."""

    place: int
    crop: Tensor
    label: int
    name: str


class Album(NamedTuple):
    """A folder of images; their names are relative to the folder `beside`."""

    folder: Path
    beside: Path

    def keep(self, name: str, content: bytes) -> str:
        """Writes a file; returns its relative name."""
        with files.atomically(self.folder / name) as unfinished:
            unfinished.write_bytes(content)
        return str((self.folder / name).relative_to(self.beside))

    def thumbnail(self, opened: Packed, place: int) -> str:
        """Writes a thumbnail of a packed image; returns its relative name."""
        content = thumbnails.jpeg(opened, opened.mapped(), place, THUMBNAIL_PX)
        return self.keep(f"{opened.path.stem}_{place}.jpg", content)

    def drawn(self, name: str, pixels: np.ndarray) -> str:
        """Writes a map or a crop, enlarged until single pixels are seen; returns its relative name."""
        return self.keep(f"{name}.png", drawing.png(drawing.enlarged(pixels, MAP_PX)))


def label_name(manifest: Manifest, label: int) -> str:
    """Name of a packed label."""
    return task.label_name(task.from_manifest(manifest), manifest.classes, label)


def first_places(labels: np.ndarray, manifest: Manifest, count: int) -> np.ndarray:
    """Places of the first image of each of `count` classes, or sets of classes, in the packed file's order."""
    classes_of = task.from_manifest(manifest).classes_of
    found, first = np.unique(labels, return_index=True)
    places = sorted(int(place) for label, place in zip(found, first, strict=True) if classes_of(int(label)))
    return np.array(places[:count], np.int64)
