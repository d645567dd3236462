"""Headers of files of predictions, and what they tell of a file."""

from pathlib import Path

import numpy as np
import pytest

from ilsvrc.evaluation import prediction_file, predictions


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ten_crop.npz"
    found = predictions.keep(
        np.array([[0.25, 0.75]], np.float32), np.array([1]), np.array(["a.jpg"]), {"protocol": "x"}
    )
    predictions.write_prediction(path, found)
    return path


def test_what_was_written_says_what_it_is(path: Path) -> None:
    assert not prediction_file.fault(path, {"protocol": "x", "revision": None})
    assert prediction_file.is_current(path, {"protocol": "x"})
    assert prediction_file.about(path) == {"format": 2, "num_classes": 2, "spec": {"protocol": "x"}}


@pytest.mark.parametrize("num_bytes", [0, 100, -1])
def test_a_file_that_was_cut_short_is_not(path: Path, num_bytes: int) -> None:
    path.write_bytes(path.read_bytes()[:num_bytes])
    assert prediction_file.fault(path, {}) == "is damaged or of an older format"
    assert not prediction_file.is_current(path, {})
    with pytest.raises(ValueError, match=r"ten_crop\.npz is no complete prediction"):
        prediction_file.about(path)


def test_a_file_of_the_format_before_is_not(path: Path) -> None:
    np.savez(path, probabilities=np.ones((1, 1)), labels=np.zeros(1), images=np.array(["a"]), spec=np.array("{}"))
    assert prediction_file.fault(path, {}) == "is damaged or of an older format"
    assert not prediction_file.is_current(path, {})
    with pytest.raises(ValueError, match="is of format 1, not 2"):
        prediction_file.about(path)


@pytest.mark.parametrize("expected", [{"protocol": "y"}, {"protocol": "x", "revision": 2}])
def test_a_value_that_differs_is_named(path: Path, expected: dict) -> None:
    assert prediction_file.fault(path, expected) == f"was made with another {list(expected)[-1]}"


def test_no_file_is_not_current(tmp_path: Path) -> None:
    assert not prediction_file.is_current(tmp_path / "ten_crop.npz", {})
