"""Protocols over a network whose answers are known."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from ilsvrc import prediction
from ilsvrc.prediction import Predictor, average, plan, predict
from ilsvrc.protocols import single_crop, ten_crop
from ilsvrc.views import View

NUM_CLASSES = 2


class Batch(NamedTuple):
    images: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor


class Batches(list):
    num_images = 5


class LeftAndRight(nn.Module):
    """Logits: ten times the mean of the left half, and of the right half. Counts the images that it sees."""

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
        batches.append(Batch(images, torch.tensor(indices) % 2, torch.tensor(indices)))
    return batches


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


def test_a_batch_holds_the_same_number_of_views_for_any_protocol() -> None:
    assert plan({"p": single_crop.views(80)}).batch_size == 64
    assert plan({"p": ten_crop.views(80)}).batch_size == 6
    many = [View(256 + i, 224) for i in range(144)]
    assert plan({"p": many}).batch_size == 1


def test_ten_crop_averages_probabilities_over_crops() -> None:
    logits = torch.tensor([[[0.0, 0.0], [0.0, 4.0]]])
    # sigmoid(4) = 0.98201379; its mean with 0.5.
    assert average(logits, ten_crop.AVERAGE)[0].tolist() == pytest.approx([0.25899310, 0.74100690])
    # Of the logits' mean, (0, 2): sigmoid(2).
    assert average(logits, "logits")[0].tolist() == pytest.approx([0.11920292, 0.88079708])


def test_an_unknown_average_is_named() -> None:
    with pytest.raises(ValueError, match="AVERAGE = 'median'"):
        average(torch.zeros(1, 1, 2), "median")


def test_mirrored_views_are_mirrored_left_to_right() -> None:
    view = View(4, 4)
    images = batches_of(1)[0].images  # images 3, 0, 4: 30, 0, 40 on the left
    views = [view, view._replace(mirrored=True)]
    logits = Predictor(LeftAndRight(), normalize).logits(images, views, [view])
    assert logits.shape == (3, 2, 2)
    torch.testing.assert_close(logits[0], torch.tensor([[300.0, 0.0], [0.0, 300.0]]) / 255)


def test_predictions_stand_in_the_packed_files_order() -> None:
    windows = [View(4, 4), View(5, 4)]
    one = SimpleNamespace(AVERAGE="logits", revision=1)
    two = SimpleNamespace(AVERAGE="logits", revision=1)
    steps = plan({"one": windows[:1], "two": windows})
    predictor = Predictor(LeftAndRight(), normalize)
    found, labels = predict(predictor, batches_of(2), steps, {"one": one, "two": two}, NUM_CLASSES)
    assert labels.tolist() == [0, 1, 0, 1, 0]
    left = np.array([0, 10, 20, 30, 40])
    np.testing.assert_allclose(found["one"][:, 0], 1 / (1 + np.exp(-10 * left / 255)), rtol=1e-6)
    np.testing.assert_allclose(found["two"][:, 0], 1 / (1 + np.exp(-10 * (left + 0.5) / 255)), rtol=1e-6)
    assert found["two"].dtype == np.float32


def test_no_forward_pass_is_larger_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "VIEWS_A_PASS", 4)
    network = LeftAndRight()
    Predictor(network, normalize).logits(batches_of(2)[0].images, [View(4, 4), View(5, 4)], [View(4, 4), View(5, 4)])
    assert network.seen == [4, 2]


@pytest.mark.parametrize("fault", ["twice", "never"])
def test_images_that_do_not_come_exactly_once_are_an_error(fault: str) -> None:
    batches = batches_of(1)
    if fault == "twice":
        batches[1].indices[0] = 2
    else:
        batches.pop()
    steps = plan({"p": [View(4, 4)]})
    with pytest.raises(ValueError, match="exactly once"):
        predict(Predictor(LeftAndRight(), normalize), batches, steps, {"p": single_crop}, NUM_CLASSES)
