"""After `dvc pull`: is each file what params.yaml asks for? Those that are not are removed, and made again.

Times do not travel with git or DVC, so that a clone cannot tell old from new by them. Contents can: every small file
repeats the specification it was made from and the hash of the large one beside it.
"""

import argparse
import csv
import json
from collections.abc import Iterator
from pathlib import Path

from ilsvrc.artifacts import run_files
from ilsvrc.config import ensembles, packed_formats, profiling, runs, specs
from ilsvrc.config.params import Params, load
from ilsvrc.datasets._card import SPLITS
from ilsvrc.evaluation import prediction_file, predictions
from ilsvrc.evaluation.scores import ENSEMBLE
from ilsvrc.pipeline import wiring
from ilsvrc.runtime import cli, files
from ilsvrc.runtime.progress import track
from ilsvrc.stages import record
from ilsvrc.stages.prune import remove


def main(given: argparse.Namespace) -> None:
    """Checks packed data, runs and predictions, in this order, since each is checked against those before it."""
    params = load(given.book)
    packed, named = packed_formats.asked_for(params), runs.expand(params)
    num_removed = sum(discard(*fault) for form in packed for fault in packed_faults(form))
    for run in track(runs.with_those_before(named), "verify", unit="runs"):
        num_removed += sum(discard(*fault) for fault in run_faults(run))
        num_removed += sum(discard(*fault) for fault in prediction_faults(run, params.protocols))
    num_removed += sum(discard(*fault) for fault in cost_faults(wiring.Pipeline(params).costs))
    num_removed += sum(discard(*fault) for fault in inspection_faults(params))
    num_removed += sum(discard(*fault) for fault in summary_faults(params, named))
    record.mark(record.MARKER, recorded=True, reason="pulled as it was recorded elsewhere")
    present = sum((run_files.RUNS / run.name).is_dir() for run in named)
    removed = f"{num_removed} removed, snakemake makes them again" if num_removed else "nothing removed"
    cli.say(f"verified: {present} of {len(named)} runs of {given.book} are here and as they should be; {removed}")


Fault = tuple[Path, str]
SUMMARIES = ("scores.csv", "metrics.json", "curves.csv", "report.html", "tables", "figures")


def packed_faults(form: specs.FormSpec) -> Iterator[Fault]:
    """Files of the packed form that another specification made, or that changed since."""
    folder = run_files.PACKED / form.data / packed_formats.form_name(form)
    for split in SPLITS:
        manifest, beton = folder / f"{split}.manifest.json", folder / f"{split}.beton"
        if not manifest.exists():
            continue
        info, why = _read(manifest)
        if info and (info.get("spec"), info.get("split")) != (
            form.model_dump(mode="json", exclude_defaults=True),
            split,
        ):
            why = "made from another specification"
        elif info and beton.exists() and files.file_sha256(beton) != info["content_sha256"]:
            why = "the packed file's bytes are not those that the manifest describes"
        if why:
            beside = (folder / f"{split}.{name}" for name in ("images.csv", "mean_image.npy"))
            yield from ((path, why) for path in (manifest, beton, *beside) if path.exists())


def run_faults(run: runs.Run) -> Iterator[Fault]:
    """The run's folder, where one of its files was made from another specification, changed since, or is missing."""
    folder = run_files.RUNS / run.name
    if not folder.is_dir():
        return
    why = next((why for name in ("run.json", "weights.json") if (why := _wrong_key(run, folder / name))), "")
    if not why:
        weights = files.read_json(folder / "weights.json")
        absent = [name for name in run_files.RUN_FILES if not (folder / name).exists()]
        if absent:
            why = f"{', '.join(absent)} missing"
        elif files.file_sha256(folder / "weights.safetensors") != weights["weights_sha256"]:
            why = "the weights' bytes are not those that weights.json describes"
        elif _other_data(run, "train" if run.is_trained_here else "val", weights["manifest_sha256"]):
            why = "trained on other data than is packed here"
    if why:
        yield folder, why


def prediction_faults(run: runs.Run, protocols: tuple[str, ...]) -> Iterator[Fault]:
    """Predictions that the run's weights did not make on the packed test split, or that are damaged."""
    weights = run_files.RUNS / run.name / "weights.json"
    for protocol in protocols:
        path = prediction_file.prediction_file(run.name, protocol)
        if not path.exists():
            continue
        if not weights.exists():
            yield path, "the run that made it is not here"
            continue
        try:
            found = predictions.read_prediction(path)
            predictions.check_prediction(run.name, protocol, found, files.read_json(weights))
        except ValueError as error:
            yield path, str(error)


def cost_faults(plan: profiling.Plan) -> Iterator[Fault]:
    """Costs that were measured of something else, or in int8 with other weights."""
    for name, spec in plan.forms.items():
        path = Path(name)
        info, why = _read(path)
        if path.exists() and (why or info.get("spec") != json.loads(specs.specification(spec))):
            yield path, why or "measured of something else"
    for run, name in plan.quantized.items():
        path, weights = Path(name), run_files.RUNS / run / "weights.json"
        info, why = _read(path)
        used = files.read_json(weights)["weights_sha256"] if weights.exists() else None
        if path.exists() and (why or info.get("weights_sha256") != used):
            yield path, why or "measured with other weights than the run's"


def inspection_faults(params: Params) -> Iterator[Fault]:
    """What looked into networks with other weights than the run's, or among other pictures than is asked for."""
    flow = wiring.Pipeline(params)
    for run in flow.inspected:
        folder, weights = run_files.INSPECTED / run, run_files.RUNS / run / "weights.json"
        if not folder.is_dir():
            continue
        info, why = _read(folder / "inspect.json")
        expected = {
            "weights_sha256": files.read_json(weights)["weights_sha256"] if weights.exists() else None,
            "nearest_of": flow.nearest_of,
        }
        differing = [name for name, value in expected.items() if info.get(name) != value]
        if why or differing:
            yield folder, why or f"{differing[0]} differs from what is asked for or here"


def summary_faults(params: Params, named: list[runs.Run]) -> Iterator[Fault]:
    """Scores and what is made from them, where they are not of the runs and protocols that params.yaml names."""
    scores = run_files.RUNS.parent / "scores.csv"
    if not scores.exists():
        return
    with scores.open(newline="") as file:
        scored = [(row["run"], row["protocol"]) for row in csv.DictReader(file)]
    expected = [(run.name, protocol) for run in named for protocol in params.protocols]
    for ensemble in ensembles.find(params, {run.name: run for run in named}):
        expected += [(f"{ENSEMBLE}{ensemble.name}", "+".join(protocols)) for protocols in ensemble.protocols]
    if scored != expected:
        made = [scores.parent / name for name in SUMMARIES]
        yield from ((path, "made of other runs than params.yaml names") for path in made if path.exists())


def discard(path: Path, why: str) -> int:
    """Removes `path`, says why, and counts 1."""
    remove(path)
    cli.say(f"removed {path}: {why}")
    return 1


def _wrong_key(run: runs.Run, path: Path) -> str:
    info, why = _read(path)
    try:
        run_files.check_key(run.name, info, path)
    except ValueError:
        return why or f"{path.name} was made from another specification"
    return why


def _read(path: Path) -> tuple[files.Info, str]:
    """A small file's content, and what is wrong with it: empty if nothing."""
    try:
        return files.read_json(path), ""
    except (ValueError, OSError):
        return {}, f"{path.name} is damaged or missing"


def _other_data(run: runs.Run, split: str, sha256: str) -> bool:
    """The split that is packed here holds other bytes; False where none is."""
    here = run_files.split_sha256(run.spec.form.model_dump(), split)
    return here is not None and here != sha256


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = cli.parser(__doc__)
    parser.add_argument("--book", type=Path, default=Path("params.yaml"), help="the experiment book (params.yaml)")
    return parser


if __name__ == "__main__":
    cli.run(main, arguments())
