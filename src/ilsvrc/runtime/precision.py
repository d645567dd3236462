"""Which numbers a network computes in: chosen by a rule on the hardware, never by a stopwatch.

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


def choose(asked: str, device: torch.device) -> str:
    """`asked`, or for `auto` bfloat16 where the device multiplies it in hardware and float32 elsewhere.

    Raises:
        ValueError: there is no such precision, or not on the device.
    """
    if asked == "auto":
        return "bfloat16" if has_bfloat16(device) else "float32"
    if asked not in PRECISIONS:
        raise ValueError(f"precision = {asked!r}; it can be auto, {', '.join(PRECISIONS)}")
    if asked == "float16" and device.type != "cuda":
        raise ValueError("precision = float16 wants a GPU; set precision: bfloat16, which a CPU has too, or float32")
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
    if precision in LOWER:
        return partial(torch.autocast, device.type, dtype=LOWER[precision])
    return nullcontext


def weights_dtype(precision: str) -> torch.dtype:
    """What the weights are kept in."""
    return torch.float64 if precision == "float64" else torch.float32


class LossScale:
    """A factor of the loss that keeps gradients inside float16's range (Micikevicius et al. 2017, section 3.2).

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
        """The optimizer's step, where gradients were finite; then the factor changes."""
        self.scaler.step(optimizer)
        self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """The factor, and for how many steps gradients were finite."""
        return self.scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what `state_dict` gave."""
        self.scaler.load_state_dict(state)
