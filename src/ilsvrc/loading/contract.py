"""The contract of loaders: requests, batches and sources."""

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from ilsvrc.loading import random_crops
from ilsvrc.packing.beton import Packed
from ilsvrc.runtime import messages

LOADERS = {"ffcv": "ffcv_loader", "pillow": "pillow_loader", "synthetic": "synthetic_loader"}
AUTO = "auto"  # ffcv where it can be used, else pillow


class Batch(NamedTuple):
    """Images, labels and places of a batch, in tensors that nothing overwrites.

    `counter_rng.pack_keys` of indices and repeat indices are the sample keys of random draws.
    """

    images: torch.Tensor  # uint8 [N, H, W, 3]; testing: [N, V, H, W, 3]; from a source the bytes of a ViewLayout
    labels: torch.Tensor  # int64 [N]
    indices: torch.Tensor  # int64 [N]: places in the packed file
    repeat_index: torch.Tensor | None = None  # int64 [N]: of an image's repeats in this epoch, from 0
    boxes: torch.Tensor | None = None  # int64 [N, 5]: CropBoxes.crop_boxes; testing: [N, V, 8]: ViewLayout.view_boxes


BoxesOf = Callable[[np.ndarray], Any]  # sample keys [N] -> random_crops.CropBoxes, or view_layout.ViewLayout


@dataclass(frozen=True)
class Request:
    """Request to a loader: crops of `crop_px` of a packed file's images, or views of any sizes where it is None.

    Views are cut from whole images, so that any damage of them is found.
    """

    packed: Packed
    crop_px: int | None
    workers: int
    padding: random_crops.Padding = random_crops.NO_PADDING


class Source(Protocol):
    """A loader: reads batches of images, given by their sample keys, each cropped as `boxes_of` says."""

    def __call__(
        self, batches: Sequence[np.ndarray], boxes_of: BoxesOf, read_chunks: Sequence[np.ndarray] = ()
    ) -> Iterator[Batch]:
        """Batches of `[N, H, W, 3]`, or of the bytes that `view_layout.ViewLayout` describes, for each of `batches`.

        For `read_chunks` see `readahead.announced`.
        """

    def close(self) -> None:
        """Ends threads and processes."""


class LoaderMissingError(ValueError):
    """A loader cannot be used on this machine; the message says why and what to do."""


def open_source(loader: str, request: Request) -> Source:
    """A loader by its name; "auto" is FFCV's where it can be used, else Pillow's, whose pixels are the same.

    Raises:
        ValueError: there is none of this name.
        LoaderMissingError: it cannot be used here.
    """
    if loader == AUTO:
        try:
            return open_source("ffcv", request)
        except LoaderMissingError as error:
            _tell_once(str(error))
            return open_source("pillow", request)
    if loader not in LOADERS:
        named = ", ".join((AUTO, *LOADERS))
        raise ValueError(f"there is no loader {loader!r}, only {named}; the profile's resources name it")
    source: Source = importlib.import_module(f"ilsvrc.loading.{LOADERS[loader]}").open_source(request)
    return source


@cache
def _tell_once(why: str) -> None:
    if os.environ.get("RANK", "0") == "0":
        messages.say(f"{why}. The Pillow loader reads the same files: the same pixels, at about a third of the speed")
