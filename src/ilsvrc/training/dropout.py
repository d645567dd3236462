"""Dropout and drop-path masks, the same at any number of processes: each draws for the whole batch.

The seeds are functions of (seed, step), so that a training that was stopped draws on as if nothing had happened.
"""

import hashlib
from itertools import count

import torch
from torch import Tensor, nn

from ilsvrc.models.common.layers import timm_class
from ilsvrc.runtime.batch_rng import seed_batch_rng


class _Place:
    """Rows of the global batch that are passed at the moment."""

    rows = slice(0, 0)
    batch_size = 0


def seed(seed: int, step: int, rows: slice, batch_size: int) -> None:
    """Seeds a step, or a micro-batch, on `rows` of a batch of `batch_size` over all processes."""
    _Place.rows, _Place.batch_size = rows, batch_size
    torch.manual_seed(_hash(seed, step))
    seed_batch_rng(_hash(seed, step, "batch"))


def draw_for_whole_batch(network: nn.Module) -> None:
    """Lets every dropout and drop-path of `network` draw its mask for the whole batch, and use its own rows."""
    numbers, drop_path = count(), timm_class("timm.layers.drop", "DropPath")
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, (nn.Dropout, *drop_path)):
                p = getattr(child, "p" if isinstance(child, nn.Dropout) else "drop_prob")
                setattr(parent, name, SharedDropout(p, isinstance(child, drop_path), next(numbers)))


class SharedDropout(nn.Module):
    """Dropout whose mask is a function of the step and the image's place in the global batch.

    Elements are zero with probability `p` and the others multiplied by 1 / (1 - p); with `whole_images` all of an
    image's elements together (drop-path: Huang et al. 2016, per image as in timm). `number` tells a network's dropouts
    apart: a compiler would else take those of equal inputs for one.
    """

    def __init__(self, p: float, whole_images: bool = False, number: int = 0) -> None:
        super().__init__()
        self.p, self.whole_images, self.number = p, whole_images, number

    def forward(self, x: Tensor) -> Tensor:
        """`[N, ...]` to the same; N is the rows that `seed` was told, or as many for each of them."""
        if not self.training or self.p == 0:
            return x
        if self.p == 1:
            return torch.zeros_like(x)
        draw = _mask if torch.compiler.is_compiling() else mask
        return x * (draw(x.detach(), 1 - self.p, self.whole_images, self.number) / (1 - self.p))

    def extra_repr(self) -> str:
        """The rate, for `print`."""
        return f"p={self.p}{', whole images' if self.whole_images else ''}"


def mask(x: Tensor, keep: float, whole_images: bool, number: int) -> Tensor:
    """Mask of ones and zeros for the rows of the batch that are here, out of the mask of the whole batch."""
    rows, batch_size = _Place.rows, _Place.batch_size
    num_rows = rows.stop - rows.start
    if not num_rows or len(x) % num_rows:  # outside a training's steps
        rows, batch_size, num_rows = slice(0, len(x)), len(x), len(x)
    each = len(x) // num_rows
    shape = [1] * (x.dim() - 1) if whole_images else list(x.shape[1:])
    whole = torch.empty((batch_size * each, *shape), dtype=x.dtype, device=x.device).bernoulli_(keep)
    part = whole[rows.start * each : rows.stop * each]
    return part if len(part) == len(whole) else part.clone()  # autograd would keep all of it


# In a compiled program the mask is drawn as outside of one; it knows nothing of rows and of draws.
_mask = torch.library.custom_op("ilsvrc::mask", mask, mutates_args=(), tags=torch.Tag.nondeterministic_seeded)


@_mask.register_fake
def _shape_of_mask(x: Tensor, keep: float, whole_images: bool, number: int) -> Tensor:
    return x.new_empty([len(x), *([1] * (x.dim() - 1) if whole_images else x.shape[1:])])


def _hash(*place: int | str) -> int:
    digest = hashlib.blake2b(repr(place).encode(), digest_size=4).digest()  # torch's CPU generator takes 32 bits
    return int.from_bytes(digest, "big")
