"""Precision of a network's arithmetic: chosen by a rule on the hardware, never by a measurement.

Weights, gradients' sums, losses and batch-norm statistics are float32 in every precision but float64. bfloat16 and
float16 work by torch's autocast. float32 is IEEE's on every device: no TF32.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

PRECISIONS = ("float32", "bfloat16", "float16", "float64")
LOWER = {"bfloat16": torch.bfloat16, "float16": torch.float16}
CPU_FLAGS = ("avx512_bf16", "amx_bf16")

Autocast = Callable[[], AbstractContextManager[Any]]


def choose(requested: str, device: torch.device) -> str:
    """`requested` precision; `auto` is bfloat16 if the device multiplies it in hardware, else float32.

    Raises:
        ValueError: there is no such precision, or not on the device.
    """
    if requested == "auto":
        return "bfloat16" if has_bfloat16(device) else "float32"
    if requested not in PRECISIONS:
        raise ValueError(f"precision = {requested!r}; it can be auto, {', '.join(PRECISIONS)}")
    if requested == "float16" and device.type != "cuda":
        raise ValueError("precision = float16 wants a GPU; set precision: bfloat16, which a CPU has too, or float32")
    return requested


def has_bfloat16(device: torch.device) -> bool:
    """True if the device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    cpuinfo = Path("/proc/cpuinfo")
    words = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    return not words.isdisjoint(CPU_FLAGS)


def autocast(precision: str, device: torch.device) -> Autocast:
    """Context of a forward pass: autocast for bfloat16 and float16, else none."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    if precision in LOWER:
        return partial(torch.autocast, device.type, dtype=LOWER[precision])
    return nullcontext


def weights_dtype(precision: str) -> torch.dtype:
    """Data type of the weights: float64, or float32 for all other precisions."""
    return torch.float64 if precision == "float64" else torch.float32


class LossScale:
    """Dynamic loss scaling, which keeps gradients in float16's range (Micikevicius et al. 2017, section 3.2).

    It begins at 65536, doubles after 2000 steps in a row whose gradients were finite, and halves after one whose were
    not; that step moves no weight. Between `unscale` and `step` gradients are those of the loss itself, to be clipped.
    """

    def __init__(self, device_type: str = "cuda") -> None:
        self.scaler = torch.amp.GradScaler(device_type)

    def __call__(self, loss: Tensor) -> Tensor:
        """`loss` times the factor, for the backward pass."""
        scaled: Tensor = self.scaler.scale(loss)
        return scaled

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Divides gradients by the factor, once a step."""
        self.scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """The optimizer's step, skipped if a gradient is not finite; then updates the factor."""
        self.scaler.step(optimizer)
        self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """State of the scaler: the factor, and the number of steps with finite gradients."""
        return self.scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores the state of `state_dict`."""
        self.scaler.load_state_dict(state)
