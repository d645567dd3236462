"""Noise instead of images: the upper bound that a benchmark of a network compares its loader with."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from ilsvrc.loading.contract import Batch, BoxesOf, Request
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
        self, batches: Sequence[np.ndarray], boxes_of: BoxesOf, read_chunks: Sequence[np.ndarray] = ()
    ) -> Iterator[Batch]:
        """Batches of noise `[N, H, W, 3]`, or bytes of views."""
        for sample_keys in batches:
            indices, repeat_index = counter_rng.unpack_keys(sample_keys)
            images, boxes = self._shown(len(sample_keys), boxes_of(sample_keys))
            columns = (self.request.packed.labels[indices], indices, repeat_index, boxes)
            yield Batch(images, *map(torch.from_numpy, columns))

    def _shown(self, num_images: int, boxes: Any) -> tuple[torch.Tensor, np.ndarray]:
        side = self.request.crop_px
        if side is None:
            return self._bytes(boxes.num_bytes), boxes.view_boxes
        return self._bytes(num_images * side * side * 3).view(num_images, side, side, 3), boxes.crop_boxes[:, 0]

    def _bytes(self, count: int) -> torch.Tensor:
        if len(self.noise) < count:
            self.noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, count, np.uint8))
        return self.noise[:count]

    def close(self) -> None:
        """Nothing runs."""
