"""What a loader is asked for, and what it gives: one contract, three loaders."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from ilsvrc.loading import random_crops
from ilsvrc.packing.beton import Packed

LOADERS = {"ffcv": "ffcv_loader", "pillow": "pillow_loader", "synthetic": "synthetic_loader"}


class Batch(NamedTuple):
    """Images and what they are. The tensors are the batch's own: nothing overwrites them.

    `keyed.joined` indices and copies are what draws know a shown image by.
    """

    images: torch.Tensor  # uint8 [N, H, W, 3]; testing: [N, V, H, W, 3], from a source the bytes of placed.Placed
    labels: torch.Tensor  # int64 [N]
    indices: torch.Tensor  # int64 [N]: places in the packed file
    copies: torch.Tensor | None = None  # int64 [N]: which of its showings in this epoch, from 0
    windows: torch.Tensor | None = None  # int64 [N, 5], as in geometry.Regions; testing: [N, V, 8], as in placed.Placed


Regions = Callable[[np.ndarray], Any]  # keys [N] of images and copies -> geometry.Regions, or placed.Placed


@dataclass(frozen=True)
class Request:
    """What a loader is asked for: a window of `crop_px` of each image; without it, views of any sizes.

    Views are cut from whole images, so that any damage of them is found.
    """

    packed: Packed
    crop_px: int | None
    workers: int
    padding: random_crops.Padding = random_crops.NO_PADDING


class Source(Protocol):
    """A loader: reads batches of images, given by their keys, each shown as `regions` says."""

    def __call__(
        self, batches: Sequence[np.ndarray], regions: Regions, windows: Sequence[np.ndarray] = ()
    ) -> Iterator[Batch]:
        """Batches of `[N, H, W, 3]`, or of the bytes that `placed.Placed` describes, for each of `batches`.

        For `windows` see `reading.announced`.
        """

    def close(self) -> None:
        """Ends threads and processes."""


def source_of(loader: str, request: Request) -> Source:
    """A loader by its name.

    Raises:
        ValueError: there is none of this name, or it cannot be used here.
    """
    if loader not in LOADERS:
        raise ValueError(f"there is no loader {loader!r}, only {', '.join(LOADERS)}; the profile's resources name it")
    source: Source = importlib.import_module(f"ilsvrc.loading.{LOADERS[loader]}").open_source(request)
    return source
