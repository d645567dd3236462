"""The contract of a test protocol, a module of `protocols/`: its views, its revision, and the mean of its outputs."""

import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Literal, Protocol, get_args

from ilsvrc.loading.views import View

Average = Literal["probabilities", "logits"]
CONTRACT = (
    "a test protocol defines views(crop_px) or views(crop_px, train_short_sides_px), revision (a whole number from 1) "
    f"and AVERAGE ({' or '.join(map(repr, get_args(Average)))})"
)


class ProtocolModule(Protocol):
    """A test protocol: the views of an image, and how the network's outputs for them are averaged.

    `revision` counts changes of the protocol: predictions of another revision are made anew.
    """

    revision: int
    AVERAGE: Average

    @property
    def views(self) -> Callable[..., list[View]]:
        """`views(crop_px)`, or `views(crop_px, train_short_sides_px)`: the views of an image."""


def check_plugin(module: ModuleType) -> None:
    """Refuses a module that is no test protocol.

    Raises:
        ValueError: it breaks the contract; the message names the file, the fault and the contract.
    """
    fault = _fault(module)
    if fault:
        raise ValueError(f"{Path(module.__file__ or module.__name__)} {fault}; {CONTRACT}")


def _fault(module: ModuleType) -> str | None:
    for name in ("views", "revision", "AVERAGE"):
        if not hasattr(module, name):
            return f"has no {name}"
    if not callable(module.views) or len(inspect.signature(module.views).parameters) not in (1, 2):
        return "has views that is no function of one or two arguments"
    if not isinstance(module.revision, int) or module.revision < 1:
        return f"has revision = {module.revision!r}"
    if module.AVERAGE not in get_args(Average):
        return f"has AVERAGE = {module.AVERAGE!r}"
    return None
