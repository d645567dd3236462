"""Random numbers that hold for a whole batch: the same in every process of a training."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_GENERATOR = torch.Generator()


def seed_batch_rng(seed: int) -> None:
    """Seeds `draw_for_batch`, in every process alike."""
    _GENERATOR.manual_seed(seed)


@contextmanager
def other_batch_rng(seed: int) -> Iterator[None]:
    """Another seed for `draw_for_batch` inside the context; afterwards the state is as before."""
    before = _GENERATOR.get_state()
    _GENERATOR.manual_seed(seed)
    try:
        yield
    finally:
        _GENERATOR.set_state(before)


def draw_for_batch() -> float:
    """A uniform number from [0, 1) for a whole batch, the same in every process of a training.

    Random numbers for each image come from torch's global generator, which differs from process to process.
    """
    return torch.rand((), generator=_GENERATOR, device="cpu").item()
