"""Protocols over a network whose answers are known."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from ilsvrc.evaluation.predictor import (
    PIXELS_A_PASS,
    OtherSizes,
    Predictor,
    average,
    plan,
    predict,
    protocol_views,
    require_each_once,
)
from ilsvrc.evaluation.protocols import single_crop, ten_crop, vgg_dense
from ilsvrc.loading.views import View

NUM_CLASSES = 2


class Shown(NamedTuple):
    pixels: torch.Tensor
    images: torch.Tensor
    views: torch.Tensor


class Batch(NamedTuple):
    shown: list[Shown]
    labels: torch.Tensor
    indices: torch.Tensor


class Batches(list):
    num_images = 5


class LeftAndRight(nn.Module):
    """Logits: ten times the mean of the left half, and of the right half. Notes how many pictures it sees at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(images))
        half = images.shape[3] // 2
        return 10 * torch.stack([images[..., :half].mean((1, 2, 3)), images[..., half:].mean((1, 2, 3))], dim=1)


def normalize(images: torch.Tensor) -> torch.Tensor:
    return images.permute(0, 3, 1, 2).float() / 255


def batches_of(num_views: int, px: int = 4) -> Batches:
    """Five images in two batches, out of order; image i, view v holds 10 * i + v on its left, 0 on its right."""
    batches = Batches()
    for indices in ([3, 0, 4], [1, 2]):
        images = torch.zeros(len(indices), num_views, px, px, 3, dtype=torch.uint8)
        for n, i in enumerate(indices):
            for v in range(num_views):
                images[n, v, :, : px // 2] = 10 * i + v
        shown = one_size(images)
        batches.append(Batch([shown], torch.tensor(indices) % 2, torch.tensor(indices)))
    return batches


def one_size(images: torch.Tensor) -> Shown:
    """Images `[N, V, H, W, 3]` in all of their views."""
    places = torch.cartesian_prod(torch.arange(images.shape[0]), torch.arange(images.shape[1]))
    return Shown(images.flatten(0, 1), places.view(-1, 2)[:, 0], places.view(-1, 2)[:, 1])


def test_protocols_share_one_decode_and_one_pass_a_distinct_view() -> None:
    steps = plan({"single_crop": single_crop.views(80), "ten_crop": ten_crop.views(80)})
    assert len(steps.windows) == 5
    assert not any(view.mirrored for view in steps.windows)
    assert len(steps.passes) == 10
    assert steps.members["single_crop"] == [0]
    assert sorted(steps.members["ten_crop"]) == list(range(10))


def test_a_view_named_twice_counts_twice() -> None:
    view = View(91, 80)
    assert plan({"p": [view, view._replace(mirrored=True), view]}).members == {"p": [0, 1, 0]}


def test_views_that_depend_on_training_are_asked_with_its_sizes() -> None:
    assert protocol_views(ten_crop, 224, (384, 384)) == ten_crop.views(224)
    assert [view.short_side_px for view in protocol_views(vgg_dense, 224, (384, 384))] == [384, 384]


def test_ten_crop_averages_probabilities_over_crops() -> None:
    logits = torch.tensor([[[0.0, 0.0], [0.0, 4.0]]])
    # sigmoid(4) = 0.98201379; its mean with 0.5.
    assert average(logits, ten_crop.AVERAGE)[0].tolist() == pytest.approx([0.25899310, 0.74100690])
    # Of the logits' mean, (0, 2): sigmoid(2).
    assert average(logits, "logits")[0].tolist() == pytest.approx([0.11920292, 0.88079708])


def test_mirrored_views_are_mirrored_left_to_right() -> None:
    view = View(4, 4)
    shown = batches_of(1)[0].shown  # images 3, 0, 4: 30, 0, 40 on the left
    views = [view, view._replace(mirrored=True)]
    logits = Predictor(LeftAndRight(), normalize).logits(shown, 3, plan({"p": views}))
    assert logits.shape == (3, 2, 2)
    torch.testing.assert_close(logits[0], torch.tensor([[300.0, 0.0], [0.0, 300.0]]) / 255)


def test_predictions_stand_in_the_packed_files_order() -> None:
    windows = [View(4, 4), View(5, 4)]
    one = SimpleNamespace(AVERAGE="logits", revision=1)
    two = SimpleNamespace(AVERAGE="logits", revision=1)
    steps = plan({"one": windows[:1], "two": windows})
    rows = {name: np.zeros((5, NUM_CLASSES), np.float32) for name in ("one", "two")}
    times_seen = predict(Predictor(LeftAndRight(), normalize), batches_of(2), steps, {"one": one, "two": two}, rows)
    assert times_seen.tolist() == [1] * 5
    left = np.array([0, 10, 20, 30, 40])
    np.testing.assert_allclose(rows["one"][:, 0], 1 / (1 + np.exp(-10 * left / 255)), rtol=1e-6)
    np.testing.assert_allclose(rows["two"][:, 0], 1 / (1 + np.exp(-10 * (left + 0.5) / 255)), rtol=1e-6)


def test_no_forward_pass_is_larger_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PIXELS_A_PASS, "cpu", 4 * 16 + 15)
    network, steps = LeftAndRight(), plan({"p": [View(4, 4), View(5, 4)]})
    Predictor(network, normalize).logits(batches_of(2)[0].shown, 3, steps)
    assert network.seen == [4, 2]
    monkeypatch.setitem(PIXELS_A_PASS, "cpu", 1)
    Predictor(network, normalize).logits(batches_of(2)[0].shown, 3, steps)
    assert network.seen[2:] == [1] * 6


class Sums(nn.Module):
    """Logits: the sum of red, and `number`; or score maps of them, with the sum in one of four places."""

    def __init__(self, number: float, maps: bool = False) -> None:
        super().__init__()
        self.number, self.maps = number, maps

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = torch.stack([images[:, 0].sum((1, 2)), torch.full((len(images),), self.number)], dim=1)
        if not self.maps:
            return logits
        found = torch.zeros(len(images), NUM_CLASSES, 2, 2)
        found[:, 0, 0, 1], found[:, 1] = logits[:, 0], self.number
        return found


def test_crops_and_whole_pictures_of_many_sizes_go_through_one_batch() -> None:
    crop, larger, whole = View(4, 4), View(6, 6), View(4, None, region="rectangle")
    mirrored = whole._replace(mirrored=True)
    steps = plan({"crop": [crop], "larger": [larger], "dense": [whole, mirrored]})
    ones = torch.ones(4, 6, 6, 3, dtype=torch.uint8)
    shown = [
        Shown(ones[:3, :4, :4], torch.tensor([0, 1, 1]), torch.tensor([0, 0, 2])),  # image 1 is a square
        Shown(ones[:1, :4], torch.tensor([0]), torch.tensor([2])),
        Shown(ones[:2], torch.tensor([0, 1]), torch.tensor([1, 1])),
    ]
    others = OtherSizes(4, lambda images: 10 * normalize(255 * images.float()), Sums(3, maps=True))
    predictor = Predictor(Sums(2), lambda images: normalize(255 * images.float()), others=others)
    logits = predictor.logits(shown, 2, steps)
    assert [view.crop_px for view in steps.passes] == [4, 6, None, None]
    # The crop, and what has its size: 16 pixels. Others: ten times the pixels, and of a map the mean of four places.
    assert logits[0].tolist() == [[16, 2], [360, 2], [240 / 4, 3], [240 / 4, 3]]
    assert logits[1].tolist() == [[16, 2], [360, 2], [16, 2], [16, 2]]


def test_a_dense_protocol_takes_the_maps_mean_before_the_softmax() -> None:
    steps = plan({"dense": [View(2, None, region="rectangle")]})
    shown = [Shown(torch.full((1, 2, 3, 3), 1, dtype=torch.uint8), torch.tensor([0]), torch.tensor([0]))]
    others = OtherSizes(2, lambda images: normalize(255 * images.float()), Sums(0, maps=True))
    logits = Predictor(Sums(0), normalize, others=others).logits(shown, 1, steps)
    # The sum, 6, in one place of four: 1.5; sigmoid(1.5). The mean of the places' softmax would be 0.624.
    assert average(logits, vgg_dense.AVERAGE)[0, 0].item() == pytest.approx(0.81757448)


@pytest.mark.parametrize("fault", ["twice", "never"])
def test_images_that_do_not_come_exactly_once_are_an_error(fault: str) -> None:
    batches = batches_of(1)
    if fault == "twice":
        batches[1].indices[0] = 2
    else:
        batches.pop()
    steps, rows = plan({"p": [View(4, 4)]}), {"p": np.zeros((5, NUM_CLASSES), np.float32)}
    times_seen = predict(Predictor(LeftAndRight(), normalize), batches, steps, {"p": single_crop}, rows)
    with pytest.raises(ValueError, match="exactly once"):
        require_each_once(times_seen)
