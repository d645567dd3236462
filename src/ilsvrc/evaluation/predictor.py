"""Forward passes over a test split: one decode an image, one pass a distinct view, any number of protocols.

Protocols share views: ten crops hold the single one. The loader decodes the union of their unmirrored windows once,
the device mirrors, the network sees each distinct view once, and each protocol averages its own. Views of one size are
passed together, whichever image or protocol they are of.
"""

import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, assert_never

import numpy as np
import torch
from torch import Tensor, nn

from ilsvrc.evaluation.protocol_contract import Average, ProtocolModule
from ilsvrc.loading.views import View
from ilsvrc.runtime import progress

# Bound on the memory of a forward pass, whatever the protocols; one image at least. A CPU's caches hold less: with
# 64 images a pass ResNet-18 sees 8 % fewer a second than with 16.
PIXELS_A_PASS = {"cpu": 16 * 224 * 224, "cuda": 64 * 224 * 224}


Activation = Callable[[Tensor], Tensor]


def softmax(logits: Tensor) -> Tensor:
    """Class probabilities of single-label logits `[..., K]`."""
    return logits.softmax(dim=-1)


class Plan(NamedTuple):
    """Plan of a test: the windows to decode, the views to pass, and the views that each protocol averages.

    `windows` are unmirrored and distinct; `passes` are the distinct views; `members` holds each protocol's places in
    `passes`, and a view that a protocol names twice counts twice.
    """

    windows: list[View]
    passes: list[View]
    members: dict[str, list[int]]

    def pass_indices(self, dense: bool, mirrored: bool) -> Tensor:
        """The place in `passes` of each window of a kind, as it is or mirrored; -1 where nobody asks for it."""
        places = {view: place for place, view in enumerate(self.passes) if (view.crop_px is None) == dense}
        return torch.tensor([places.get(window._replace(mirrored=mirrored), -1) for window in self.windows])


class OtherSizes(NamedTuple):
    """Normalization and network for images whose sides are not both `crop_px`."""

    crop_px: int
    normalize: Callable[[Tensor], Tensor]
    dense: nn.Module | None = None  # float [N, 3, H, W] to score maps [N, K, h, w], for views of whole regions


def protocol_views(
    protocol: ProtocolModule, crop_px: int, train_short_sides_px: tuple[int, int] | None = None
) -> list[View]:
    """A protocol's views for a network of `crop_px`.

    `train_short_sides_px`, the least and the largest short side in training, goes to those that depend on it.
    """
    if len(inspect.signature(protocol.views).parameters) > 1:
        return protocol.views(crop_px, train_short_sides_px)
    return protocol.views(crop_px)


def plan(views: Mapping[str, Sequence[View]]) -> Plan:
    """The least work that serves every protocol: `views` holds each one's."""
    passes = list(dict.fromkeys(view for each in views.values() for view in each))
    windows = list(dict.fromkeys(view._replace(mirrored=False) for view in passes))
    places = {view: place for place, view in enumerate(passes)}
    return Plan(windows, passes, {name: [places[view] for view in each] for name, each in views.items()})


class Predictor:
    """A network in evaluation mode on its device, with the normalization of its input, its precision and activation."""

    def __init__(
        self,
        network: nn.Module,
        normalize: Callable[[Tensor], Tensor],
        device: torch.device | str = "cpu",
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
        others: OtherSizes | None = None,
        activation: Activation = softmax,
    ) -> None:
        self.device = torch.device(device)
        self.network = self._ready(network)
        self.normalize = normalize
        self.autocast = autocast
        self.activation = activation
        self.others = others
        if others is not None and others.dense is not None:
            self.others = others._replace(dense=self._ready(others.dense))

    def _ready(self, network: nn.Module) -> nn.Module:
        return network.to(self.device).to(memory_format=torch.channels_last).eval()

    @torch.inference_mode()
    def logits(self, shown: Sequence[Any], num_images: int, steps: Plan) -> Tensor:
        """Class scores float32 `[N, P, K]` of a batch's images for each of `steps.passes`.

        `shown` are its views by size: each has `pixels`, uint8 `[M, H, W, 3]`, and int64 `[M]` `images` and `views`,
        which say of what image of the batch and which of `steps.windows` they are.
        """
        parts = []
        kinds = {kind: steps.pass_indices(*kind) for kind in itertools.product((False, True), repeat=2)}
        for one in shown:
            pixels = one.pixels.to(self.device, non_blocking=True)
            most = max(1, PIXELS_A_PASS[self.device.type] // (pixels.shape[1] * pixels.shape[2]))
            for (dense, mirrored), places in kinds.items():
                passes = places[one.views]
                asked = (passes >= 0).nonzero()[:, 0]
                for some in torch.split(asked, most) if len(asked) else ():
                    images = pixels[some.to(self.device)]
                    scores = self.scores(images.flip(2) if mirrored else images, dense)
                    parts.append((one.images[some], passes[some], scores))
        found = parts[0][2].new_empty(num_images, len(steps.passes), parts[0][2].shape[1])
        for images, passes, scores in parts:
            found[images.to(self.device), passes.to(self.device)] = scores
        return found

    def scores(self, images: Tensor, dense: bool = False) -> Tensor:
        """Logits float32 `[M, K]` of images of one size, uint8 `[M, H, W, 3]`.

        With `dense`, the mean over space of the fully convolutional network's score maps.
        """
        network, normalize = self.network, self.normalize
        if self.others is not None and tuple(images.shape[1:3]) != (self.others.crop_px,) * 2:
            normalize = self.others.normalize
            network = self.others.dense if dense and self.others.dense is not None else network
        with self.autocast():
            scores: Tensor = network(normalize(images)).float()
        return scores.mean(dim=(2, 3)) if scores.dim() == 4 else scores


def average(logits: Tensor, how: Average, activation: Activation = softmax) -> Tensor:
    """Class probabilities `[N, K]` of a protocol's views `[N, P, K]`: the mean of probabilities, or of logits."""
    match how:
        case "probabilities":
            return activation(logits).mean(dim=1)
        case "logits":
            return activation(logits.mean(dim=1))
        case _:
            assert_never(how)


def predict(
    predictor: Predictor,
    batches: Iterable[Any],
    steps: Plan,
    protocols: Mapping[str, ProtocolModule],
    rows: Mapping[str, np.ndarray],
    shown: bool = True,
) -> np.ndarray:
    """Fills each protocol's `rows` with the class probabilities of the images that `batches` hold.

    Args:
        predictor: the network.
        batches: knows `num_images`, and yields batches of views by size (`shown`, see `Predictor.logits`), labels and
            indices.
        steps: what the batches' views are.
        protocols: what to average, by name.
        rows: float32 `[N, K]` for each of `protocols`, of all images of the split; an image's row is its index.
        shown: whether progress is shown.

    Returns:
        How often each of the N images came, int64 `[N]`.
    """
    times_seen = np.zeros(len(next(iter(rows.values()))), np.int64)
    total: int = batches.num_images  # type: ignore[attr-defined]
    with progress.bar("predict", total, disable=not shown) as bar:
        for batch in batches:
            at = np.asarray(batch.indices)
            logits = predictor.logits(batch.shown, len(at), steps)
            for name, protocol in protocols.items():
                found = average(logits[:, steps.members[name]], protocol.AVERAGE, predictor.activation)
                rows[name][at] = found.cpu().numpy()
            np.add.at(times_seen, at, 1)
            bar.update(len(at))
    return times_seen


def require_each_once(times_seen: np.ndarray) -> None:
    """Refuses a test that left out an image or counted one twice.

    Raises:
        ValueError: says how many.
    """
    wrong = int((times_seen != 1).sum())
    if wrong:
        raise ValueError(f"{wrong} of {len(times_seen)} images did not come exactly once; pack the data again")
