"""The epoch that is reported, where it is the one with the lowest validation error."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from ilsvrc.config.recipe import Recipe
from ilsvrc.training import build, checkpoint, loop, outputs
from ilsvrc.training.best_checkpoint import BestEpoch
from ilsvrc.training.health_checks import StoppedError
from ilsvrc.training.state import Progress, Training
from ilsvrc.training.weight_averaging import WeightAverage

ERRORS = [50.0, 20.0, 30.0, 20.0, 40.0]  # the second epoch is the first of the two best


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """What was tested after each epoch; the errors are `ERRORS`."""
    tested: list[dict[str, Tensor]] = []

    def evaluate(objective: Any, *_: Any) -> dict[str, float]:
        tested.append({name: value.clone() for name, value in objective.network.state_dict().items()})
        return {"validation_loss": 1.0, "validation_top1_error_percent": ERRORS[len(tested) - 1]}

    monkeypatch.setattr(loop, "evaluate", evaluate)
    return tested


def training(averaging: str | None = None) -> Training:
    made = tiny.training(epochs=len(ERRORS))
    made.weight_average = averaging and WeightAverage(made.network, averaging, 0.9)
    made.best_checkpoint = BestEpoch(made.network)
    return made


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, found[name]) for name, value in expected.items())


@pytest.mark.parametrize("averaging", [None, "exponential", "polyak"])
def test_the_network_ends_as_it_was_tested_after_the_first_of_the_best_epochs(errors, averaging):
    trained, progress = training(averaging), Progress()
    loop.train(trained, tiny.Batches(), tiny.validation, progress, tiny.Listener())
    assert (trained.best_checkpoint.epoch, trained.best_checkpoint.error) == (2, 20.0)
    assert same(trained.network.state_dict(), errors[1])
    assert not same(trained.network.state_dict(), errors[3])
    assert outputs.reported(trained, progress.history)["epoch"] == 2
    with trained.swapped():  # as what is written and what statistics are recomputed with
        assert same(trained.network.state_dict(), errors[1])


def test_without_it_the_last_epoch_is_reported(errors):
    trained, progress = training(), Progress()
    trained.best_checkpoint = None
    loop.train(trained, tiny.Batches(), tiny.validation, progress, tiny.Listener())
    assert same(trained.network.state_dict(), errors[4])
    assert outputs.reported(trained, progress.history)["epoch"] == 5
    assert "best" not in trained.stateful_parts()


@pytest.mark.parametrize("after", [1, 2, 3, 5])
def test_a_training_that_was_taken_up_again_reports_the_same(errors, after, tmp_path):
    whole = training("exponential")
    loop.train(whole, tiny.Batches(), tiny.validation, Progress(), tiny.Listener())
    stopped, saves = training("exponential"), []

    def save_and_stop(progress: Progress) -> None:
        checkpoint.save(tmp_path, stopped, progress, identity={})
        saves.append(progress)
        if len(saves) == after:
            raise StoppedError

    errors.clear()
    with pytest.raises(StoppedError):
        loop.train(stopped, tiny.Batches(), tiny.validation, Progress(), tiny.Listener(save_and_stop))
    again = training("exponential")
    progress = checkpoint.restore(checkpoint.load(tmp_path, {})[0], again)
    loop.train(again, tiny.Batches(), tiny.validation, progress, tiny.Listener())
    assert (again.best_checkpoint.epoch, again.best_checkpoint.error) == (2, 20.0)
    assert same(again.network.state_dict(), whole.network.state_dict())


def test_what_is_kept_does_not_change_with_the_network():
    network = tiny.Linear()
    best = BestEpoch(network)
    best.consider(1, 10.0)
    before = network.linear.weight.detach().clone()
    with torch.no_grad():
        network.linear.weight.zero_()
    best.consider(2, 10.0), best.consider(3, math.nan)
    assert torch.equal(best.weights["linear.weight"], before)
    best.take()
    assert torch.equal(network.linear.weight, before)


def test_statistics_are_recomputed_with_the_best_epochs_weights(errors):
    trained = training("exponential")
    loop.train(trained, tiny.Batches(), tiny.validation, Progress(), tiny.Listener())
    batches = SimpleNamespace(epoch=lambda epoch: (batch for batch in tiny.Batches().epoch(epoch)))
    recipe = Recipe(epochs=1, batch_size=4, learning_rate=1, batch_norm_recomputed_over=16)
    build.recompute_statistics(recipe, trained, batches)
    weight = trained.network.linear.weight
    assert torch.equal(weight, errors[1]["linear.weight"])
    means = []
    for batch in tiny.Batches().epoch(0):
        seen = trained.objective.normalization(batch.images).flatten(1)
        means.append((seen @ weight.T + trained.network.linear.bias).mean(dim=0))
    assert torch.allclose(trained.network.norm.running_mean, torch.stack(means).mean(dim=0), atol=1e-5)


def test_the_test_images_may_not_choose_an_epoch():
    with pytest.raises(ValueError, match="the test images may not choose it; set validation_fraction above 0"):
        Recipe(epochs=1, batch_size=4, learning_rate=1, report_epoch="best", monitor="test")
