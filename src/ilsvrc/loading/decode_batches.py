"""Decoding of batches by the compiled kernels: crops or test views of stored images, equal to Pillow's pixels.

Training decodes only the rows and columns of a JPEG that a crop needs; damage is found where it shows or lies above.
"""

import ctypes
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from ilsvrc.loading.contract import LoaderMissingError
from ilsvrc.loading.random_crops import CropBoxes, Padding
from ilsvrc.loading.view_layout import ViewLayout
from ilsvrc.packing import c_extension, checksums

NO_MEMORY = 2  # status of an image
Columns = Sequence[np.ndarray]  # of N images: modes, widths, heights, offsets and sizes in the packed file

_numbers, _place = ctypes.POINTER(ctypes.c_int64), ctypes.c_void_p


class _Batch(ctypes.Structure):
    """`struct batch` of show.c."""

    _fields_ = [
        ("content", _place),
        ("num_images", ctypes.c_int64),
        *((name, _numbers) for name in ("modes", "widths", "heights", "offsets", "sizes", "next", "status")),
        ("shown", _place),
    ]


class _Crops(ctypes.Structure):
    """`struct crops` of show.c."""

    _fields_ = [
        *((name, _numbers) for name in ("source_boxes", "crop_boxes", "filters")),
        ("num_views", ctypes.c_int64),
        ("crop_px", ctypes.c_int64),
        ("fill", ctypes.c_int64 * 3),
        ("reflect", ctypes.c_int64),
    ]


class _Views(ctypes.Structure):
    """`struct views` of show.c."""

    _fields_ = [*((name, _numbers) for name in ("view_boxes", "filters", "offsets")), ("num_views", ctypes.c_int64)]


class BatchDecoder:
    """Threads that share the images of a batch.

    Raises:
        LoaderMissingError: the kernels are not compiled here.
    """

    def __init__(self, threads: int) -> None:
        crops, views = (c_extension.function(f"ilsvrc_show_{what}", _place, _place) for what in ("crops", "views"))
        if crops is None or views is None:
            raise LoaderMissingError(
                "FFCV cannot be used here (the kernels in C are not compiled); with a C compiler and the headers of"
                " libjpeg-turbo, `make setup` or `pip install 'ilsvrc[ffcv]'` compiles them"
            )
        self.crops, self.views = crops, views
        self.threads = threads
        self.pool: ThreadPoolExecutor | None = None

    def show_crops(
        self, content: np.ndarray, columns: Columns, boxes: CropBoxes, shown: np.ndarray, padding: Padding
    ) -> np.ndarray:
        """Fills `shown`, uint8 `[N, V, crop_px, crop_px, 3]`, no more of an image being decoded than its crops need.

        Args:
            content: the packed file, uint8.
            columns: of the N images.
            boxes: their V crops.
            shown: the crops' pixels, contiguous.
            padding: fills crops that leave the image.

        Returns:
            A status per image, int64 `[N]`, 0 where it decoded without damage.
        """
        fill, reflect = padding
        kept = [_contiguous(column) for column in boxes]
        wanted = _Crops(*map(_pointer, kept), kept[1].shape[1], shown.shape[2], tuple(fill.tolist()), reflect)
        return self._run(self.crops, wanted, content, columns, shown)

    def show_views(self, content: np.ndarray, columns: Columns, layout: ViewLayout, shown: np.ndarray) -> np.ndarray:
        """Fills `shown`, uint8 `[layout.num_bytes]`; each image is decoded whole. Otherwise as `show_crops`."""
        kept = [_contiguous(column) for column in (layout.view_boxes, layout.filters, layout.offsets)]
        return self._run(self.views, _Views(*map(_pointer, kept), len(layout.filters)), content, columns, shown)

    def _run(
        self, function: Any, wanted: ctypes.Structure, content: np.ndarray, columns: Columns, shown: np.ndarray
    ) -> np.ndarray:
        kept = [_contiguous(column) for column in columns]
        following, status = np.zeros(1, np.int64), np.zeros(len(kept[0]), np.int64)
        pointers = map(_pointer, (*kept, following, status))
        batch = _Batch(content.ctypes.data, len(status), *pointers, shown.ctypes.data)
        arguments = ctypes.addressof(batch), ctypes.addressof(wanted)
        list(self._map(lambda _: function(*arguments), range(min(self.threads, len(status)))))
        if (status == NO_MEMORY).any():
            raise MemoryError("too little memory to decode a batch")
        return status

    def crc32_each(self, content: np.ndarray, offsets: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """`checksums.crc32_each`, shared out among the threads."""
        parts = (np.array_split(column, self.threads) for column in (offsets, sizes))
        return np.concatenate([*self._map(partial(checksums.crc32_each, content), *parts)])

    def _map(self, function: Callable[..., Any], *parts: Iterable[Any]) -> Iterator[Any]:
        """`map` by the threads, which are started where they do not run; a single one is the caller's."""
        if self.threads == 1:
            return map(function, *parts)
        if self.pool is None:
            self.pool = ThreadPoolExecutor(self.threads, thread_name_prefix="decode")
        return self.pool.map(function, *parts)

    def close(self) -> None:
        """Ends the threads; the next batch starts others."""
        if self.pool is not None:
            self.pool.shutdown()
            self.pool = None


def _contiguous(column: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(column, np.int64)


def _pointer(column: np.ndarray) -> Any:
    return column.ctypes.data_as(_numbers)


def resized_window(
    source: np.ndarray, box: Sequence[int], size: Sequence[int], window: Sequence[int], kind: int
) -> np.ndarray:
    """A window of a resized box of an image.

    Args:
        source: uint8 `[H, W, 3]`, contiguous.
        box: left, top, width, height in `source`.
        size: width and height that the box is resized to.
        window: left, top, width, height in the resized box.
        kind: the filter, numbered as in `random_crops`.

    Returns:
        uint8 `[window height, window width, 3]`.
    """
    whole = ctypes.c_int64
    resize = c_extension.function("ilsvrc_resize", _place, whole, whole * 4, whole * 2, whole * 4, whole, _place)
    assert resize is not None
    result = np.empty((window[3], window[2], 3), np.uint8)
    resize(
        source.ctypes.data, source.shape[1], (whole * 4)(*box), (whole * 2)(*size), (whole * 4)(*window), kind,
        result.ctypes.data,
    )  # fmt: skip
    return result
