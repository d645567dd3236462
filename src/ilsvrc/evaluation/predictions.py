"""Predictions of a test split: class probabilities with the ranks and guesses that scores need, and their file."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ilsvrc.artifacts.run_files import RUN_FILES, RUNS, canonical, run_key, split_sha256
from ilsvrc.artifacts.weights_info import WeightsInfo
from ilsvrc.config import specs
from ilsvrc.evaluation import float16, metrics, prediction_file
from ilsvrc.evaluation import task as tasks
from ilsvrc.evaluation.load_protocol import load_protocol
from ilsvrc.evaluation.prediction_file import PredictionSpec
from ilsvrc.runtime import files

FLOAT32_NUMBERS = 10_000_000  # predictions of more are kept in float16


class Prediction(NamedTuple):
    """Predictions of a network for every image of the test split, by one protocol.

    `probabilities` `[N, K]`: float32 up to 1e7 numbers, else float16; None where they were not read. The other arrays
    were computed before that rounding, a row an image: `log_probabilities` float32 `[N]` of the label, `ranks`
    int32 `[N]` of the label (0 the most probable), the five first `guesses` int32 `[N, 5]` (K of fewer classes) and
    their `guess_probabilities` float32, and `squared_norms` float32 `[N]`, the sum of the squared probabilities. Of
    equally probable classes the one of the smaller index comes first. `labels` int64 `[N]`, `images` `[N]` names.

    Of a multi-label task, `labels` are uint8 `[N, K]`, 1 for each class of the image, and `log_probabilities` and
    `ranks` are of all of them, as `multilabel_metrics.judge` says.

    `spec` says what made them: run key, protocol, revision, weights_sha256, manifest_sha256, form, and classes, their
    names by index.
    """

    labels: np.ndarray
    images: np.ndarray
    log_probabilities: np.ndarray
    ranks: np.ndarray
    guesses: np.ndarray
    guess_probabilities: np.ndarray
    squared_norms: np.ndarray
    num_classes: int
    spec: PredictionSpec
    probabilities: np.ndarray | None = None

    @property
    def task(self) -> tasks.Task:
        """The task of the test split."""
        return tasks.from_targets(self.labels, self.num_classes)


def keep(probabilities: np.ndarray, labels: np.ndarray, images: np.ndarray, spec: PredictionSpec) -> Prediction:
    """The prediction of class probabilities float32 `[N, K]`, as it is kept.

    Raises:
        ValueError: NaN among the probabilities, labels that are no classes, or numbers of images that differ.
    """
    judged = tasks.from_targets(labels, probabilities.shape[1]).judge(probabilities, labels)
    if len(images) != len(labels):
        raise ValueError(f"{len(labels)} predictions of {len(images)} images; pack the data again")
    return Prediction(
        labels.astype(np.uint8 if labels.ndim == 2 else np.int64, copy=False),
        images,
        *judged,
        num_classes=probabilities.shape[1],
        spec=spec.copy(),
        probabilities=_rounded(probabilities.astype(np.float32, copy=False)),
    )


def _rounded(probabilities: np.ndarray) -> np.ndarray:
    if probabilities.size <= FLOAT32_NUMBERS:
        return probabilities
    return np.concatenate([float16.to_half(probabilities[rows]) for rows in metrics.blocks(*probabilities.shape)])


def write_prediction(path: Path, prediction: Prediction) -> None:
    """Writes the predictions, whole or not at all. The same content is the same bytes."""
    about = {"format": prediction_file.FORMAT, "num_classes": prediction.num_classes, "spec": prediction.spec}
    with files.atomically(path) as unfinished, zipfile.ZipFile(unfinished, "w") as archive:
        archive.writestr(zipfile.ZipInfo(prediction_file.ABOUT), canonical(about))
        for name in prediction_file.ARRAYS:
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, getattr(prediction, name), allow_pickle=False)


def read_prediction(path: Path, probabilities: bool = True) -> Prediction:
    """The predictions at `path`; without `probabilities` only what is small.

    Raises:
        prediction_file.DamagedError: the file is damaged, of another format or no prediction.
    """
    about = prediction_file.about(path)
    names = (
        prediction_file.ARRAYS
        if probabilities
        else [name for name in prediction_file.ARRAYS if name != "probabilities"]
    )
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in names}
        return Prediction(**arrays, num_classes=about["num_classes"], spec=about["spec"])
    except OSError:
        raise
    except Exception as error:
        raise prediction_file.DamagedError(path, f"is no complete prediction ({error})") from error


def read_for_scores(path: Path) -> Prediction:
    """The predictions at `path` as scores need them: without probabilities, but for a multi-label task.

    Raises:
        prediction_file.DamagedError: as `read_prediction`.
    """
    found = read_prediction(path, probabilities=False)
    return read_prediction(path) if isinstance(found.task, tasks.MultiLabel) else found


def check_prediction(run: str, protocol: str, found: Prediction, weights: WeightsInfo) -> None:
    """Stops where predictions were made by another run, protocol, weights or test split than they are kept for.

    Raises:
        ValueError: names the run, what differs and what to do.
    """
    content: Mapping[str, Any] = found.spec
    expected = {
        "run_key": run_key(run),
        "protocol": protocol,
        "revision": load_protocol(protocol).revision,
        "weights_sha256": weights.weights_sha256,
        "manifest_sha256": split_sha256(specs.FormSpec(**found.spec.get("form", weights.spec["form"])), "val")
        or found.spec.get("manifest_sha256"),
    }
    for name, value in expected.items():
        if content.get(name) != value:
            raise ValueError(
                f"{run}: {prediction_file.prediction_file(run, protocol)} was made with "
                f"{name} = {content.get(name)}, not {value}; remove it and run snakemake again"
            )


def missing(run: str, protocols: Sequence[str]) -> list[str]:
    """Files that a complete run would have and this one has not."""
    files = [RUNS / run / name for name in RUN_FILES[1:]]  # the weights themselves are not needed for scores
    files += [prediction_file.prediction_file(run, protocol) for protocol in protocols]
    return [str(path) for path in files if not path.exists()]
