"""Noise instead of images: the upper bound that a benchmark of a network compares its loader with."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from ilsvrc.loading import keyed
from ilsvrc.loading.batches import Batch, Regions, Request


def open_source(request: Request) -> "SyntheticSource":
    """One random batch, handed out at every step; all else is the file's."""
    return SyntheticSource(request)


class SyntheticSource:
    """The same pixels at every step."""

    def __init__(self, request: Request) -> None:
        shape = (request.batch_size, request.num_views, request.crop_px, request.crop_px, 3)
        self.request = request
        self.images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, np.uint8))

    def __call__(self, order: np.ndarray, regions: Regions, windows: Sequence[np.ndarray] = ()) -> Iterator[Batch]:
        """Batches of noise `[N, V, H, W, 3]`."""
        for start in range(0, len(order), self.request.batch_size):
            keys = order[start : start + self.request.batch_size]
            indices, copies = keyed.parted(keys)
            columns = (self.request.packed.labels[indices], indices, copies, regions(keys).windows)
            yield Batch(self.images[: len(keys)], *map(torch.from_numpy, columns))

    def close(self) -> None:
        """Nothing runs."""
