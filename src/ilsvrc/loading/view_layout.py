"""Where the views of a test lie in each image, and in the memory of a batch, whatever their sizes. Numpy only.

A loader resizes the stored image to `width` x `height`, takes the part at `left`, `top`, resizes that again where it is
shown at another size, and writes it at its offset. Images of one size lie side by side, so that a network can pass
them together.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ilsvrc.loading import views
from ilsvrc.loading.random_crops import BILINEAR, CUBIC

WIDTH, HEIGHT, LEFT, TOP, PART_WIDTH, PART_HEIGHT, SHOWN_WIDTH, SHOWN_HEIGHT = range(8)  # columns of `windows`
FILTERS = {"bilinear": BILINEAR, "cubic": CUBIC}


class Placed(NamedTuple):
    """V views of each of N images; int64."""

    windows: np.ndarray  # [N, V, 8]: as views.Window
    filters: np.ndarray  # [V]: BILINEAR or CUBIC
    offsets: np.ndarray  # [N, V]: bytes from the start of the batch's memory
    num_bytes: int  # of that memory


class Group(NamedTuple):
    """Images of one size in a batch's memory."""

    height: int
    width: int
    start: int  # bytes
    images: np.ndarray  # [M]: places in the batch
    views: np.ndarray  # [M]: places among the views


def windows(shown: Sequence[views.View], widths: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Windows `[N, V, 8]` of unmirrored views in images of these sizes `[N]`."""
    rows = [_windows(tuple(shown), int(w), int(h)) for w, h in zip(widths, heights, strict=True)]
    return np.array(rows, np.int64).reshape(len(rows), len(shown), 8)


@lru_cache(maxsize=4096)
def _windows(shown: tuple[views.View, ...], width: int, height: int) -> tuple[views.Window, ...]:
    return tuple(views.window(view, width, height) for view in shown)


def place(shown: Sequence[views.View], widths: np.ndarray, heights: np.ndarray) -> Placed:
    """The views of a batch."""
    where = windows(shown, widths, heights)
    offsets, at = np.empty(where.shape[:2], np.int64), 0
    for group in groups(where):
        num_bytes = 3 * group.height * group.width
        offsets[group.images, group.views] = group.start + num_bytes * np.arange(len(group.images))
        at = group.start + num_bytes * len(group.images)
    return Placed(where, np.array([FILTERS[view.interpolation] for view in shown], np.int64), offsets, at)


def groups(where: np.ndarray) -> list[Group]:
    """The sizes at which `windows` are shown, one after another in memory; in each, image after image."""
    num_views, found, start = where.shape[1], [], 0
    sizes = where[:, :, [SHOWN_HEIGHT, SHOWN_WIDTH]].reshape(-1, 2)
    distinct, which = np.unique(sizes, axis=0, return_inverse=True)
    for number, (height, width) in enumerate(distinct.tolist()):
        items = np.flatnonzero(which.reshape(-1) == number)
        found.append(Group(height, width, start, items // num_views, items % num_views))
        start += 3 * height * width * len(items)
    return found


def image_bytes(where: np.ndarray) -> np.ndarray:
    """What the views of each image take `[N]`."""
    return 3 * (where[:, :, SHOWN_WIDTH] * where[:, :, SHOWN_HEIGHT]).sum(axis=1)
