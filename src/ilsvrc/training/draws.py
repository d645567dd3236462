"""What a step draws, the same at any number of processes: each draws for the whole batch and takes its own rows.

The seeds are functions of (seed, step), so that a training that was stopped draws on as if nothing had happened.
"""

import hashlib

import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn

from ilsvrc.layers import seed_batch_draws


class _Place:
    """The rows of the global batch that are passed at the moment."""

    rows = slice(0, 0)
    batch_size = 0


def seed(seed: int, step: int, rows: slice, batch_size: int) -> None:
    """Before a step, or a part of one, on `rows` of a batch of `batch_size` over all processes."""
    _Place.rows, _Place.batch_size = rows, batch_size
    torch.manual_seed(_hash(seed, step))
    seed_batch_draws(_hash(seed, step, "batch"))


def share(network: nn.Module) -> None:
    """Lets every dropout and drop-path of `network` draw for the whole batch."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, (nn.Dropout, DropPath)):
                p = child.p if isinstance(child, nn.Dropout) else child.drop_prob
                setattr(parent, name, SharedDropout(p, whole_images=isinstance(child, DropPath)))


class SharedDropout(nn.Module):
    """Dropout whose mask is a function of the step and the image's place in the global batch.

    Elements are zero with probability `p` and the others multiplied by 1 / (1 - p); with `whole_images` all of an
    image's elements together (drop-path: Huang et al. 2016, per image as in timm).
    """

    def __init__(self, p: float, whole_images: bool = False) -> None:
        super().__init__()
        self.p, self.whole_images = p, whole_images

    def forward(self, x: Tensor) -> Tensor:
        """`[N, ...]` to the same; N is the rows that `seed` was told, or as many for each of them."""
        if not self.training or self.p == 0:
            return x
        return x * (self._mask(x) / (1 - self.p)) if self.p < 1 else torch.zeros_like(x)

    def _mask(self, x: Tensor) -> Tensor:
        """Ones and zeros for the rows that are here, out of those of the whole batch."""
        rows, batch_size = _Place.rows, _Place.batch_size
        mine = rows.stop - rows.start
        if not mine or len(x) % mine:  # outside a training's steps
            rows, batch_size, mine = slice(0, len(x)), len(x), len(x)
        each = len(x) // mine
        shape = [1] * (x.dim() - 1) if self.whole_images else list(x.shape[1:])
        whole = torch.empty((batch_size * each, *shape), dtype=x.dtype, device=x.device).bernoulli_(1 - self.p)
        part = whole[rows.start * each : rows.stop * each]
        return part if len(part) == len(whole) else part.clone()  # autograd would keep all of it

    def extra_repr(self) -> str:
        """The rate, for `print`."""
        return f"p={self.p}{', whole images' if self.whole_images else ''}"


def _hash(*place: int | str) -> int:
    digest = hashlib.blake2b(repr(place).encode(), digest_size=4).digest()  # torch's CPU generator takes 32 bits
    return int.from_bytes(digest, "big")
