"""Kept predictions of a run or an ensemble as text, a line for each image, in the order of the images' file names.

`<protocol>.submission.txt` has the form in which ILSVRC takes classification results (development kit of 2012): the
five guesses, the most probable first, as class numbers from 1, separated by spaces. The numbers are the owners' where
the data set has such (ILSVRC2012_ID, from the development kit at `data.path`), else places in the order of the classes.

`<protocol>.csv` is for people: image, label, guess1 to guess5 and their probabilities p1 to p5. Of multi-label tasks it
is the only file: image, labels, predicted classes (above 0.2), all probabilities.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ilsvrc.artifacts.find_run import find_run
from ilsvrc.config import packed_formats, params, registry
from ilsvrc.config.ensembles import ResolvedEnsemble
from ilsvrc.config.params import Params
from ilsvrc.evaluation import ensembles, multilabel_scores, prediction_file, predictions, scores
from ilsvrc.evaluation.choose_ensemble import find_ensemble
from ilsvrc.evaluation.predictions import Prediction
from ilsvrc.evaluation.task import MultiLabel
from ilsvrc.runtime.files import write_text

EXPORTS = Path("results/exports")


@dataclass(frozen=True)
class ExportJob:
    """Arguments of an export.

    Args:
        name: a run's folder, its name or a part that no other run has; or an ensemble of params.yaml.
        protocol: a test protocol, or those that an ensemble averages: `one+other`.
        to: the folder to write to; None for results/exports/<run>.
        params: the configuration file.
    """

    name: str
    protocol: str
    to: Path | None = None
    params: Path = Path("params.yaml")


class Exported(NamedTuple):
    """The files written, and the images in each."""

    files: tuple[Path, ...]
    num_images: int


class Found(NamedTuple):
    """A kept prediction, the run's or ensemble's name, and the data set's label."""

    name: str
    label: str
    prediction: Prediction


def export(job: ExportJob) -> Exported:
    """Writes a kept prediction as text.

    Raises:
        ValueError: there is no such run, ensemble or prediction, or the owners' class numbers are not known.
    """
    configuration = params.load(job.params)
    found = find(job, configuration)
    images = found.prediction.images
    order = sorted(range(len(images)), key=lambda i: file_order(str(images[i])))
    folder = job.to or EXPORTS / found.name
    texts = export_texts(found, configuration, order)
    for ending, text in texts.items():
        write_text(folder / f"{job.protocol}.{ending}", text)
    return Exported(tuple(folder / f"{job.protocol}.{ending}" for ending in texts), len(order))


def export_texts(found: Found, configuration: Params, order: Sequence[int]) -> dict[str, str]:
    """The text of each file by its name's ending, images in `order`."""
    prediction = found.prediction
    classes = prediction.spec["classes"]
    if isinstance(prediction.task, MultiLabel):
        columns, rows = multilabel_scores.readable(prediction, classes, order)
        return {"csv": scores.as_csv(rows, columns)}
    numbers = class_numbers(found.label, configuration, classes)
    lines = [" ".join(str(numbers[guess]) for guess in prediction.guesses[i]) for i in order]
    return {
        "submission.txt": "".join(f"{line}\n" for line in lines),
        "csv": readable(prediction, classes, order),
    }


def find(job: ExportJob, configuration: Params) -> Found:
    """The kept prediction of the run or ensemble that a person names.

    Raises:
        ValueError: there is no such run or ensemble, or it was not tested by the protocol.
    """
    ensemble = find_ensemble(job.name, job.params)
    if ensemble is not None:
        name = f"{scores.ENSEMBLE}{ensemble.name}"
        return Found(name, packed_formats.data_label(configuration), ensemble_prediction(ensemble, job.protocol))
    run = find_run(job.name.removeprefix(f"{prediction_file.PREDICTIONS}/"), job.params)
    path = prediction_file.prediction_file(run, job.protocol)
    if not path.exists():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.npz"))) or "none"
        raise ValueError(f"{run} has no predictions by {job.protocol}; there are: {there}")
    return Found(run, run.split("/")[0], predictions.read_for_scores(path))


def ensemble_prediction(ensemble: ResolvedEnsemble, protocol: str) -> Prediction:
    """The prediction of an ensemble by one of its sets of protocols, `vgg_dense+flip`."""
    known = {"+".join(protocols): protocols for protocols in ensemble.protocols}
    if protocol not in known:
        raise ValueError(f"ensemble {ensemble.name} has no predictions by {protocol}; there are: {', '.join(known)}")
    files = [prediction_file.prediction_file(run, each) for run in ensemble.members for each in known[protocol]]
    absent = [str(file) for file in files if not file.exists()]
    if absent:
        raise ValueError(f"ensemble {ensemble.name} is not complete: {', '.join(absent)} missing; run snakemake")
    return ensembles.combine(files, ensemble.average)


def class_numbers(label: str, configuration: Params, classes: Sequence[str]) -> list[int]:
    """Number of each class in a submission.

    Raises:
        ValueError: the owners' numbers are for other classes, or their list is not where params.yaml says.
    """
    data_set = registry.load("datasets", label) if label in registry.names("datasets") else None
    if not hasattr(data_set, "class_numbers"):
        return list(range(1, len(classes) + 1))
    if label != packed_formats.data_label(configuration):
        raise ValueError(f"the numbers of {label}'s classes lie at its data.path; name {label} in params.yaml")
    numbers: Mapping[str, int] = data_set.class_numbers(configuration.data.model_dump())  # type: ignore[union-attr]
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


def as_text(exported: Exported) -> str:
    """A line for each file."""
    return "".join(f"{file}: {exported.num_images} images\n" for file in exported.files)


def as_json(exported: Exported) -> dict[str, Any]:
    """The files and the number of images."""
    return {"files": [str(file) for file in exported.files], "num_images": exported.num_images}
