"""Decoders for FFCV's pipelines: a crop of each image, or views of any sizes."""

import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ffcv.pipeline.operation import Operation

from ilsvrc.loading.contract import BoxesOf, Request
from ilsvrc.loading.decode_batches import BatchDecoder
from ilsvrc.runtime import counter_rng


def _unmap(content: np.ndarray) -> None:
    """Lets the kernel take back the pages of a file that is larger than memory: it keeps those that are mapped."""
    mapped = getattr(content, "_mmap", None)
    if mapped is not None:
        mapped.madvise(mmap.MADV_DONTNEED)


def _no_boxes(sample_keys: np.ndarray) -> Any:
    raise AssertionError("the source sets the boxes of an epoch before it decodes")


class Decoder(Operation):  # type: ignore[misc]  # FFCV has no types
    """Decodes each image once, into memory that belongs to the batch."""

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.request = request
        self.kernels = BatchDecoder(max(1, request.workers))
        self.boxes_of: BoxesOf = _no_boxes
        self.forgets = False
        self.pinned = torch.cuda.is_available()
        self.shown: tuple[np.ndarray | None, Any] = (None, None)  # of the last sample keys

    def boxes(self, sample_keys: np.ndarray) -> Any:
        """The boxes of a batch, computed once for all columns."""
        if sample_keys is not self.shown[0]:
            self.shown = sample_keys, self.boxes_of(sample_keys)
        return self.shown[1]

    def boxes_column(self, sample_keys: np.ndarray) -> np.ndarray:
        """The column `boxes` of a `Batch`."""
        raise NotImplementedError

    def show(self, content: np.ndarray, columns: Sequence[np.ndarray], boxes: Any) -> tuple[torch.Tensor, np.ndarray]:
        """Pixels, and a status per image, 0 where it decoded without damage."""
        raise NotImplementedError

    def declare_state_and_memory(self, previous_state: Any) -> tuple[Any, None]:
        """No slots of FFCV's: a batch must not be overwritten while someone holds it."""
        return previous_state, None

    def generate_code(self) -> Any:
        """The function that FFCV's thread calls with (indices, memory, metadata, storage state)."""
        return self.decode

    def decode(
        self, sample_keys: np.ndarray, memory: None, metadata: np.ndarray, state: tuple[Any, ...]
    ) -> torch.Tensor:
        """A batch's images.

        Raises:
            files.DamagedError: an image is damaged.
        """
        packed, (indices, _) = self.request.packed, counter_rng.unpack_keys(sample_keys)
        columns = [c[indices] for c in (packed.modes, packed.widths, packed.heights, packed.offsets, packed.sizes)]
        content = state[0].view(np.ndarray)
        packed.check(content, indices, self.kernels.crc32_each)
        shown, status = self.show(content, columns, self.boxes(sample_keys))
        if self.forgets:
            _unmap(state[0])
        if status.any():
            raise packed.damaged(indices[status != 0], "libjpeg-turbo cannot decode it")
        return shown

    def empty(self, *shape: int) -> torch.Tensor:
        """Room for bytes, from which a GPU can fetch them by itself where there is one."""
        return torch.empty(shape, dtype=torch.uint8, pin_memory=self.pinned)


class CropDecoder(Decoder):
    """One crop of each image: uint8 `[N, crop_px, crop_px, 3]`."""

    def boxes_column(self, sample_keys: np.ndarray) -> np.ndarray:
        """`[N, 5]`."""
        column: np.ndarray = self.boxes(sample_keys).crop_boxes[:, 0]
        return column

    def show(self, content: np.ndarray, columns: Sequence[np.ndarray], boxes: Any) -> tuple[torch.Tensor, np.ndarray]:
        """Decodes no more of an image than the crop needs."""
        assert self.request.crop_px is not None
        shown = self.empty(len(columns[0]), 1, self.request.crop_px, self.request.crop_px, 3)
        status = self.kernels.show_crops(content, columns, boxes, shown.numpy(), self.request.padding)
        return shown[:, 0], status


class ViewsDecoder(Decoder):
    """Views of any sizes: the bytes that `view_layout.ViewLayout` describes."""

    def boxes_column(self, sample_keys: np.ndarray) -> np.ndarray:
        """`[N, V, 8]`."""
        column: np.ndarray = self.boxes(sample_keys).view_boxes
        return column

    def show(self, content: np.ndarray, columns: Sequence[np.ndarray], boxes: Any) -> tuple[torch.Tensor, np.ndarray]:
        """Decodes whole images."""
        shown = self.empty(boxes.num_bytes, 1, 1)
        return shown.view(-1), self.kernels.show_views(content, columns, boxes, shown.numpy())
