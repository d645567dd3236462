import pytest
import tiny
import torch

from ilsvrc.layers import draw_for_batch
from ilsvrc.training import checkpoint, loop
from ilsvrc.training.distributed import World
from ilsvrc.training.history import COLUMNS, as_csv, as_line
from ilsvrc.training.loop import Progress


class StoppedError(Exception):
    pass


@pytest.fixture
def saves_often(monkeypatch):
    monkeypatch.setattr(loop, "STEPS_BETWEEN_CHECKS", 1)
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)


def uninterrupted() -> tuple[loop.Training, Progress]:
    training, progress = tiny.training(), Progress()
    loop.train(training, tiny.Batches(), tiny.validation, progress, tiny.Listener())
    return training, progress


def test_every_epoch_is_heard_of_once_and_every_step_is_done():
    listener = tiny.Listener()
    loop.train(tiny.training(), tiny.Batches(), tiny.validation, Progress(), listener)
    assert (listener.epochs, listener.steps) == ([1, 2, 3], 12)


@pytest.mark.parametrize("at", range(1, 9))
def test_a_training_that_stopped_at_any_save_goes_on_to_the_same_weights(at, saves_often, tmp_path):
    whole, rows = uninterrupted()
    training, saves = tiny.training(), []

    def save_and_stop(progress: Progress) -> None:
        checkpoint.save(tmp_path, training, progress, identity={})
        saves.append(progress.step)
        if len(saves) == at:
            raise StoppedError

    with pytest.raises(StoppedError):
        loop.train(training, tiny.Batches(), tiny.validation, Progress(), tiny.Listener(save_and_stop))
    again, listener = tiny.training(), tiny.Listener()
    kept, _ = checkpoint.load(tmp_path, {})
    progress = checkpoint.restore(kept, again)
    loop.train(again, tiny.Batches(), tiny.validation, progress, listener)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name
    assert [row["epoch"] for row in progress.history] == [1, 2, 3]
    assert [row["train_loss"] for row in progress.history] == pytest.approx([row["train_loss"] for row in rows.history])
    assert listener.steps == 12 - at


def test_a_row_of_history_is_of_every_image_of_the_epoch():
    row = uninterrupted()[1].history[1]
    assert set(row) == set(COLUMNS)
    assert row["train_error_percent"] * 16 / 100 == pytest.approx(round(row["train_error_percent"] * 16 / 100))
    assert row["learning_rate"] == pytest.approx(0.1 * (1 + torch.cos(torch.tensor(torch.pi * 7 / 12)).item()) / 2)
    assert row["images_per_second"] == pytest.approx(16 / row["seconds"])
    assert row["validation_top5_error_percent"] is None


def test_a_step_is_the_mean_gradient_of_the_batch():
    training = tiny.training(rate=1.0)
    training.network.dropout.p = 0.0
    training.optimizer.param_groups[0]["momentum"] = 0.0
    images, labels = tiny.batch(0)
    before = training.network.linear.weight.detach().clone()
    loss, _ = training.objective(images, labels)
    (gradient,) = torch.autograd.grad(loss / tiny.BATCH, training.network.linear.weight)
    sums = loop.train_step(training, tiny.Batch(images, labels), step=0)
    assert torch.allclose(before - training.network.linear.weight, gradient, atol=1e-7)
    assert sums[0].item() == pytest.approx(loss.item())
    assert sums[2].item() == 4


@pytest.mark.parametrize(("clip_norm", "moved"), [(0.01, 0.01), (None, None)])
def test_clipping_bounds_the_norm_over_all_parameters(clip_norm, moved):
    training = tiny.training(rate=1.0, clip_norm=clip_norm)
    before = [p.detach().clone() for p in training.network.parameters()]
    loop.train_step(training, tiny.batch(0), step=0)
    steps = [(a - b).flatten() for a, b in zip(before, training.network.parameters(), strict=True)]
    norm = torch.cat(steps).norm().item()
    assert norm == pytest.approx(moved, rel=1e-3) if moved else norm > 0.05


def masks(seed: int, step: int, rank: int) -> list[float]:
    loop.seed_draws(seed, step, rank)
    return torch.rand(4).tolist()


def test_masks_are_a_function_of_seed_step_and_rank():
    assert masks(0, 1, 0) == masks(0, 1, 0)
    assert len({tuple(masks(*place)) for place in [(0, 1, 0), (1, 1, 0), (0, 2, 0), (0, 1, 1), (1, 0, 0)]}) == 5


def test_draws_for_a_whole_batch_are_a_function_of_seed_and_step_alone():
    drawn = {}
    for place in [(0, 1, 0), (0, 1, 1), (0, 2, 0), (1, 1, 0)]:
        loop.seed_draws(*place)
        drawn[place] = [draw_for_batch() for _ in range(3)]
    assert drawn[0, 1, 0] == drawn[0, 1, 1]
    assert len({tuple(values) for values in drawn.values()}) == 3


@pytest.mark.parametrize("when", ["in epoch 2 (step 4)", "after epoch 2"])
def test_a_loss_that_is_no_number_stops_the_training_and_says_what_helps(when, monkeypatch):
    class Broken(tiny.Batches):
        def epoch(self, epoch, start_step=0):
            if epoch == 1 and when.startswith("in"):
                training.network.linear.weight.data.fill_(float("nan"))
            yield from super().epoch(epoch, start_step)
            if epoch == 1:
                training.network.linear.weight.data.fill_(float("nan"))

    training, saved = tiny.training(), []
    with pytest.raises(ValueError) as error:
        loop.train(training, Broken(), tiny.validation, Progress(), tiny.Listener(lambda p: saved.append(p.step)))
    assert f"not a number any more {when}; set a lower learning_rate" in str(error.value)
    assert saved == [0]  # the first epoch's: nothing broken is kept


def test_alone_a_process_is_the_main_one_and_agrees_with_itself():
    world = World()
    assert world.is_main and world.agrees(True) and not world.agrees(False)
    assert world.sum(torch.tensor([1.0, 2.0])).tolist() == [1, 2]


def test_history_is_empty_where_nothing_was_measured():
    rows = uninterrupted()[1].history
    lines = as_csv(rows).splitlines()
    assert lines[0].split(",") == list(COLUMNS)
    assert len(lines) == 4
    assert lines[1].split(",")[COLUMNS.index("validation_top5_error_percent")] == ""
    assert as_line(rows[1], 100).startswith("epoch   2/100, learning rate ")
