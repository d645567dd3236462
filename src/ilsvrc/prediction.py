"""Forward passes over a test split: one decode an image, one pass a distinct view, any number of protocols.

Protocols share views: ten crops hold the single one. The loader decodes the union of their unmirrored windows once,
the device mirrors, the network sees each distinct view once, and each protocol averages its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ilsvrc import progress
from ilsvrc.views import View

VIEWS_A_PASS = 64  # bounds the memory of a forward pass, whatever the protocols


class Averaging(Protocol):
    """What averages views: a module of `protocols/`."""

    revision: int
    AVERAGE: str

    def views(self, crop_px: int) -> list[View]:
        """The views of a picture."""


class Plan(NamedTuple):
    """Which windows are decoded, which views are passed, and who averages which.

    `windows` are unmirrored and distinct; `passes` are the distinct views; `members` holds each protocol's places in
    `passes`, and a view that a protocol names twice counts twice.
    """

    windows: list[View]
    passes: list[View]
    members: dict[str, list[int]]

    @property
    def batch_size(self) -> int:
        """Images a batch, so that its views fill one pass."""
        return max(1, VIEWS_A_PASS // len(self.passes))


def plan(views: Mapping[str, Sequence[View]]) -> Plan:
    """The least work that serves every protocol: `views` holds each one's."""
    passes = list(dict.fromkeys(view for each in views.values() for view in each))
    windows = list(dict.fromkeys(view._replace(mirrored=False) for view in passes))
    return Plan(windows, passes, {name: [passes.index(view) for view in each] for name, each in views.items()})


class Predictor:
    """A network in evaluation mode on its device, with its pixels' normalisation and its precision."""

    def __init__(
        self,
        network: nn.Module,
        normalize: Callable[[Tensor], Tensor],
        device: torch.device | str = "cpu",
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device).to(memory_format=torch.channels_last).eval()
        self.normalize = normalize
        self.autocast = autocast
        self.several = False  # classes a picture may have

    @torch.inference_mode()
    def logits(self, images: Tensor, passes: Sequence[View], windows: Sequence[View]) -> Tensor:
        """Class scores float32 `[N, P, K]` of decoded windows uint8 `[N, V, H, W, 3]`, for each of `passes`."""
        images = images.to(self.device, non_blocking=True)
        places = [windows.index(view._replace(mirrored=False)) for view in passes]
        seen = torch.stack(
            [images[:, v].flip(2) if view.mirrored else images[:, v] for v, view in zip(places, passes, strict=True)],
            dim=1,
        )  # N x P x H x W x 3
        with self.autocast():
            parts = [self.network(self.normalize(part)).float() for part in seen.flatten(0, 1).split(VIEWS_A_PASS)]
        return torch.cat(parts).unflatten(0, seen.shape[:2])


def average(logits: Tensor, how: str, several: bool = False) -> Tensor:
    """Class probabilities `[N, K]` of a protocol's views `[N, P, K]`: the mean of probabilities, or of logits.

    Of softmax; of a sigmoid for each class where a picture may have `several`.
    """
    probabilities = torch.sigmoid if several else partial(torch.softmax, dim=-1)
    if how == "probabilities":
        return probabilities(logits).mean(dim=1)
    if how == "logits":
        return probabilities(logits.mean(dim=1))
    raise ValueError(f"AVERAGE = {how!r} of a protocol; it can be 'probabilities' or 'logits'")


def predict(
    predictor: Predictor, batches: Iterable[Any], steps: Plan, protocols: Mapping[str, Averaging], num_classes: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Class probabilities float32 `[N, K]` by protocol, and labels int64 `[N]`, in the packed file's order.

    `batches` knows `num_images` and yields batches of images uint8 `[n, V, H, W, 3]` of `steps.windows`, labels and
    indices.

    Raises:
        ValueError: an image came twice or never.
    """
    total: int = batches.num_images  # type: ignore[attr-defined]
    probabilities = {name: np.empty((total, num_classes), np.float32) for name in protocols}
    labels, times_seen = np.empty(total, np.int64), np.zeros(total, np.int64)
    with progress.bar("predict", total) as shown:
        for batch in batches:
            at = np.asarray(batch.indices)
            logits = predictor.logits(torch.as_tensor(batch.images), steps.passes, steps.windows)
            for name, protocol in protocols.items():
                found = average(logits[:, steps.members[name]], protocol.AVERAGE, predictor.several)
                probabilities[name][at] = found.cpu().numpy()
            labels[at] = np.asarray(batch.labels)
            np.add.at(times_seen, at, 1)
            shown.update(len(at))
    if (times_seen != 1).any():
        raise ValueError(f"{(times_seen != 1).sum()} of {total} images did not come exactly once; pack the data again")
    return probabilities, labels
