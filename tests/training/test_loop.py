import pytest
import tiny
import torch

from ilsvrc.runtime.distributed import World
from ilsvrc.training import checkpoint, dropout, health_checks, loop, state
from ilsvrc.training.history import COLUMNS, as_csv, as_line
from ilsvrc.training.state import Progress


class StoppedError(Exception):
    pass


@pytest.fixture
def saves_often(monkeypatch):
    monkeypatch.setattr(health_checks, "MAX_STEPS_BETWEEN_CHECKS", 1)
    monkeypatch.setattr(health_checks, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)


def uninterrupted() -> tuple[state.Training, Progress]:
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
    images, labels, _ = tiny.batch(0)
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


class Broken(tiny.Batches):
    """The fifth step finds weights that are NaN."""

    def __init__(self, weight: torch.Tensor) -> None:
        self.weight = weight

    def epoch(self, epoch, start_step=0):
        for number, batch in enumerate(super().epoch(epoch, start_step)):
            if (epoch, number) == (1, 0):
                self.weight.data.fill_(float("nan"))
            yield batch


def broken_validation(training: state.Training, saved: list[int]) -> list[tiny.Batch]:
    """After the second epoch the weights are NaN."""
    if saved:
        training.network.linear.weight.data.fill_(float("nan"))
    return tiny.validation()


def failure(inside: bool) -> tuple[str, list[int]]:
    training, saved = tiny.training(name_of=lambda index: f"cat{index}.jpg"), []
    batches = Broken(training.network.linear.weight) if inside else tiny.Batches()
    validation = tiny.validation if inside else lambda: broken_validation(training, saved)
    with pytest.raises(ValueError, match="set a lower learning_rate, a longer warmup_epochs") as error:
        loop.train(training, batches, validation, Progress(), tiny.Listener(lambda p: saved.append(p.step)))
    return str(error.value), saved


def test_a_loss_that_is_no_number_names_the_step_its_rate_and_its_images():
    said, saved = failure(inside=True)
    assert "NaN or infinite in epoch 2, step 1, at learning rate 0.075" in said
    assert said.endswith("The step's images: cat0.jpg, cat1.jpg, cat2.jpg, cat3.jpg")
    assert saved == [0]  # the first epoch's: nothing broken is kept


def test_a_validation_loss_that_is_no_number_stops_the_training_before_it_is_kept():
    said, saved = failure(inside=False)
    assert said.startswith("the validation loss is NaN or infinite after epoch 2;")
    assert saved == [0]


def test_a_training_that_was_asked_to_stop_saves_and_goes_on_to_the_same_weights(tmp_path):
    class Asked(tiny.Listener):
        def should_stop(self) -> bool:
            return self.steps == 5

    whole, _ = uninterrupted()
    training = tiny.training()
    asked = Asked(lambda progress: checkpoint.save(tmp_path, training, progress, identity={}))
    with pytest.raises(health_checks.StoppedError, match="stopped in epoch 2 after 1 steps"):
        loop.train(training, tiny.Batches(), tiny.validation, Progress(), asked)
    again = tiny.training()
    progress = checkpoint.restore(checkpoint.load(tmp_path, {})[0], again)
    loop.train(again, tiny.Batches(), tiny.validation, progress, tiny.Listener())
    assert torch.equal(again.network.linear.weight, whole.network.linear.weight)


def test_a_length_in_iterations_ends_inside_an_epoch():
    training, progress, listener = tiny.training(total_steps=6), Progress(), tiny.Listener()
    loop.train(training, tiny.Batches(), tiny.validation, progress, listener)
    assert (listener.steps, [row["epoch"] for row in progress.history]) == (6, [1, 2])


def test_parts_of_a_batch_add_up_to_its_gradient():
    def moved(parts: int) -> torch.Tensor:
        training = tiny.training(rate=1.0, micro_batches=parts)
        training.network.norm.eval()
        training.network.norm.train = lambda mode=True: training.network.norm
        dropout.draw_for_whole_batch(training.network)
        loop.train_step(training, tiny.batch(0), step=0)
        return training.network.linear.weight.detach()

    assert torch.allclose(moved(1), moved(2), atol=1e-6)
    assert torch.allclose(moved(1), moved(4), atol=1e-6)


def test_frozen_modules_stay_as_in_testing():
    training = tiny.training()
    training.frozen = [training.network.norm]
    before = training.network.norm.running_mean.clone()
    loop.train_epoch(training, tiny.Batches(), Progress(), tiny.Listener())
    assert torch.equal(training.network.norm.running_mean, before)


def test_alone_a_process_is_the_main_one_and_agrees_with_itself():
    world = World()
    assert world.is_main
    assert world.agreement(True, False, 7) == (True, False, 7)
    assert world.first(3, 9, torch.tensor([5, 6])) == (3, [5, 6])
    assert world.sum(torch.tensor([1.0, 2.0])).tolist() == [1, 2]


def test_history_is_empty_where_nothing_was_measured():
    rows = uninterrupted()[1].history
    lines = as_csv(rows).splitlines()
    assert lines[0].split(",") == list(COLUMNS)
    assert len(lines) == 4
    assert lines[1].split(",")[COLUMNS.index("validation_top5_error_percent")] == ""
    assert as_line(rows[1], 100).startswith("epoch   2/100, learning rate ")
