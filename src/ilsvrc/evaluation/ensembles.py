"""Averages of kept predictions: no forward pass, and of each file no more than a block of rows in memory."""

import zipfile
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from ilsvrc.config.params import Average
from ilsvrc.evaluation import float16, metrics, prediction_file, predictions
from ilsvrc.evaluation.prediction_file import PredictionSpec
from ilsvrc.evaluation.predictions import Prediction
from ilsvrc.evaluation.task import MultiLabel, Task

SHOWN = 3  # differences in an error
SMALLEST = np.float32(2.0**-24)  # float16's smallest number above 0


def combine(paths: Sequence[Path], average: Average = "probabilities") -> Prediction:
    """The mean of the predictions at `paths`; its probabilities are not kept, but for multi-label tasks.

    There the geometric mean is of each class's two outcomes.

    `average` is `probabilities`, or `log_probabilities`: the geometric mean, where what float16 cannot hold (below
    6e-8) counts as its smallest number. The label's log probability is of the members' own, kept before rounding.

    Raises:
        ValueError: the members are of other images, labels or classes; the message says which differ.
    """
    first, *others = heads = [predictions.read_prediction(path, probabilities=False) for path in paths]
    for path, other in zip(paths[1:], others, strict=True):
        check_same(first, paths[0], other, path)
    spec: PredictionSpec = {"average": average, "members": [head.spec for head in heads]}
    if "classes" in first.spec:
        spec["classes"] = first.spec["classes"]
    if isinstance(first.task, MultiLabel):
        members = [np.concatenate(list(probability_blocks(path))) for path in paths]
        return predictions.keep(_mean_of_sets(members, average), first.labels, first.images, spec)
    likelihoods = np.stack([head.log_probabilities for head in heads]).astype(np.float64)
    mean = _mean(average)
    parts, start = [], 0
    with ExitStack() as opened:
        readers = [opened.enter_context(closing(probability_blocks(path))) for path in paths]
        for blocks in zip(*readers, strict=True):
            rows = slice(start, start := start + len(blocks[0]))
            averaged, own = mean(blocks, likelihoods[:, rows])
            parts.append(metrics.judge(averaged, first.labels[rows])._replace(log_probabilities=own))
    judged = metrics.Judgement(*map(np.concatenate, zip(*parts, strict=True)))
    return Prediction(first.labels, first.images, *judged, num_classes=first.num_classes, spec=spec)


def probability_blocks(path: Path) -> Generator[NDArray[np.float32], None, None]:
    """The probabilities of a kept prediction as float32 `[n, K]`, one block of rows after the other.

    Raises:
        prediction_file.DamagedError: the file is cut short or its bytes changed.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open("probabilities.npy") as member:
            np.lib.format.read_magic(member)
            (num_images, num_classes), _, dtype = np.lib.format.read_array_header_1_0(member)
            for rows in metrics.blocks(num_images, num_classes):
                size = len(range(num_images)[rows]) * num_classes * dtype.itemsize
                block = np.frombuffer(member.read(size), dtype).reshape(-1, num_classes)
                yield float16.to_single(block) if dtype == np.float16 else block
    except OSError:
        raise
    except Exception as error:
        raise prediction_file.DamagedError(path, f"is no complete prediction ({error})") from error


def check_same(first: Prediction, its_path: Path, other: Prediction, path: Path) -> None:
    """Stops where two predictions are not of the same images, labels and classes, each in the same order.

    Raises:
        ValueError: names both files, what differs and the first places where it does.
    """
    classes = [np.array(each.spec.get("classes", [])) for each in (first, other)]
    compared = {
        "classes": (classes[0], classes[1]),
        "images": (first.images, other.images),
        "labels": (first.labels, other.labels),
    }
    for what, (ours, theirs) in compared.items():
        if not np.array_equal(ours, theirs):
            raise ValueError(
                f"{its_path} and {path} cannot be averaged: their {what} differ{_difference(ours, theirs)}; an "
                "ensemble needs the same test images and the same order of classes"
            )
    if first.num_classes != other.num_classes:
        raise ValueError(f"{its_path} is of {first.num_classes} classes, {path} of {other.num_classes}")


def _difference(ours: np.ndarray, theirs: np.ndarray) -> str:
    """` (17 of them, number 3: cat and dog ...)`, or how many there are of each."""
    if len(ours) != len(theirs):
        return f" in number ({len(ours)} and {len(theirs)})"
    places = np.flatnonzero((ours != theirs).reshape(len(ours), -1).any(axis=1))
    shown = "; ".join(f"number {at}: {ours[at]} and {theirs[at]}" for at in places[:SHOWN])
    return f" ({len(places)} of {len(ours)}; {shown}{' ...' if len(places) > SHOWN else ''})"


def mean_probabilities(members: Sequence[NDArray[np.float32]], average: Average, task: Task) -> NDArray[np.float32]:
    """The mean of members' probabilities `[..., K]`, as `combine` computes it of kept predictions."""
    rows = [member.reshape(-1, member.shape[-1]) for member in members]
    if isinstance(task, MultiLabel):
        mean: NDArray[np.float32] = _mean_of_sets(rows, average)
    else:
        mean, _ = _mean(average)(rows, np.zeros((len(rows), len(rows[0]))))
    return mean.reshape(members[0].shape)


def _mean_of_sets(members: Sequence[NDArray[np.float32]], average: Average) -> NDArray[np.float32]:
    """Mean probabilities `[N, K]` of a multi-label task."""
    if average == "probabilities":
        arithmetic: NDArray[np.float32] = np.mean(members, axis=0, dtype=np.float32)
        return arithmetic
    there, absent = (
        np.exp(np.mean([np.log(np.maximum(p, SMALLEST)) for p in each], axis=0))
        for each in (members, [1 - member for member in members])
    )
    averaged: NDArray[np.float32] = (there / (there + absent)).astype(np.float32)
    return averaged


Averaged = tuple[NDArray[np.float32], NDArray[np.float32]]


def _mean(average: Average) -> Callable[[Sequence[NDArray[np.float32]], NDArray[np.float64]], Averaged]:
    match average:
        case "probabilities":
            return _arithmetic
        case "log_probabilities":
            return _geometric
        case _:
            assert_never(average)


def _arithmetic(blocks: Sequence[NDArray[np.float32]], likelihoods: NDArray[np.float64]) -> Averaged:
    """Mean probabilities `[n, K]` of `blocks` of the same, and the label's log probability `[n]` of their `[M, n]`."""
    total = blocks[0].copy()
    for block in blocks[1:]:
        total += block
    own = np.log(np.exp(likelihoods).mean(axis=0))
    return total / np.float32(len(blocks)), own.astype(np.float32)


def _geometric(blocks: Sequence[NDArray[np.float32]], likelihoods: NDArray[np.float64]) -> Averaged:
    """The same of the mean log probabilities, scaled to sum to 1."""
    total = np.zeros_like(blocks[0])
    for block in blocks:
        total += np.log(np.maximum(block, SMALLEST))
    unscaled = np.exp(total / np.float32(len(blocks)))
    sums = unscaled.sum(axis=1, keepdims=True)
    own = likelihoods.mean(axis=0) - np.log(sums[:, 0].astype(np.float64))
    return unscaled / sums, own.astype(np.float32)
