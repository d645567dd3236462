"""Compilation of an objective by `torch.compile` into one program, where that pays and where it is possible."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ilsvrc.runtime.ddp import preserved_state

CHOICES = ("auto", "on", "off")
IN_YAML = {"True": "on", "False": "off"}  # what a profile's `compile: on` becomes
MIN_STEPS = 10_000  # see `choose`
MAX_PROGRAMS = 64  # one for each size of images and of micro-batches
COMPILER = {"backend": "inductor", "options": {"fallback_random": True}}  # draws are torch's, as without it


def choose(asked: str, device: torch.device, steps: int) -> str:
    """Compilation, "on" or "off": `asked`, or for `auto` a rule on the device and on the number of steps.

    Compiling takes minutes, which a GPU's shorter steps pay back in a long training: from how many steps on is a
    judgement, not a measurement. On a CPU compiled steps took longer than plain ones.

    Raises:
        ValueError: there is no such choice.
    """
    asked = IN_YAML.get(asked, asked)
    if asked not in CHOICES:
        raise ValueError(f"compile = {asked!r}; it can be {', '.join(CHOICES)} (profile)")
    if asked != "auto":
        return asked
    return "on" if device.type == "cuda" and steps >= MIN_STEPS else "off"


class Compiled(nn.Module):
    """Objective that is compiled at the first pass of each shape of its inputs: in whole, or not at all.

    A trial pass, forward and backward, comes before it and counts for nothing. Where that fails (no compiler,
    statistics that go between processes, layers that differ from step to step), `tell` is told why, and training goes
    on without compilation. The objective's modules, and so the weights' names, stay what they are.
    """

    def __init__(self, objective: nn.Module, tell: Callable[[str], None]) -> None:
        super().__init__()
        self.objective, self.tell = objective, tell
        self.tried: set[Any] = set()
        self.seconds = 0.0  # that compiling took
        self.is_given_up = False
        # the wrapper that distributes would cut the program where its buckets end, which LRN's backward cannot bear
        torch._dynamo.config.optimize_ddp = False
        torch._dynamo.config.recompile_limit = MAX_PROGRAMS
        objective.compile(fullgraph=True, dynamic=False, **COMPILER)

    def forward(self, *inputs: Any) -> Any:
        """The objective's outputs."""
        what = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        if what not in self.tried and not self.is_given_up and torch.is_grad_enabled():
            self.tried.add(what)
            self._try(inputs)
        return self.objective(*inputs)

    def _try(self, inputs: tuple[Any, ...]) -> None:
        trained = [parameter for parameter in self.objective.parameters() if parameter.requires_grad]
        began = time.perf_counter()
        try:
            with preserved_state(self.objective):
                torch.autograd.grad(self.objective(*inputs)[0], trained, allow_unused=True)
        except Exception as error:  # of a compiler's many kinds; what is wrong without it too comes again
            self.is_given_up = True
            self.objective._compiled_call_impl = None
            self.tell(" ".join(str(error).split())[:200] or type(error).__name__)
        self.seconds += time.perf_counter() - began
