"""Which numbers a network computes in: chosen by a rule on the hardware, never by a stopwatch.

Weights, gradients' sums, losses and batch-norm statistics are float32 in every precision but float64. bfloat16 works by
torch's autocast. float32 is IEEE's on every device: no TF32.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch

PRECISIONS = ("float32", "bfloat16", "float64")
CPU_FLAGS = ("avx512_bf16", "amx_bf16")

Autocast = Callable[[], AbstractContextManager[Any]]


def choose(asked: str, device: torch.device) -> str:
    """`asked`, or for `auto` bfloat16 where the device multiplies it in hardware and float32 elsewhere.

    Raises:
        ValueError: there is no such precision.
    """
    if asked == "auto":
        return "bfloat16" if has_bfloat16(device) else "float32"
    if asked not in PRECISIONS:
        raise ValueError(f"precision = {asked!r}; it can be auto, {', '.join(PRECISIONS)}")
    return asked


def has_bfloat16(device: torch.device) -> bool:
    """The device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    cpuinfo = Path("/proc/cpuinfo")
    words = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    return not words.isdisjoint(CPU_FLAGS)


def autocast(precision: str, device: torch.device) -> Autocast:
    """What a forward pass runs in."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    if precision == "bfloat16":
        return partial(torch.autocast, device.type, dtype=torch.bfloat16)
    return nullcontext


def weights_dtype(precision: str) -> torch.dtype:
    """What the weights are kept in."""
    return torch.float64 if precision == "float64" else torch.float32
