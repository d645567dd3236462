"""Batches of a packed file, for training and for testing: one contract, three loaders.

Training batches are a function of (seed, epoch, image, copy) alone: global batch k of an epoch is the same set of
images at any number of processes, which take contiguous slices of it by rank. Testing shows every image exactly once:
here in views of one size, in `view_batches.py` in views of any.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ilsvrc.loading import random_crops, readahead, view_layout, views
from ilsvrc.loading.contract import Batch, Request, Source, source_of
from ilsvrc.packing.beton import Packed, open_packed
from ilsvrc.runtime import counter_rng

Order = Literal["random", "quasi_random"]


def open_training(
    loader: str, beton: Path, *, look: random_crops.Look | None = None, crop: random_crops.Crop = "patch",
    crop_px: int = 224, flip: bool = True, batch_size: int, seed: int, rank: int = 0, world_size: int = 1,
    workers: int = 1, subset: np.ndarray | None = None, order: Order = "random", repeats: int = 1,
    side_in: Callable[[int], int] | None = None,
) -> "TrainingBatches":  # fmt: skip
    """Batches to train on.

    Args:
        loader: `ffcv`, `pillow` (the same pixels without FFCV) or `synthetic` (noise, the same at every step).
        beton: the packed file.
        look: what is shown of an image; None for `geometry.Look(crop, crop_px, flip)`.
        crop: see `geometry.Look`.
        crop_px: side of the square that the network sees.
        flip: mirror half of the images.
        batch_size: images a step over all processes.
        seed: what order, crops and mirroring depend on.
        rank: this process.
        world_size: how many processes share a batch.
        workers: threads (`ffcv`) or processes (`pillow`) that decode.
        subset: the images to use, places in the file; None for all.
        order: `random`, or `quasi_random` for files larger than memory on disks that are slow at short reads: pieces
            of 8 MiB in a random order, the images of 32 pieces mixed.
        repeats: how many times a batch shows each of its images, cropped anew (repeated augmentation: Hoffer et al.
            2020). An epoch has as many steps as without, so that it shows one in `repeats` of the images, as DeiT's
            does. In a global batch the first copies of its images come first, then the second ones in the same order:
            copies are batch_size / repeats places apart, and neighbours are independent.
        side_in: the side of an epoch's crops, from 0, in the place of the look's `crop_px`.

    Raises:
        ValueError: the file is damaged, the loader is not there, or the images do not fill one batch.
    """
    look = look or random_crops.Look(crop, crop_px, flip)
    packed = open_packed(Path(beton))
    chosen = chosen_of(packed, subset)
    if not world_size <= batch_size <= len(chosen):
        raise ValueError(
            f"batch_size = {batch_size} must lie between the number of processes ({world_size}) and the number of"
            f" training images ({len(chosen)} in {beton}); set it by training: {{batch_size: ...}} in params.yaml"
        )
    if batch_size % repeats:
        raise ValueError(
            f"batch_size = {batch_size} is not a multiple of repeats = {repeats} (training: in params.yaml)"
        )
    share = slice(rank * batch_size // world_size, (rank + 1) * batch_size // world_size)
    request = Request(packed, look.crop_px, workers, look.outside)
    return TrainingBatches(
        source_of(loader, request), packed, chosen, batch_size, share, seed, look, order, repeats, side_in,
        lambda crop_px: source_of(loader, replace(request, crop_px=crop_px)),
    )  # fmt: skip


def open_testing(
    loader: str, beton: Path, *, views: Sequence[views.View], batch_size: int, rank: int = 0, world_size: int = 1,
    workers: int = 1, subset: np.ndarray | None = None,
) -> "TestingBatches":  # fmt: skip
    """Batches to test on: every image once over all processes, each in every view of `views`.

    Args:
        loader: as in `open_training`.
        beton: the packed file.
        views: unmirrored windows of one `crop_px`.
        batch_size: images a step of this process.
        rank: this process.
        world_size: how many processes share the images.
        workers: threads or processes that decode.
        subset: the images to use, places in the file; None for all.

    Raises:
        ValueError: the file is damaged, the loader is not there, or the views differ in `crop_px`.
    """
    sides = {view.crop_px for view in views}
    if len(sides) != 1 or None in sides:
        listed = ", ".join(sorted(map(str, sides))) or "none"
        raise ValueError(f"views of one crop_px make a batch; these have {listed} (open_views takes any)")
    packed = open_packed(Path(beton))
    mine = chosen_of(packed, subset)[rank::world_size]
    source = source_of(loader, Request(packed, None, workers))
    return TestingBatches(source, packed, mine, min(batch_size, max(1, len(mine))), tuple(views))


@dataclass
class TrainingBatches:
    """Steps of an epoch: random order, random windows, whole global batches only."""

    source: Source
    packed: Packed
    chosen: np.ndarray
    batch_size: int  # over all processes
    share: slice  # of a global batch, for this process
    seed: int
    look: random_crops.Look
    order: Order = "random"
    repeats: int = 1
    side_in: Callable[[int], int] | None = None  # of an epoch's crops; None: always the look's
    reopened: Callable[[int], Source] | None = None  # for crops of another side
    open_px: int | None = None  # the source's

    @property
    def num_images(self) -> int:
        """Images that an epoch draws from."""
        return len(self.chosen)

    def __len__(self) -> int:
        """Steps an epoch."""
        return len(self.chosen) // self.batch_size

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """This process's batches `[N, H, W, 3]` of an epoch, from `start_step` on."""
        look, windows = self._look_in(epoch), self._windows(epoch)
        mine = self._mine(np.concatenate(windows))[start_step:]
        ahead = self._my_windows(windows, mine.reshape(-1)) if self.order == "quasi_random" else ()
        return self.source(list(mine), lambda keys: self._regions(look, epoch, keys), ahead)

    def close(self) -> None:
        """Ends threads and processes."""
        self.source.close()

    def _look_in(self, epoch: int) -> random_crops.Look:
        """What an epoch shows; where its crops have another side than the last one's, the loader is opened anew."""
        side = self.side_in(epoch) if self.side_in else self.look.crop_px
        if self.reopened and side != (self.open_px or self.look.crop_px):
            self.source.close()
            self.source, self.open_px = self.reopened(side), side
        return self.look.at(side)

    def _windows(self, epoch: int) -> list[np.ndarray]:
        """The epoch's order, in one window or many."""
        if self.order == "random":
            return [counter_rng.permutation(self.seed, epoch, self.chosen)]
        pieces = readahead.pieces(self.packed, self.chosen)
        return counter_rng.quasi_permutation(self.seed, epoch, self.chosen, pieces, readahead.WINDOW_PIECES)

    def _mine(self, order: np.ndarray) -> np.ndarray:
        """Keys of this process's part `[steps, N]` of an epoch's order."""
        num_images, copies = self.batch_size // self.repeats, np.arange(self.repeats)[:, None]
        images = order[: len(self) * num_images].reshape(len(self), 1, num_images)
        return counter_rng.joined(images, copies).reshape(len(self), self.batch_size)[:, self.share]

    def _my_windows(self, windows: Sequence[np.ndarray], mine: np.ndarray) -> list[np.ndarray]:
        """The images of `mine`, cut where the windows are reached."""
        window_of = np.empty(self.packed.num_images, np.int64)
        for number, window in enumerate(windows):
            window_of[window] = number
        images = counter_rng.parted(mine)[0]
        reached = np.maximum.accumulate(window_of[images])  # copies of the window before may come after
        return [part for part in np.split(images, np.flatnonzero(np.diff(reached)) + 1) if len(part)]

    def _regions(self, look: random_crops.Look, epoch: int, keys: np.ndarray) -> random_crops.Regions:
        indices, _ = counter_rng.parted(keys)
        return random_crops.training(
            look, self.seed, epoch, keys, self.packed.widths[indices], self.packed.heights[indices]
        )


@dataclass
class TestingBatches:
    """Every image of this process once, in the file's order; the last batch may be smaller."""

    __test__ = False  # no test class of pytest

    source: Source
    packed: Packed
    mine: np.ndarray
    batch_size: int
    views: tuple[views.View, ...]

    @property
    def num_images(self) -> int:
        """Images of this process."""
        return len(self.mine)

    def __len__(self) -> int:
        """Batches."""
        return -(-len(self.mine) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Batches `[N, V, H, W, 3]`."""
        batches = [self.mine[start : start + self.batch_size] for start in range(0, len(self.mine), self.batch_size)]
        side, num_views = self.views[0].crop_px, len(self.views)
        for batch in self.source(batches, self._place):
            yield batch._replace(images=batch.images.view(len(batch.labels), num_views, side, side, 3))

    def close(self) -> None:
        """Ends threads and processes."""
        self.source.close()

    def _place(self, indices: np.ndarray) -> view_layout.Placed:
        return view_layout.place(self.views, self.packed.widths[indices], self.packed.heights[indices])


def chosen_of(packed: Packed, subset: np.ndarray | None) -> np.ndarray:
    """`subset`, or all places of a packed file.

    Raises:
        ValueError: `subset` names an image twice, or one that is not there.
    """
    everything = np.arange(packed.num_images, dtype=np.int64)
    if subset is None:
        return everything
    chosen = np.asarray(subset, np.int64)
    if len(np.unique(chosen)) != len(chosen) or not np.isin(chosen, everything).all():
        raise ValueError(f"a subset names each image once, 0 to {packed.num_images - 1}; this one does not")
    return chosen
