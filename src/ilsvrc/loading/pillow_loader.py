"""The packed file read by torch's DataLoader with Pillow: the reference, and the way out where FFCV is missing."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from ilsvrc.loading import keyed, layout
from ilsvrc.loading.batches import Batch, Regions, Request
from ilsvrc.loading.geometry import BILINEAR, NO_PADDING, Padding
from ilsvrc.loading.packed import Packed

FILTERS = (  # as `geometry` numbers them
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

    def __call__(self, order: np.ndarray, regions: Regions, windows: Sequence[np.ndarray] = ()) -> Iterator[Batch]:
        """Batches `[N, V, H, W, 3]`."""
        request = self.request
        batches = [order[i : i + request.batch_size] for i in range(0, len(order), request.batch_size)]
        loader = DataLoader(
            _Batches(request, regions, batches),
            batch_size=None,
            num_workers=request.workers if request.workers > 1 else 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # its own: the training's random numbers do not depend on the loader
        )
        return _batches(iter(loader))

    def close(self) -> None:
        """Each iterator ends its own processes."""


def _batches(iterator: Iterator[tuple[torch.Tensor, ...]]) -> Iterator[Batch]:
    """Hands on batches and a worker's error without its traceback; ends the workers at once."""
    try:
        for batch in iterator:
            yield Batch(*batch)
    except ValueError as error:
        raise ValueError(str(error).rpartition("ValueError: ")[2].strip()) from None
    finally:
        # left to the garbage collector, it may find its queues gone and wait 5 seconds for each worker
        getattr(iterator, "_shutdown_workers", bool)()


@dataclass
class _Batches(Dataset[tuple[torch.Tensor, ...]]):
    request: Request
    regions: Regions
    batches: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, step: int) -> tuple[torch.Tensor, ...]:
        keys = self.batches[step]
        indices, copies = keyed.parted(keys)
        packed, crop_px, padding = self.request.packed, self.request.crop_px, self.request.padding
        regions, content = self.regions(keys), packed.mapped()
        images = [
            show(decode(packed, content, index), box, windows, crop_px, kind, padding)
            for index, box, windows, kind in zip(indices, *regions, strict=True)
        ]
        arrays = (np.stack(images), packed.labels[indices], indices, copies, regions.windows)
        return tuple(torch.from_numpy(array) for array in arrays)


def decode(packed: Packed, content: np.ndarray, index: int) -> Image.Image:
    """A stored image in RGB.

    Raises:
        ValueError: it is damaged.
    """
    payload = packed.bytes_of(content, index).tobytes()
    size = int(packed.widths[index]), int(packed.heights[index])
    if packed.modes[index] == layout.RAW:
        return Image.frombytes("RGB", size, payload)
    try:
        picture = Image.open(io.BytesIO(payload)).convert("RGB")
    except (OSError, SyntaxError) as error:
        raise damaged(packed, index, str(error)) from None
    if picture.size != size:
        raise damaged(packed, index, f"{picture.size} pixels instead of {size}")
    return picture


def show(
    picture: Image.Image, box: np.ndarray, windows: np.ndarray, crop_px: int, kind: int = BILINEAR,
    padding: Padding = NO_PADDING,
) -> np.ndarray:  # fmt: skip
    """Windows `[V, crop_px, crop_px, 3]` of a picture; see `geometry`."""
    left, top, width, height = box.tolist()
    part = picture.crop((left, top, left + width, top + height))
    resized: dict[tuple[int, int], np.ndarray] = {}
    shown = np.empty((len(windows), crop_px, crop_px, 3), np.uint8)
    for view, (new_width, new_height, x, y, mirrored) in zip(shown, windows.tolist(), strict=True):
        size = (new_width, new_height)
        if size not in resized:
            resized[size] = np.asarray(part.resize(size, FILTERS[kind]))
        window = _window(resized[size], x, y, crop_px, padding)
        view[:] = window[:, ::-1] if mirrored else window
    return shown


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


def damaged(packed: Packed, index: int, why: str) -> ValueError:
    """The error for an image that cannot be decoded."""
    return ValueError(f"{packed.path}: image {index} is damaged ({why}); remove the file and run again to pack it anew")
