"""Noise instead of images: the upper bound that a benchmark of a network compares its loader with."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from ilsvrc.loading.batches import Batch, Regions, Request


def open_source(request: Request) -> "SyntheticSource":
    """One random batch, handed out at every step; labels and indices are the file's."""
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
            indices = order[start : start + self.request.batch_size]
            labels = torch.from_numpy(self.request.packed.labels[indices])
            yield Batch(self.images[: len(indices)], labels, torch.from_numpy(indices.copy()))

    def close(self) -> None:
        """Nothing runs."""
