import pytest

from ilsvrc.training.schedule import Schedule, plateaus


def rates(schedule: Schedule, steps: int) -> list[float]:
    return [schedule.learning_rate(step) for step in range(steps)]


def test_step_falls_at_the_start_of_its_epochs():
    schedule = Schedule("step", rate=1.0, epochs=4, steps_an_epoch=2, milestones=(1, 3), factor=0.1)
    assert rates(schedule, 8) == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_starts_at_the_rate_and_ends_a_step_before_zero():
    schedule = Schedule("cosine", rate=2.0, epochs=2, steps_an_epoch=2)
    assert rates(schedule, 4) == pytest.approx([2, 1 + 2**-0.5, 1, 1 - 2**-0.5])


def test_warm_up_climbs_to_the_rate_and_the_cosine_spans_the_rest():
    schedule = Schedule("cosine", rate=1.0, epochs=3, steps_an_epoch=2, warmup_epochs=1)
    assert rates(schedule, 6) == pytest.approx([0.5, 1.0, 1.0, (1 + 2**-0.5) / 2, 0.5, (1 - 2**-0.5) / 2])


def test_warm_up_may_last_a_part_of_an_epoch_and_does_not_shift_the_milestones():
    schedule = Schedule("step", rate=1.0, epochs=2, steps_an_epoch=8, warmup_epochs=0.5, milestones=(1,))
    assert rates(schedule, 10) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 0.1, 0.1])


def test_plateau_falls_after_patience_epochs_without_a_lower_error():
    schedule = Schedule("plateau", rate=1.0, epochs=9, steps_an_epoch=1, patience=2, factor=0.1)
    found = []
    for error in [50, 40, 40, 41, 39, 39, 39, 38, 38]:
        found.append(schedule.learning_rate(len(found)))
        schedule.errors.append(error)
    assert found == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_plateau_says_the_same_of_a_step_that_is_asked_for_again():
    schedule = Schedule("plateau", rate=1.0, epochs=4, steps_an_epoch=2, patience=1, errors=[5.0, 5.0, 5.0])
    assert rates(schedule, 8) == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize(
    ("errors", "expected"), [([], 0), ([3, 2, 1], 0), ([1, 1, 1], 1), ([1, 2, 3, 4, 5], 2), ([9, 9, 8, 8, 8], 1)]
)
def test_plateaus_count_anew_after_each_fall(errors: list[float], expected: int):
    assert plateaus(errors, patience=2) == expected
