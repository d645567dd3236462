"""The kernels of a network's first layer as one image: Krizhevsky et al. 2012, Figure 3."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ilsvrc.evaluation.inspection.drawing import enlarged

KERNEL_PX, GAP_PX, GROUP_GAP_PX = 36, 2, 10


class Kernels(NamedTuple):
    """Kernels of the first layer `[C, 3, H, W]`, and in how many groups they stand (AlexNet: one a GPU)."""

    weights: Tensor
    groups: int


def first_layer_kernels(network: nn.Module) -> Kernels | None:
    """The kernels of the first layer; None where no convolution takes an image's three channels.

    They stand in two groups where the next convolution has two, and in as many as there are first layers side by side.
    """
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    first = [module for module in convolutions if module.in_channels == 3 and module.groups == 1]
    side_by_side = [module.weight.detach() for module in first if module.weight.shape == first[0].weight.shape]
    if not side_by_side:
        return None
    weights = torch.cat(side_by_side).float().cpu()
    after = convolutions[convolutions.index(first[0]) + 1 :]
    halves = len(first) == 1 and bool(after) and after[0].groups == 2 and len(weights) % 2 == 0
    return Kernels(weights, 2 if halves else len(side_by_side))


def mosaic(kernels: Kernels) -> np.ndarray:
    """All kernels in rows, uint8 `[H, W, 4]`, each from its own least value (0) to its largest (255).

    What lies between them is transparent; groups stand below one another, with more between them.
    """
    tiles = np.stack([enlarged(_visible(one), KERNEL_PX) for one in kernels.weights.permute(0, 2, 3, 1).numpy()])
    parts = np.split(tiles, kernels.groups)
    columns = _columns(len(tiles), len(parts[0]))
    grids = [_grid(part, columns) for part in parts]
    between = np.zeros((GROUP_GAP_PX, grids[0].shape[1], 4), np.uint8)
    return np.concatenate([grids[0], *(part for grid in grids[1:] for part in (between, grid))])


def _visible(kernel: np.ndarray) -> np.ndarray:
    """A kernel `[H, W, 3]` as opaque uint8 `[H, W, 4]`."""
    low, high = kernel.min(), kernel.max()
    shown = (255 * (kernel - low) / max(high - low, np.finfo(np.float32).tiny)).round().astype(np.uint8)
    return np.concatenate([shown, np.full_like(shown[..., :1], 255)], axis=-1)


def _columns(total: int, in_group: int) -> int:
    """Of the numbers that divide a group evenly the least that makes no more rows than columns: 12 for AlexNet's 96."""
    least = math.ceil(math.sqrt(total))
    return next((columns for columns in range(least, 2 * least) if in_group % columns == 0), least)


def _grid(tiles: np.ndarray, columns: int) -> np.ndarray:
    count, height, width, _ = tiles.shape
    rows = -(-count // columns)
    grid = np.zeros((rows * (height + GAP_PX) - GAP_PX, columns * (width + GAP_PX) - GAP_PX, 4), np.uint8)
    for place, tile in enumerate(tiles):
        top, left = place // columns * (height + GAP_PX), place % columns * (width + GAP_PX)
        grid[top : top + height, left : left + width] = tile
    return grid
