"""Kept predictions as text: `python -m ilsvrc.stages.export resnet18 ten_crop`, also of an ensemble of params.yaml.

Writes two files, a line an image in alphabetical order of the images' file names:

`<protocol>.submission.txt` has the form in which ILSVRC takes classification results (development kit of 2012): the
five guesses, the most probable first, as class numbers from 1, parted by spaces. The numbers are the owners' where the
data set has such (ILSVRC2012_ID, from the development kit at `data.path`), else places in the order of the classes.

`<protocol>.csv` is for people: image, label, guess1 to guess5 and their probabilities p1 to p5. Where a picture may
have several classes it is the only file: image, labels, those that are said of it (above 0.2), all probabilities.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from ilsvrc.artifacts.find_run import find_run
from ilsvrc.config import packed_formats, registry
from ilsvrc.config.ensembles import Averaged
from ilsvrc.config.params import Params, load
from ilsvrc.evaluation import ensembles, multilabel_scores, prediction_file, predictions, scores
from ilsvrc.evaluation.predictions import Prediction
from ilsvrc.pipeline.wiring import Pipeline
from ilsvrc.runtime import entry_point, messages
from ilsvrc.runtime.files import write_text

EXPORTS = Path("results/exports")


def main(given: argparse.Namespace) -> None:
    """Writes both files and says where."""
    params = load(given.book)
    name, prediction = find(given.name, given.protocol, params)
    classes = prediction.spec["classes"]
    label = packed_formats.data_label(params) if name.startswith(scores.ENSEMBLE) else name.split("/")[0]
    order = sorted(range(len(prediction.images)), key=lambda i: file_order(str(prediction.images[i])))
    folder = given.to or EXPORTS / name
    if multilabel_scores.is_of_sets(prediction):
        columns, rows = multilabel_scores.readable(prediction, classes, order)
        files = {f"{given.protocol}.csv": scores.as_csv(rows, columns)}
    else:
        numbers = class_numbers(label, params, classes)
        lines = [" ".join(str(numbers[guess]) for guess in prediction.guesses[i]) for i in order]
        files = {
            f"{given.protocol}.submission.txt": "".join(f"{line}\n" for line in lines),
            f"{given.protocol}.csv": readable(prediction, classes, order),
        }
    for file, text in files.items():
        write_text(folder / file, text)
        messages.say(f"{folder / file}: {len(order)} images")


def find(name: str, protocol: str, params: Params) -> tuple[str, Prediction]:
    """The run or ensemble that is meant, and what it says by a protocol.

    Raises:
        ValueError: there is no such run or ensemble, or it was not tested by the protocol.
    """
    averaged = {each.name: each for each in Pipeline(params).ensembles}
    own = name.removeprefix(scores.ENSEMBLE)
    if own in averaged:
        return f"{scores.ENSEMBLE}{own}", of_ensemble(averaged[own], protocol)
    run = find_run(name.removeprefix(f"{prediction_file.PREDICTIONS}/"))
    path = prediction_file.prediction_file(run, protocol)
    if not path.exists():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.npz"))) or "none"
        raise ValueError(f"{run} has no predictions by {protocol}; there are: {there}")
    return run, predictions.read_for_scores(path)


def of_ensemble(ensemble: Averaged, protocol: str) -> Prediction:
    """What an ensemble says by one of its protocols, or by several that are averaged: `vgg_dense+vgg_multi_crop`."""
    known = {"+".join(protocols): protocols for protocols in ensemble.protocols}
    if protocol not in known:
        raise ValueError(f"ensemble {ensemble.name} has no predictions by {protocol}; there are: {', '.join(known)}")
    files = [prediction_file.prediction_file(run, each) for run in ensemble.members for each in known[protocol]]
    absent = [str(file) for file in files if not file.exists()]
    if absent:
        raise ValueError(f"ensemble {ensemble.name} is not complete: {', '.join(absent)} missing; run snakemake")
    return ensembles.combine(files, ensemble.average)


def class_numbers(label: str, params: Params, classes: Sequence[str]) -> list[int]:
    """The number of each class in a submission.

    Raises:
        ValueError: the owners' numbers are for other classes, or their list is not where params.yaml says.
    """
    data_set = registry.load("datasets", label) if label in registry.names("datasets") else None
    if not hasattr(data_set, "class_numbers"):
        return list(range(1, len(classes) + 1))
    if label != packed_formats.data_label(params):
        raise ValueError(f"the numbers of {label}'s classes lie at its data.path; name {label} in params.yaml")
    numbers: Mapping[str, int] = data_set.class_numbers(params.data.model_dump())  # type: ignore[union-attr]
    strange = [name for name in classes if name not in numbers]
    if strange:
        raise ValueError(f"{label} numbers no class {strange[0]}; the predictions are of other data than params.yaml's")
    return [numbers[name] for name in classes]


def file_order(image: str) -> tuple[str, str]:
    """Sorts by file name, whatever folder it is in: `n01440764/ILSVRC2012_val_00000293.JPEG` by its number."""
    return image.rsplit("/", 1)[-1], image


def readable(prediction: Prediction, classes: Sequence[str], order: Sequence[int]) -> str:
    """CSV text: image, label, guesses and their probabilities."""
    places = range(1, prediction.guesses.shape[1] + 1)
    columns = ["image", "label", *(f"guess{i}" for i in places), *(f"p{i}" for i in places)]
    rows = []
    for i in order:
        guesses = [classes[guess] for guess in prediction.guesses[i]]
        probabilities = [f"{p:.6g}" for p in prediction.guess_probabilities[i]]
        cells = [str(prediction.images[i]), classes[prediction.labels[i]], *guesses, *probabilities]
        rows.append(dict(zip(columns, cells, strict=True)))
    return scores.as_csv(rows, columns)


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("name", metavar="RUN", help="a run's name, a part of it that no other has, or an ensemble's")
    parser.add_argument("protocol", metavar="PROTOCOL", help="a protocol; those that are averaged: one+other")
    parser.add_argument("--to", type=Path, help=f"folder to write to ({EXPORTS}/<run>)")
    parser.add_argument("--book", type=Path, default=Path("params.yaml"), help="the experiment book (params.yaml)")
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
