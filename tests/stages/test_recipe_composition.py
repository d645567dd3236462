"""What a recipe's keys do together: lengths, transfer, averages, groups, mean images."""

from typing import Any

import pytest

from ilsvrc import runs
from ilsvrc.config import Params
from ilsvrc.recipe import Recipe, resolve_recipe

LEAST = {"epochs": 2, "batch_size": 8, "learning_rate": 0.1}
BOOK = {"dataset": "digits", "architectures": ["resnet18"], "recipe": "quick", "protocols": ["single_crop"]}


def the_run(**training: Any) -> runs.Run:
    (run,) = runs.expand(Params(**BOOK | {"training": training}))
    return run


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"warmup_epochs": 5}, (5.0, 0, (), (32000, 48000))),
        ({"step_epochs": [100, 150]}, (0.0, 400, (100, 150), ())),
        ({"epochs": 9}, (0.0, 400, (), (32000, 48000))),
    ],
)
def test_a_length_in_epochs_replaces_the_recipes_in_iterations(given: dict[str, Any], expected: tuple[Any, ...]):
    recipe = resolve_recipe("resnet_cifar", "resnet110_cifar", given)
    keys = ("warmup_epochs", "warmup_iterations", "step_epochs", "step_iterations")
    assert tuple(getattr(recipe, key) for key in keys) == expected


def test_an_exponential_decay_in_iterations_replaces_the_recipes_in_epochs():
    recipe = resolve_recipe("googlenet", "googlenet", {"decay_iterations": 320000})
    assert (recipe.decay_epochs, recipe.decay_iterations) == (None, 320000)


@pytest.mark.parametrize(
    "both",
    [
        {"warmup_epochs": 1, "warmup_iterations": 3},
        {"schedule": "step", "step_epochs": [1], "step_iterations": [3]},
        {"schedule": "exponential", "decay_epochs": 1, "decay_iterations": 3},
    ],
)
def test_a_length_is_in_epochs_or_in_iterations(both: dict[str, Any]):
    with pytest.raises(ValueError, match="give (warmup|step|decay)_epochs or .*_iterations, one of them"):
        Recipe(**LEAST | both)


def test_an_average_that_would_never_begin_is_an_error():
    with pytest.raises(ValueError, match="averaging_from_epoch = 200 must be below epochs = 90"):
        resolve_recipe("googlenet", "googlenet", {"epochs": 90})
    assert resolve_recipe("googlenet", "googlenet", {"epochs": 90, "averaging": "none"}).epochs == 90


def test_held_out_images_are_not_called_test_images():
    with pytest.raises(ValueError, match=r"monitor: test .* validation_fraction"):
        resolve_recipe("alexnet", "alexnet", {"validation_fraction": 0.1})
    changed = {"validation_fraction": 0.1, "monitor": "validation"}
    assert resolve_recipe("alexnet", "alexnet", changed).validation_fraction == 0.1


def test_how_a_teacher_is_listened_to_changes_no_teacher():
    plain = the_run(teacher="resnet34").teacher
    how = the_run(teacher="resnet34", temperature=4, distillation="hard", distillation_weight=0.9).teacher
    assert plain is not None and how is not None
    assert how.name == plain.name


def test_a_file_to_start_from_leaves_the_runs_folder_four_deep(tmp_path):
    (tmp_path / "resnet.pth").write_bytes(b"weights")
    name = the_run(start_from=str(tmp_path / "resnet.pth")).name
    assert name.startswith("digits/resnet18/quick,start_from=resnet.pth/seed=0-")
