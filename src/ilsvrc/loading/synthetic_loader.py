"""Noise instead of images: the upper bound that a benchmark of a network compares its loader with."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from ilsvrc.loading.contract import Batch, Regions, Request
from ilsvrc.runtime import counter_rng


def open_source(request: Request) -> "SyntheticSource":
    """Random bytes, handed out at every step; all else is the file's."""
    return SyntheticSource(request)


class SyntheticSource:
    """The same pixels at every step."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.noise = torch.empty(0, dtype=torch.uint8)

    def __call__(
        self, batches: Sequence[np.ndarray], regions: Regions, windows: Sequence[np.ndarray] = ()
    ) -> Iterator[Batch]:
        """Batches of noise `[N, H, W, 3]`, or bytes of views."""
        for keys in batches:
            indices, copies = counter_rng.parted(keys)
            images, where = self._shown(len(keys), regions(keys))
            columns = (self.request.packed.labels[indices], indices, copies, where)
            yield Batch(images, *map(torch.from_numpy, columns))

    def _shown(self, num_images: int, regions: Any) -> tuple[torch.Tensor, np.ndarray]:
        side = self.request.crop_px
        if side is None:
            return self._bytes(regions.num_bytes), regions.windows
        return self._bytes(num_images * side * side * 3).view(num_images, side, side, 3), regions.windows[:, 0]

    def _bytes(self, count: int) -> torch.Tensor:
        if len(self.noise) < count:
            self.noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, count, np.uint8))
        return self.noise[:count]

    def close(self) -> None:
        """Nothing runs."""
