"""Loader by FFCV with local decoders. Only this module and its decoders import ffcv.

FFCV provides the format, threads that work ahead, slots and streams. Local are decoders whose pixels are Pillow's and
whose crops are keyed, the order of an epoch, errors that reach the caller (stock: the program waits for ever), and
iterators that end.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, Full
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from ilsvrc.loading.contract import Batch, BoxesOf, LoaderMissingError, Request
from ilsvrc.loading.readahead import announced
from ilsvrc.packing import beton_layout
from ilsvrc.packing.beton import Packed
from ilsvrc.runtime import counter_rng

threads_of_torch = torch.get_num_threads()
try:
    import numba.typed

    with patch.object(numba.typed, "Dict", dict):  # FFCV keeps two numbers in one: 3 s of compiling at each import
        import ffcv
    from ffcv.loader.epoch_iterator import EpochIterator
    from ffcv.pipeline.compiler import Compiler
    from ffcv.pipeline.operation import Operation
    from ffcv.pipeline.pipeline_spec import PipelineSpec
    from ffcv.reader import Reader

    from ilsvrc.loading.ffcv_decoders import CropDecoder, ViewsDecoder
except (ImportError, OSError, AttributeError) as error:
    raise LoaderMissingError(
        f"FFCV cannot be used here ({error}); `make setup` or `pip install 'ilsvrc[ffcv]'` builds it"
    ) from error
finally:
    torch.set_num_threads(threads_of_torch)  # importing ffcv sets it to 1

BATCHES_AHEAD = 2  # decoded
Column = Callable[[np.ndarray], np.ndarray]


def open_source(request: Request) -> "FfcvSource":
    """Decodes in `request.workers` threads."""
    return FfcvSource(request)


class FfcvSource:
    """One FFCV Loader; one iterator at a time, the next one ends the one before."""

    def __init__(self, request: Request) -> None:
        self.decoder = CropDecoder(request) if request.crop_px else ViewsDecoder(request)
        self.running: _Iterator | None = None
        with _stock_side_effects_undone():
            self.loader = ffcv.Loader(
                str(request.packed.path),
                batch_size=1,  # batches are ours, and so is their memory
                num_workers=1,  # threads that decode are ours
                drop_last=False,
                batches_ahead=BATCHES_AHEAD,
                seed=0,  # the order is ours
                pipelines={
                    "image": PipelineSpec("image", decoder=self.decoder),
                    **{name: PipelineSpec("label", decoder=_Column(made)) for name, made in self._columns().items()},
                },
            )

    def __call__(
        self, batches: Sequence[np.ndarray], boxes_of: BoxesOf, read_chunks: Sequence[np.ndarray] = ()
    ) -> Iterator[Batch]:
        """Batches `[N, H, W, 3]`, or bytes of views."""
        self.close()
        self.decoder.boxes_of, self.decoder.forgets = boxes_of, bool(read_chunks)
        self.running = running = _Iterator(self.loader, batches, self.decoder.request.packed, read_chunks)
        return _batches(running)

    def _columns(self) -> dict[str, Column]:
        """The columns of a `Batch` after the images, from sample keys; FFCV needs its field `label` among them."""
        labels = self.decoder.request.packed.labels
        return {
            "label": lambda sample_keys: labels[counter_rng.unpack_keys(sample_keys)[0]],
            "indices": lambda sample_keys: counter_rng.unpack_keys(sample_keys)[0],
            "repeat_index": lambda sample_keys: counter_rng.unpack_keys(sample_keys)[1],
            "boxes": self.decoder.boxes_column,
        }

    def close(self) -> None:
        """Ends the thread that works ahead, and those that decode."""
        if self.running is not None:
            self.running.close()
            self.running = None
        self.decoder.kernels.close()


def _batches(running: "_Iterator") -> Iterator[Batch]:
    try:
        for batch in running:
            yield Batch(*batch)
    finally:
        running.close()


class _Iterator(EpochIterator):  # type: ignore[misc]  # FFCV has no types
    """FFCV's thread of an epoch, with errors that reach the caller and an end on request."""

    failure: BaseException | None = None

    def __init__(
        self, loader: ffcv.Loader, batches: Sequence[np.ndarray], packed: Packed, read_chunks: Sequence[np.ndarray]
    ) -> None:
        self.batches, self.packed, self.read_chunks = batches, packed, read_chunks
        super().__init__(loader, [])  # starts the thread

    def run(self) -> None:
        """Works ahead until the order is used up, an error, or close()."""
        try:
            images = [counter_rng.unpack_keys(sample_keys)[0] for sample_keys in self.batches]
            for step, _ in enumerate(announced(self.packed, images, self.read_chunks)):
                slot = step % (self.loader.batches_ahead + 2)
                if not self._hand_over((slot, self.run_pipeline(step, self.batches[step], slot, None))):
                    return
        except BaseException as error:  # goes to the caller's thread
            self.failure = error
        self._hand_over(None)

    def __next__(self) -> tuple[torch.Tensor, ...]:
        """The columns of the next batch."""
        if self.closed:
            raise RuntimeError("another epoch of these batches was begun, which ended this one")
        try:
            batch: tuple[torch.Tensor, ...] = super().__next__()
        except StopIteration:
            if self.failure is not None:
                raise self.failure from None
            raise
        return batch

    def close(self) -> None:
        """Ends the thread, whatever it is at."""
        self.terminate_event.set()
        while self.is_alive():
            try:
                self.output_queue.get_nowait()
            except Empty:
                self.join(0.01)
        self.closed = True

    def _hand_over(self, item: Any) -> bool:
        while not self.terminate_event.is_set():
            try:
                self.output_queue.put(item, timeout=0.1)
            except Full:
                continue
            return True
        return False


class _Column(Operation):  # type: ignore[misc]  # FFCV has no types
    """A column of numbers, computed from a batch's sample keys."""

    def __init__(self, made: Column) -> None:
        super().__init__()
        self.made = made

    def declare_state_and_memory(self, previous_state: Any) -> tuple[Any, None]:
        """No slots of FFCV's."""
        return previous_state, None

    def generate_code(self) -> Any:
        """The function that FFCV's thread calls with (indices, memory, metadata, storage state)."""
        return lambda sample_keys, *_: torch.from_numpy(self.made(sample_keys))


def _read_no_table(reader: Reader) -> None:
    reader.alloc_table = np.empty(0, beton_layout.ALLOCATION)


@contextmanager
def _stock_side_effects_undone() -> Iterator[None]:
    """FFCV compiles by numba, in each process, what needs no compiling here, and sets torch's threads to its own.

    From the file's table, which we have read, it makes sets of every image (for ImageNet 4 seconds and 0.5 GB) that
    only its process cache looks at.
    """
    threads, read_table = torch.get_num_threads(), Reader.read_allocation_table
    Compiler.set_enabled(False)
    Reader.read_allocation_table = _read_no_table
    try:
        yield
    finally:
        Reader.read_allocation_table = read_table
        Compiler.set_enabled(True)
        torch.set_num_threads(threads)
