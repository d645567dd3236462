"""Faults: files that are not what params.yaml asks for, found by their contents.

Every small file repeats the specification it was made from and the hash of the large one beside it.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ilsvrc.artifacts import run_files, spreadsheet
from ilsvrc.artifacts.json_record import JsonRecord, RunRecord
from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.artifacts.run_info import RunInfo
from ilsvrc.artifacts.weights_info import WeightsInfo
from ilsvrc.config import cost_specs, packed_formats, runs, specs
from ilsvrc.datasets._card import SPLITS
from ilsvrc.evaluation import prediction_file, predictions
from ilsvrc.evaluation.scores import ENSEMBLE
from ilsvrc.pipeline import wiring
from ilsvrc.runtime import files

Kind = TypeVar("Kind", bound=JsonRecord)
SUMMARIES = ("scores.csv", "metrics.json", "curves.csv", "report.html", "tables", "figures")


class MeasuredFrom(JsonRecord):
    """Specification of a network's costs."""

    noun = "a file of costs"
    spec: dict[str, Any]


class MeasuredWith(JsonRecord):
    """Weights of costs in int8."""

    noun = "a file of costs in int8"
    weights_sha256: str


class InspectedWith(MeasuredWith):
    """Weights of an inspection, and the number of training images among which it searched."""

    noun = "an inspection"
    nearest_of: int


class Fault(NamedTuple):
    """A file or folder that is not what params.yaml asks for, and the reason."""

    path: Path
    why: str


def packed_faults(form: specs.FormSpec) -> Iterator[Fault]:
    """Files of the packed form that another specification made, or that changed since."""
    folder = run_files.PACKED / form.data / packed_formats.form_name(form)
    for split in SPLITS:
        manifest, beton = folder / f"{split}.manifest.json", folder / f"{split}.beton"
        why = _packed_fault(form, split, manifest, beton) if manifest.exists() else ""
        if why:
            beside = (folder / f"{split}.{name}" for name in ("images.csv", "mean_image.npy", "checksums.npz"))
            yield from (Fault(path, why) for path in (manifest, beton, *beside) if path.exists())


def _packed_fault(form: specs.FormSpec, split: str, manifest: Path, beton: Path) -> str:
    """Fault of one packed split, empty where there is none."""
    found = _read(Manifest, manifest)
    if found is None:
        return _damaged(manifest)
    if (found.spec, found.split) != (form, split):
        return "made from another specification"
    if beton.exists() and files.file_sha256(beton) != found.content_sha256:
        return "the packed file's bytes are not those that the manifest describes"
    return ""


def run_faults(run: runs.Run) -> Iterator[Fault]:
    """The run's folder, where one of its files was made from another specification, changed since, or is missing."""
    folder = run_files.RUNS / run.name
    why = _run_fault(run, folder) if folder.is_dir() else ""
    if why:
        yield Fault(folder, why)


def _run_fault(run: runs.Run, folder: Path) -> str:
    """Fault of a run's folder, empty where there is none."""
    why = _wrong_key(run, RunInfo, folder / "run.json") or _wrong_key(run, WeightsInfo, folder / "weights.json")
    if why:
        return why
    absent = [name for name in run_files.RUN_FILES if not (folder / name).exists()]
    if absent:
        return f"{', '.join(absent)} missing"
    weights = WeightsInfo.read(folder / "weights.json")
    if files.file_sha256(folder / "weights.safetensors") != weights.weights_sha256:
        return "the weights' bytes are not those that weights.json describes"
    if _other_data(run, "train" if run.is_trained_here else "val", weights.manifest_sha256):
        return "trained on other data than is packed here"
    return ""


def prediction_faults(run: runs.Run, protocols: tuple[str, ...]) -> Iterator[Fault]:
    """Predictions that the run's weights did not make on the packed test split, or that are damaged."""
    weights = run_files.RUNS / run.name / "weights.json"
    for protocol in protocols:
        path = prediction_file.prediction_file(run.name, protocol)
        if not path.exists():
            continue
        if not weights.exists():
            yield Fault(path, "the run that made it is not here")
            continue
        try:
            found = predictions.read_prediction(path)
            predictions.check_prediction(run.name, protocol, found, WeightsInfo.read(weights))
        except ValueError as error:
            yield Fault(path, str(error))


def cost_faults(plan: cost_specs.Plan) -> Iterator[Fault]:
    """Costs that were measured of something else, or in int8 with other weights."""
    for path, spec in ((Path(name), spec) for name, spec in plan.forms.items()):
        measured = _read(MeasuredFrom, path)
        if path.exists() and (not measured or measured.spec != json.loads(specs.specification(spec))):
            yield Fault(path, "measured of something else" if measured else _damaged(path))
    for path, run in ((Path(name), run) for run, name in plan.quantized.items()):
        quantized = _read(MeasuredWith, path)
        if path.exists() and (not quantized or quantized.weights_sha256 != _weights_sha256(run)):
            yield Fault(path, "measured with other weights than the run's" if quantized else _damaged(path))


def inspection_faults(flow: wiring.Pipeline) -> Iterator[Fault]:
    """Inspections of networks with other weights than the run's, or among other images than params.yaml asks for."""
    for run in flow.inspected:
        folder = run_files.INSPECTED / run
        why = _inspection_fault(flow, run, folder / "inspect.json") if folder.is_dir() else ""
        if why:
            yield Fault(folder, why)


def _inspection_fault(flow: wiring.Pipeline, run: str, path: Path) -> str:
    """Fault of a run's inspection, empty where there is none."""
    inspected = _read(InspectedWith, path)
    if inspected is None:
        return _damaged(path)
    if inspected.weights_sha256 != _weights_sha256(run):
        return "inspected with other weights than the run's"
    if inspected.nearest_of != flow.nearest_of:
        return f"nearest_of is {inspected.nearest_of}, and params.yaml asks for {flow.nearest_of}"
    return ""


def summary_faults(flow: wiring.Pipeline) -> Iterator[Fault]:
    """Scores and what is made from them, where they are not of the runs and protocols that params.yaml names."""
    scores = run_files.RUNS.parent / "scores.csv"
    if not scores.exists():
        return
    with scores.open(newline="") as file:
        scored = [(spreadsheet.plain(row["run"]), spreadsheet.plain(row["protocol"])) for row in csv.DictReader(file)]
    expected = [(run, protocol) for run in flow.runs for protocol in flow.params.protocols]
    for ensemble in flow.ensembles:
        expected += [(f"{ENSEMBLE}{ensemble.name}", "+".join(protocols)) for protocols in ensemble.protocols]
    if scored != expected:
        made = [scores.parent / name for name in SUMMARIES]
        yield from (Fault(path, "made of other runs than params.yaml names") for path in made if path.exists())


def _weights_sha256(run: str) -> str | None:
    """Hash of the run's weights, None where the run is not here."""
    path = run_files.RUNS / run / "weights.json"
    return WeightsInfo.read(path).weights_sha256 if path.exists() else None


def _wrong_key(run: runs.Run, kind: type[RunRecord], path: Path) -> str:
    """Fault of a file that repeats the run's specification, empty where there is none."""
    record = _read(kind, path)
    if record is None:
        return _damaged(path)
    try:
        run_files.check_key(run.name, record, path)
    except ValueError:
        return f"{path.name} was made from another specification"
    return ""


def _read(kind: type[Kind], path: Path) -> Kind | None:
    """Record of a small file, None where it is damaged or missing."""
    try:
        return kind.read(path)
    except (ValueError, OSError):
        return None


def _damaged(path: Path) -> str:
    return f"{path.name} is damaged or missing"


def _other_data(run: runs.Run, split: str, sha256: str) -> bool:
    """True if the split that is packed here holds other bytes; False where none is."""
    here = run_files.split_sha256(run.spec.form, split)
    return here is not None and here != sha256
