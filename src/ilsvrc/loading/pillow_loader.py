"""Loader by torch's DataLoader and Pillow: the reference, and the replacement where FFCV is missing."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from ilsvrc.loading.contract import Batch, BoxesOf, Request
from ilsvrc.loading.random_crops import BILINEAR, NO_PADDING, Padding
from ilsvrc.loading.view_layout import ViewLayout
from ilsvrc.packing import beton_layout
from ilsvrc.packing.beton import Packed
from ilsvrc.runtime import counter_rng, files

FILTERS = (  # as `random_crops` numbers them
    Image.Resampling.BILINEAR,
    Image.Resampling.BOX,
    Image.Resampling.NEAREST,
    Image.Resampling.BICUBIC,
)


def open_source(request: Request) -> "PillowSource":
    """Decodes in `request.workers` processes, or in this one where that is 1."""
    return PillowSource(request)


class PillowSource:
    """DataLoader over whole batches."""

    def __init__(self, request: Request) -> None:
        self.request = request

    def __call__(
        self, batches: Sequence[np.ndarray], boxes_of: BoxesOf, read_chunks: Sequence[np.ndarray] = ()
    ) -> Iterator[Batch]:
        """Batches `[N, H, W, 3]`, or bytes of views."""
        request = self.request
        loader = DataLoader(
            (_Crops if request.crop_px else _Views)(request, boxes_of, batches),
            batch_size=None,
            num_workers=request.workers if request.workers > 1 else 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # its own: the training's random numbers do not depend on the loader
        )
        return _batches(iter(loader), request.packed)

    def close(self) -> None:
        """Each iterator ends its own processes."""


class _DamagedImageError(ValueError):
    """What is wrong with the packed file: torch makes a worker's error anew from a message alone, and adds to it."""


def _batches(iterator: Iterator[tuple[torch.Tensor, ...]], packed: Packed) -> Iterator[Batch]:
    """Hands on batches and a worker's error without its traceback; ends the workers at once."""
    try:
        for batch in iterator:
            yield Batch(*batch)
    except _DamagedImageError as error:
        why = str(error).rpartition(f"{_DamagedImageError.__name__}: ")[2].strip()
        raise files.DamagedError(packed.path, why) from None
    finally:
        # left to the garbage collector, it may find its queues gone and wait 5 seconds for each worker
        getattr(iterator, "_shutdown_workers", bool)()


@dataclass
class _Batches(Dataset[tuple[torch.Tensor, ...]]):
    request: Request
    boxes_of: BoxesOf
    batches: Sequence[np.ndarray]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, step: int) -> tuple[torch.Tensor, ...]:
        sample_keys = self.batches[step]
        indices, repeat_index = counter_rng.unpack_keys(sample_keys)
        packed, boxes = self.request.packed, self.boxes_of(sample_keys)
        content = packed.mapped()
        try:
            images, column = self.shown((decode(packed, content, index) for index in indices), boxes)
        except files.DamagedError as error:
            raise _DamagedImageError(error.why) from None
        return tuple(
            torch.from_numpy(array) for array in (images, packed.labels[indices], indices, repeat_index, column)
        )

    def shown(self, images: Iterable[Image.Image], boxes: Any) -> tuple[np.ndarray, np.ndarray]:
        """Pixels, and the column `boxes`."""
        raise NotImplementedError


class _Crops(_Batches):
    def shown(self, images: Iterable[Image.Image], boxes: Any) -> tuple[np.ndarray, np.ndarray]:
        crop_px, padding = self.request.crop_px, self.request.padding
        assert crop_px is not None
        crops = [
            show(image, box, crop_boxes, crop_px, kind, padding)[0]
            for image, box, crop_boxes, kind in zip(images, *boxes, strict=True)
        ]
        return np.stack(crops), boxes.crop_boxes[:, 0]


class _Views(_Batches):
    def shown(self, images: Iterable[Image.Image], boxes: Any) -> tuple[np.ndarray, np.ndarray]:
        return view_bytes(images, boxes), boxes.view_boxes


def decode(packed: Packed, content: np.ndarray, index: int) -> Image.Image:
    """A stored image in RGB.

    Raises:
        files.DamagedError: it is damaged.
    """
    payload = packed.payload(content, index).tobytes()
    size = int(packed.widths[index]), int(packed.heights[index])
    if packed.modes[index] == beton_layout.RAW:
        return Image.frombytes("RGB", size, payload)
    try:
        image = Image.open(io.BytesIO(payload)).convert("RGB")
    except (OSError, SyntaxError) as error:
        raise packed.damaged(np.array([index]), f"Pillow cannot decode it ({error})") from None
    if image.size != size:
        raise packed.damaged(np.array([index]), f"it has {image.size} pixels instead of {size}")
    return image


def show(
    image: Image.Image, box: np.ndarray, crop_boxes: np.ndarray, crop_px: int, kind: int = BILINEAR,
    padding: Padding = NO_PADDING,
) -> np.ndarray:  # fmt: skip
    """Crops `[V, crop_px, crop_px, 3]` of an image; see `random_crops`."""
    left, top, width, height = box.tolist()
    part = image.crop((left, top, left + width, top + height))
    resized: dict[tuple[int, int], np.ndarray] = {}
    shown = np.empty((len(crop_boxes), crop_px, crop_px, 3), np.uint8)
    for view, (new_width, new_height, x, y, mirrored) in zip(shown, crop_boxes.tolist(), strict=True):
        size = (new_width, new_height)
        if size not in resized:
            resized[size] = np.asarray(part.resize(size, FILTERS[kind]))
        window = _window(resized[size], x, y, crop_px, padding)
        view[:] = window[:, ::-1] if mirrored else window
    return shown


def view_bytes(images: Iterable[Image.Image], layout: ViewLayout) -> np.ndarray:
    """The views of a batch's images, uint8 `[bytes]`."""
    content = np.empty(layout.num_bytes, np.uint8)
    for image, view_boxes, offsets in zip(images, layout.view_boxes, layout.offsets, strict=True):
        for view, start in zip(show_views(image, view_boxes, layout.filters), offsets.tolist(), strict=True):
            content[start : start + view.size] = view.reshape(-1)
    return content


def show_views(image: Image.Image, view_boxes: np.ndarray, filters: np.ndarray) -> Iterator[np.ndarray]:
    """Views `[H, W, 3]` of an image, each of its own size, from a `ViewLayout`'s boxes `[V, 8]` and filters `[V]`."""
    resized: dict[tuple[int, int, int], Image.Image] = {}
    for (width, height, left, top, *sizes), kind in zip(view_boxes.tolist(), filters.tolist(), strict=True):
        if (width, height, kind) not in resized:
            resized[width, height, kind] = image.resize((width, height), FILTERS[kind])
        part = resized[width, height, kind].crop((left, top, left + sizes[0], top + sizes[1]))
        yield np.asarray(part.resize((sizes[2], sizes[3]), FILTERS[kind]))


def _window(resized: np.ndarray, left: int, top: int, crop_px: int, padding: Padding) -> np.ndarray:
    height, width = resized.shape[:2]
    px = max(0, -left, -top, left + crop_px - width, top + crop_px - height)
    if px:
        fill, reflect = padding
        sides = ((px, px), (px, px), (0, 0))
        inside = np.pad(np.ones((height, width, 1), bool), sides)
        padded = np.pad(resized, sides, mode="reflect" if reflect else "edge")
        resized = padded if reflect else np.where(inside, padded, fill)
    return resized[top + px : top + px + crop_px, left + px : left + px + crop_px]
