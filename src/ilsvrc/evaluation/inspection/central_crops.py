"""Central crops of images that are evenly spread over a packed file."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ilsvrc.evaluation.load_protocol import load_protocol
from ilsvrc.loading import batches
from ilsvrc.packing.beton import open_packed

PROTOCOL = "single_crop"
BATCH = 32


def spread(beton: Path, most: int) -> np.ndarray:
    """Places of up to `most` images, evenly spread over the file, int64."""
    there = open_packed(beton).num_images
    return np.linspace(0, there - 1, min(most, there)).round().astype(np.int64)


def central(
    loader: str, beton: Path, chosen: np.ndarray, crop_px: int, threads: int
) -> Iterator[tuple[Tensor, Tensor, np.ndarray]]:
    """Batches of the images `chosen`: uint8 `[N, H, W, 3]`, labels `[N]` and places `[N]`."""
    views = load_protocol(PROTOCOL).views(crop_px)
    opened = batches.open_testing(loader, beton, views=views, batch_size=BATCH, workers=threads, subset=chosen)
    torch.set_num_threads(threads)  # ffcv's import sets it to one
    with closing(opened):
        for batch in opened:
            yield torch.as_tensor(batch.images)[:, 0], torch.as_tensor(batch.labels), np.asarray(batch.indices)
