"""Batches of a packed file, for training and for testing, by any of three loaders.

Training batches are a function of (seed, epoch, image, repeat) alone: global batch k of an epoch is the same set of
images at any number of processes, which take contiguous slices of it by rank. Testing shows every image exactly once:
here in views of one size, in `view_batches.py` in views of any.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ilsvrc.config import choices
from ilsvrc.loading import random_crops, readahead, view_layout, views
from ilsvrc.loading.contract import Batch, Request, Source, open_source
from ilsvrc.packing.beton import Packed, open_packed
from ilsvrc.runtime import counter_rng


def open_training(
    loader: str, beton: Path, *, policy: random_crops.CropPolicy | None = None, crop: choices.Crop = "patch",
    crop_px: int = 224, flip: bool = True, batch_size: int, seed: int, rank: int = 0, world_size: int = 1,
    workers: int = 1, subset: np.ndarray | None = None, order: choices.ImageOrder = "random", repeats: int = 1,
    crop_px_in: Callable[[int], int] | None = None,
) -> "TrainingBatches":  # fmt: skip
    """Batches to train on.

    Args:
        loader: `ffcv`, `pillow` (the same pixels without FFCV) or `synthetic` (noise, the same at every step).
        beton: the packed file.
        policy: crops, padding and mirroring; None for `random_crops.CropPolicy(crop, crop_px, flip)`.
        crop: see `random_crops.CropPolicy`.
        crop_px: side of the square that the network sees.
        flip: mirror half of the images.
        batch_size: images a step over all processes.
        seed: of order, crops and mirroring.
        rank: this process.
        world_size: how many processes share a batch.
        workers: threads (`ffcv`) or processes (`pillow`) that decode.
        subset: the images to use, places in the file; None for all.
        order: `random`, or `quasi_random` for files larger than memory on disks that are slow at short reads: pieces
            of 8 MiB in a random order, the images of 32 pieces mixed.
        repeats: crops of each image in a batch, drawn independently (repeated augmentation: Hoffer et al.
            2020). An epoch has as many steps as without, so that it shows one in `repeats` of the images, as DeiT's
            does. In a global batch the first repeats of its images come first, then the second ones in the same order:
            repeats are batch_size / repeats places apart, and neighbours are independent.
        crop_px_in: the crops' side of an epoch, counted from 0, instead of the policy's `crop_px`.

    Raises:
        ValueError: the file is damaged, the loader is not there, or the images do not fill one batch.
    """
    policy = policy or random_crops.CropPolicy(crop, crop_px, flip)
    packed = open_packed(Path(beton))
    chosen = image_places(packed, subset)
    if not world_size <= batch_size <= len(chosen):
        raise ValueError(
            f"batch_size = {batch_size} must lie between the number of processes ({world_size}) and the number of"
            f" training images ({len(chosen)} in {beton}); set it by training: {{batch_size: ...}} in params.yaml"
        )
    if batch_size % repeats:
        raise ValueError(
            f"batch_size = {batch_size} is not a multiple of repeats = {repeats} (training: in params.yaml)"
        )
    shard = slice(rank * batch_size // world_size, (rank + 1) * batch_size // world_size)
    request = Request(packed, policy.crop_px, workers, policy.outside)
    return TrainingBatches(
        open_source(loader, request), packed, chosen, batch_size, shard, seed, policy, order, repeats, crop_px_in,
        lambda crop_px: open_source(loader, replace(request, crop_px=crop_px)),
    )  # fmt: skip


def open_testing(
    loader: str, beton: Path, *, views: Sequence[views.View], batch_size: int, rank: int = 0, world_size: int = 1,
    workers: int = 1, subset: np.ndarray | None = None,
) -> "TestingBatches":  # fmt: skip
    """Batches to test on: every image once over all processes, each in every view of `views`.

    Args:
        loader: as in `open_training`.
        beton: the packed file.
        views: unmirrored, of one `crop_px`.
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
    shard = image_places(packed, subset)[rank::world_size]
    source = open_source(loader, Request(packed, None, workers))
    return TestingBatches(source, packed, shard, min(batch_size, max(1, len(shard))), tuple(views))


@dataclass
class TrainingBatches:
    """Steps of an epoch: random order, random crops, whole global batches only."""

    source: Source
    packed: Packed
    chosen: np.ndarray
    batch_size: int  # over all processes
    shard: slice  # of a global batch, for this process
    seed: int
    policy: random_crops.CropPolicy
    order: choices.ImageOrder = "random"
    repeats: int = 1
    crop_px_in: Callable[[int], int] | None = None  # of an epoch's crops; None: always the policy's
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
        policy, read_chunks = self._policy_in(epoch), self._read_chunks(epoch)
        shard = self._shard_keys(np.concatenate(read_chunks))[start_step:]
        ahead = self._shard_chunks(read_chunks, shard.reshape(-1)) if self.order == "quasi_random" else ()
        return self.source(list(shard), lambda sample_keys: self._crop_boxes(policy, epoch, sample_keys), ahead)

    def close(self) -> None:
        """Ends threads and processes."""
        self.source.close()

    def _policy_in(self, epoch: int) -> random_crops.CropPolicy:
        """The crop policy of an epoch; the loader is opened again for crops of another side than the last epoch's."""
        side = self.crop_px_in(epoch) if self.crop_px_in else self.policy.crop_px
        if self.reopened and side != (self.open_px or self.policy.crop_px):
            self.source.close()
            self.source, self.open_px = self.reopened(side), side
        return self.policy.at(side)

    def _read_chunks(self, epoch: int) -> list[np.ndarray]:
        """The order of an epoch, in one chunk or many."""
        if self.order == "random":
            return [counter_rng.permutation(self.seed, epoch, self.chosen)]
        pieces = readahead.pieces(self.packed, self.chosen)
        return counter_rng.quasi_permutation(self.seed, epoch, self.chosen, pieces, readahead.CHUNK_PIECES)

    def _shard_keys(self, order: np.ndarray) -> np.ndarray:
        """Sample keys `[steps, N]` of this process's shard of an epoch."""
        num_images, repeat_index = self.batch_size // self.repeats, np.arange(self.repeats)[:, None]
        images = order[: len(self) * num_images].reshape(len(self), 1, num_images)
        return counter_rng.pack_keys(images, repeat_index).reshape(len(self), self.batch_size)[:, self.shard]

    def _shard_chunks(self, read_chunks: Sequence[np.ndarray], shard: np.ndarray) -> list[np.ndarray]:
        """The images of `shard`, split by the chunk that they are read with."""
        chunk_of = np.empty(self.packed.num_images, np.int64)
        for number, chunk in enumerate(read_chunks):
            chunk_of[chunk] = number
        images = counter_rng.unpack_keys(shard)[0]
        reached = np.maximum.accumulate(chunk_of[images])  # repeats of the chunk before may come after
        return [part for part in np.split(images, np.flatnonzero(np.diff(reached)) + 1) if len(part)]

    def _crop_boxes(
        self, policy: random_crops.CropPolicy, epoch: int, sample_keys: np.ndarray
    ) -> random_crops.CropBoxes:
        indices, _ = counter_rng.unpack_keys(sample_keys)
        return random_crops.draw(
            policy, self.seed, epoch, sample_keys, self.packed.widths[indices], self.packed.heights[indices]
        )


@dataclass
class TestingBatches:
    """Every image of this process once, in the file's order; the last batch may be smaller."""

    __test__ = False  # no test class of pytest

    source: Source
    packed: Packed
    shard: np.ndarray
    batch_size: int
    views: tuple[views.View, ...]

    @property
    def num_images(self) -> int:
        """Images of this process."""
        return len(self.shard)

    def __len__(self) -> int:
        """Batches."""
        return -(-len(self.shard) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Batches `[N, V, H, W, 3]`."""
        batches = [self.shard[start : start + self.batch_size] for start in range(0, len(self.shard), self.batch_size)]
        side, num_views = self.views[0].crop_px, len(self.views)
        assert side is not None
        for batch in self.source(batches, self._view_layout):
            yield batch._replace(images=batch.images.view(len(batch.labels), num_views, side, side, 3))

    def close(self) -> None:
        """Ends threads and processes."""
        self.source.close()

    def _view_layout(self, indices: np.ndarray) -> view_layout.ViewLayout:
        return view_layout.lay_out(self.views, self.packed.widths[indices], self.packed.heights[indices])


def image_places(packed: Packed, subset: np.ndarray | None) -> np.ndarray:
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
