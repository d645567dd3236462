"""Batches of a test with views of any sizes: each image once, views of one size together, bounded bytes a batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ilsvrc.loading import view_layout, views
from ilsvrc.loading.batches import image_places
from ilsvrc.loading.contract import Request, Source, open_source
from ilsvrc.packing.beton import Packed, open_packed

BATCH_BYTES = 64 << 20  # of decoded views; about five batches are in memory at a time
MAX_IMAGES = 256  # a batch


class Shown(NamedTuple):
    """Views of one size in a batch; all tensors on the host."""

    pixels: torch.Tensor  # uint8 [M, H, W, 3]
    images: torch.Tensor  # int64 [M]: places in the batch
    views: torch.Tensor  # int64 [M]: places among the views that were asked for


class ViewBatch(NamedTuple):
    """N images in all of their views, by size."""

    shown: list[Shown]
    labels: torch.Tensor  # int64 [N]
    indices: torch.Tensor  # int64 [N]: places in the packed file


def open_views(
    loader: str, beton: Path, *, views: Sequence[views.View], rank: int = 0, world_size: int = 1, workers: int = 1,
    subset: np.ndarray | None = None,
) -> "ViewBatches":  # fmt: skip
    """Batches to test on: every image once over all processes, each in every view of `views`.

    Args:
        loader: as in `batches.open_training`.
        beton: the packed file.
        views: distinct and unmirrored, of any sizes.
        rank: this process.
        world_size: how many processes share the images: those at `rank`, `rank + world_size` and so on.
        workers: threads or processes that decode.
        subset: the images to use, places in the file; None for all.

    Raises:
        ValueError: the file is damaged, or the loader is not there.
    """
    opened = open_packed(Path(beton))
    shard = image_places(opened, subset)[rank::world_size]
    batches = [shard[chosen] for chosen in cut(views, opened.widths[shard], opened.heights[shard], max(workers, 1))]
    return ViewBatches(open_source(loader, Request(opened, None, workers)), opened, batches, tuple(views))


@dataclass
class ViewBatches:
    """Every image of this process once; in the file's order where all have the same sizes."""

    source: Source
    packed: Packed
    batches: list[np.ndarray]  # places in the packed file
    views: tuple[views.View, ...]

    @property
    def num_images(self) -> int:
        """Images of this process."""
        return sum(map(len, self.batches))

    def __len__(self) -> int:
        """Batches."""
        return len(self.batches)

    def __iter__(self) -> Iterator[ViewBatch]:
        """Batches, every view of their images decoded."""
        for batch in self.source(self.batches, self._view_layout):
            assert batch.boxes is not None
            yield ViewBatch(by_size(batch.images, batch.boxes.numpy()), batch.labels, batch.indices)

    def close(self) -> None:
        """Ends threads and processes."""
        self.source.close()

    def _view_layout(self, indices: np.ndarray) -> view_layout.ViewLayout:
        return view_layout.lay_out(self.views, self.packed.widths[indices], self.packed.heights[indices])


def by_size(content: torch.Tensor, view_boxes: np.ndarray) -> list[Shown]:
    """The images in a batch's memory, uint8 `[bytes]`, without copying them."""
    found = []
    for height, width, start, images, which in view_layout.groups(view_boxes):
        pixels = content[start : start + 3 * height * width * len(images)].view(len(images), height, width, 3)
        found.append(Shown(pixels, torch.from_numpy(images), torch.from_numpy(which)))
    return found


def cut(shown: Sequence[views.View], widths: np.ndarray, heights: np.ndarray, workers: int) -> list[np.ndarray]:
    """Places `[n]` of the images of each batch, from the sizes `[N]` of all.

    A batch holds BATCH_BYTES of views at most, or an image for each worker, and images whose views have the same sizes
    come one after another, so that they can be passed together.
    """
    distinct, which = np.unique(np.column_stack((widths, heights)), axis=0, return_inverse=True)
    where = view_layout.view_boxes(shown, distinct[:, 0], distinct[:, 1])
    sizes = where[:, :, [view_layout.SHOWN_HEIGHT, view_layout.SHOWN_WIDTH]].reshape(len(where), 2 * len(shown))
    kinds = np.unique(sizes, axis=0, return_inverse=True)[1].reshape(-1)
    order = np.argsort(kinds[which.reshape(-1)], kind="stable")  # the file's order where all are alike
    num_bytes, found, start, held = view_layout.image_bytes(where)[which.reshape(-1)][order], [], 0, 0
    for place, more in enumerate(num_bytes.tolist()):
        count = place - start
        if count == MAX_IMAGES or (count >= workers and held + more > BATCH_BYTES):
            found.append(order[start:place])
            start, held = place, 0
        held += more
    return [*found, order[start:]] if len(order) else []
