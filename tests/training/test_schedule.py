from typing import Any

import pytest

from ilsvrc.training.schedule import Schedule, in_steps, plateaus


def made(kind: str, total_steps: int, steps_an_epoch: int = 1, **choices: Any) -> Schedule:
    return Schedule(kind, **{"rate": 1.0, "total_steps": total_steps, "steps_an_epoch": steps_an_epoch} | choices)


def rates(schedule: Schedule, steps: int) -> list[float]:
    return [schedule.learning_rate(step) for step in range(steps)]


def test_constant_stays():
    assert rates(made("constant", 3, rate=0.02), 3) == [0.02] * 3


def test_step_falls_at_its_milestones():
    schedule = made("step", 8, milestones=(2, 6), factor=0.1)
    assert rates(schedule, 8) == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_exponential_is_a_staircase():
    schedule = made("exponential", 7, decay_steps=3, factor=0.94)
    assert rates(schedule, 7) == pytest.approx([1, 1, 1, 0.94, 0.94, 0.94, 0.8836])


def test_polynomial_falls_with_the_power_of_what_is_left():
    assert rates(made("polynomial", 4, rate=2.0, power=0.5), 4) == pytest.approx([2, 3**0.5, 2**0.5, 1])


def test_linear_ends_a_step_before_zero():
    assert rates(made("linear", 4, rate=0.5), 5) == pytest.approx([0.5, 0.375, 0.25, 0.125, 0])


def test_cosine_starts_at_the_rate_and_ends_a_step_before_zero():
    assert rates(made("cosine", 4, rate=2.0), 4) == pytest.approx([2, 1 + 2**-0.5, 1, 1 - 2**-0.5])


def test_warm_up_climbs_to_the_rate_and_the_cosine_spans_the_rest():
    schedule = made("cosine", 6, warmup_steps=2)
    assert rates(schedule, 6) == pytest.approx([0.5, 1.0, 1.0, (1 + 2**-0.5) / 2, 0.5, (1 - 2**-0.5) / 2])


def test_linear_spans_what_follows_the_warm_up():
    assert rates(made("linear", 6, warmup_steps=2), 6) == pytest.approx([0.5, 1, 1, 0.75, 0.5, 0.25])


def test_warm_up_at_a_constant_rate():
    schedule = made("step", 5, rate=0.1, warmup_steps=2, warmup_rate=0.01, milestones=(4,))
    assert rates(schedule, 5) == pytest.approx([0.01, 0.01, 0.1, 0.1, 0.01])


def test_warm_up_from_a_rate_begins_with_it_and_comes_to_the_rate_at_the_step_after():
    schedule = made("constant", 6, rate=1.0, warmup_steps=4, warmup_from=0.2)
    assert rates(schedule, 6) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("cosine", [2, 1.25 + 0.75 * 2**-0.5, 1.25, 1.25 - 0.75 * 2**-0.5, 0.5]),
        ("linear", [2, 1.625, 1.25, 0.875, 0.5]),
        ("polynomial", [2, 0.5 + 1.5 * 0.75**2, 0.5 + 1.5 * 0.25, 0.5 + 1.5 * 0.0625, 0.5]),
    ],
)
def test_smooth_schedules_end_at_the_lowest_rate(kind, expected):
    assert rates(made(kind, 4, rate=2.0, power=2.0, lowest_rate=0.5), 5) == pytest.approx(expected)


def test_stairs_do_not_fall_below_the_lowest_rate():
    stairs = made("step", 4, milestones=(1, 2), factor=0.1, lowest_rate=0.03)
    assert rates(stairs, 4) == pytest.approx([1, 0.1, 0.03, 0.03])
    assert rates(made("exponential", 4, decay_steps=1, factor=0.5, lowest_rate=0.3), 4) == [1, 0.5, 0.3, 0.3]
    plateau = made("plateau", 4, patience=1, factor=0.1, lowest_rate=0.05, errors=[9.0, 9.0, 9.0])
    assert rates(plateau, 4) == pytest.approx([1, 1, 0.1, 0.05])


@pytest.mark.parametrize("name", ["lowest_rate", "warmup_from"])
def test_a_lower_rate_above_the_rate_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} = 0.2 is above the learning rate, 0.1, both for this batch_size"):
        made("cosine", 9, rate=0.1, warmup_steps=2, **{name: 0.2})


def test_warm_up_does_not_shift_the_falls():
    by_milestones = made("step", 10, warmup_steps=4, milestones=(8,))
    assert rates(by_milestones, 10) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 0.1, 0.1])
    by_staircase = made("exponential", 5, warmup_steps=1, decay_steps=2, factor=0.5)
    assert rates(by_staircase, 5) == pytest.approx([1, 1, 0.5, 0.5, 0.25])


def test_plateau_falls_after_patience_epochs_without_a_lower_error():
    schedule, found = made("plateau", 9, patience=2), []
    for error in [50, 40, 40, 41, 39, 39, 39, 38, 38]:
        found.append(schedule.learning_rate(len(found)))
        schedule.errors.append(error)
    assert found == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_plateau_says_the_same_of_a_step_that_is_asked_for_again():
    schedule = made("plateau", 8, steps_an_epoch=2, patience=1, errors=[5.0, 5.0, 5.0])
    assert rates(schedule, 8) == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_training_ends_where_a_plateau_would_fall_once_too_often():
    schedule, over = made("plateau", 99, patience=1, most_falls=2), []
    for error in [9, 9, 8, 8, 7, 7]:
        schedule.errors.append(error)
        over.append(schedule.is_over())
    assert over == [False, False, False, False, False, True]


@pytest.mark.parametrize("choices", [{"kind": "plateau"}, {"kind": "constant", "most_falls": 1}])
def test_without_a_limit_or_a_plateau_training_does_not_end_early(choices: dict[str, Any]):
    assert not made(**choices, total_steps=99, patience=1, errors=[1.0] * 9).is_over()


@pytest.mark.parametrize(
    ("errors", "expected"), [([], 0), ([3, 2, 1], 0), ([1, 1, 1], 1), ([1, 2, 3, 4, 5], 2), ([9, 9, 8, 8, 8], 1)]
)
def test_plateaus_count_anew_after_each_fall(errors: list[float], expected: int):
    assert plateaus(errors, patience=2) == expected


@pytest.mark.parametrize(("total_steps", "epochs"), [(8, 2), (9, 3), (1, 1), (0, 0)])
def test_the_last_epoch_may_be_a_part_of_one(total_steps: int, epochs: int):
    assert made("constant", total_steps, steps_an_epoch=4).epochs == epochs


@pytest.mark.parametrize(
    ("epochs", "iterations", "expected"), [(2.5, 0, 25), (None, 7, 7), (0.0, 0, 0), (None, None, 0), (0.16, None, 2)]
)
def test_lengths_are_counted_in_steps(epochs: float | None, iterations: int | None, expected: int):
    assert in_steps(epochs, iterations, steps_an_epoch=10) == expected


def test_a_warm_up_that_leaves_no_step_is_refused():
    with pytest.raises(ValueError, match="warm-up of 4 steps leaves none of the 4; set warmup_epochs"):
        made("cosine", 4, warmup_steps=4)
