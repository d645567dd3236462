"""Layout of test views of any sizes, in each image and in the memory of a batch. Numpy only.

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

WIDTH, HEIGHT, LEFT, TOP, PART_WIDTH, PART_HEIGHT, SHOWN_WIDTH, SHOWN_HEIGHT = range(8)  # columns of `view_boxes`
FILTERS = {"bilinear": BILINEAR, "cubic": CUBIC}


class ViewLayout(NamedTuple):
    """V views of each of N images; int64."""

    view_boxes: np.ndarray  # [N, V, 8]: as views.ViewBox
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


def view_boxes(shown: Sequence[views.View], widths: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """View boxes `[N, V, 8]` of unmirrored views in images of these sizes `[N]`."""
    rows = [_view_boxes(tuple(shown), int(w), int(h)) for w, h in zip(widths, heights, strict=True)]
    return np.array(rows, np.int64).reshape(len(rows), len(shown), 8)


@lru_cache(maxsize=4096)
def _view_boxes(shown: tuple[views.View, ...], width: int, height: int) -> tuple[views.ViewBox, ...]:
    return tuple(views.view_box(view, width, height) for view in shown)


def lay_out(shown: Sequence[views.View], widths: np.ndarray, heights: np.ndarray) -> ViewLayout:
    """The layout of a batch's views."""
    boxes = view_boxes(shown, widths, heights)
    offsets, at = np.empty(boxes.shape[:2], np.int64), 0
    for group in groups(boxes):
        num_bytes = 3 * group.height * group.width
        offsets[group.images, group.views] = group.start + num_bytes * np.arange(len(group.images))
        at = group.start + num_bytes * len(group.images)
    return ViewLayout(boxes, np.array([FILTERS[view.interpolation] for view in shown], np.int64), offsets, at)


def groups(boxes: np.ndarray) -> list[Group]:
    """Groups of views of one shown size, one after another in memory; in each, image after image."""
    num_views, found, start = boxes.shape[1], [], 0
    sizes = boxes[:, :, [SHOWN_HEIGHT, SHOWN_WIDTH]].reshape(-1, 2)
    distinct, which = np.unique(sizes, axis=0, return_inverse=True)
    for number, (height, width) in enumerate(distinct.tolist()):
        items = np.flatnonzero(which.reshape(-1) == number)
        found.append(Group(height, width, start, items // num_views, items % num_views))
        start += 3 * height * width * len(items)
    return found


def image_bytes(boxes: np.ndarray) -> np.ndarray:
    """Bytes `[N]` of each image's views."""
    num_bytes: np.ndarray = 3 * (boxes[:, :, SHOWN_WIDTH] * boxes[:, :, SHOWN_HEIGHT]).sum(axis=1)
    return num_bytes
