"""Averages of kept predictions against numbers worked out by hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ilsvrc.evaluation import ensembles, metrics, prediction_file, predictions

ONE = [[0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1]]
TWO = [[0.2, 0.7, 0.1], [0.4, 0.2, 0.4], [0.1, 0.8, 0.1]]
LABELS = np.array([0, 2, 1])
IMAGES = ("a.jpg", "b.jpg", "c.jpg")
CLASSES = ("cat", "dog", "owl")


def kept_at(
    path: Path, probabilities: Sequence, images: Sequence[str] = IMAGES, classes: Sequence[str] = CLASSES
) -> Path:
    spec = {"classes": list(classes)}
    count = len(images)
    found = predictions.keep(np.array(probabilities, np.float32)[:count], LABELS[:count], np.array(images), spec)
    predictions.write_prediction(path, found)
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [kept_at(tmp_path / "one.npz", ONE), kept_at(tmp_path / "two.npz", TWO)]


def test_probabilities_are_averaged(files: list[Path]) -> None:
    found = ensembles.combine(files)  # 0.4 0.5 0.1; 0.3 0.2 0.5; 0.1 0.8 0.1
    assert found.guesses.tolist() == [[1, 0, 2], [2, 0, 1], [1, 0, 2]]
    assert found.guess_probabilities[0].tolist() == pytest.approx([0.5, 0.4, 0.1])
    assert found.ranks.tolist() == [1, 0, 0]
    assert found.log_probabilities.tolist() == pytest.approx(np.log([0.4, 0.5, 0.8]).tolist())
    assert found.squared_norms.tolist() == pytest.approx([0.42, 0.38, 0.66])
    assert found.probabilities is None
    assert found.images.tolist() == list(IMAGES)


def test_log_probabilities_are_averaged_where_it_is_asked_for(files: list[Path]) -> None:
    found = ensembles.combine(files, "log_probabilities")
    # Image 0: sqrt(0.6 x 0.2), sqrt(0.3 x 0.7), sqrt(0.1 x 0.1), of their sum.
    roots = np.sqrt([0.12, 0.21, 0.01])
    assert found.guess_probabilities[0].tolist() == pytest.approx((roots / roots.sum())[[1, 0, 2]].tolist())
    assert found.log_probabilities[0] == pytest.approx(np.log(roots[0] / roots.sum()))


def test_a_member_twice_weighs_twice(files: list[Path]) -> None:
    found = ensembles.combine([files[0], files[0], files[1]])
    assert found.log_probabilities[0] == pytest.approx(np.log((0.6 + 0.6 + 0.2) / 3))


def test_members_in_float16_and_blocks_of_rows_give_the_same_but_for_rounding(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ensembles.combine(files)
    monkeypatch.setattr(metrics, "BLOCK", 2 * 3)
    monkeypatch.setattr(predictions, "FLOAT32_NUMBERS", 3)
    halves = [kept_at(tmp_path / f"half_{i}.npz", values) for i, values in enumerate((ONE, TWO))]
    assert predictions.read_prediction(halves[0]).probabilities.dtype == np.float16
    found = ensembles.combine(halves)
    assert found.guesses.tolist() == whole.guesses.tolist()
    assert found.log_probabilities.tolist() == whole.log_probabilities.tolist()  # kept before rounding
    assert found.guess_probabilities == pytest.approx(whole.guess_probabilities, abs=3e-4)


def test_predictions_of_other_images_are_not_averaged(tmp_path: Path, files: list[Path]) -> None:
    other = kept_at(tmp_path / "other.npz", TWO, images=("a.jpg", "x.jpg", "c.jpg"))
    with pytest.raises(
        ValueError, match=r"one\.npz and .*other\.npz cannot be averaged: their images differ .*"
    ) as error:
        ensembles.combine([files[0], other])
    assert "(1 of 3; number 1: b.jpg and x.jpg)" in str(error.value)


def test_predictions_of_fewer_images_are_not_averaged(tmp_path: Path, files: list[Path]) -> None:
    other = kept_at(tmp_path / "other.npz", TWO, images=("a.jpg", "b.jpg"))
    with pytest.raises(ValueError, match=r"their images differ in number \(3 and 2\)"):
        ensembles.combine([files[0], other])


def test_predictions_of_another_order_of_classes_are_not_averaged(tmp_path: Path, files: list[Path]) -> None:
    other = kept_at(tmp_path / "other.npz", TWO, classes=("cat", "owl", "dog"))
    with pytest.raises(
        ValueError, match=r"their classes differ \(2 of 3; number 1: dog and owl; number 2: owl and dog"
    ):
        ensembles.combine([files[0], other])


def test_a_damaged_member_is_named(files: list[Path]) -> None:
    content = bytearray(files[1].read_bytes())
    place = content.rindex(np.float32(0.7).tobytes())
    content[place] ^= 1
    files[1].write_bytes(content)
    with pytest.raises(prediction_file.DamagedError, match=r"two\.npz is no complete prediction") as error:
        ensembles.combine(files)
    assert error.value.path == files[1]
