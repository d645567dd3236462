"""Inputs of a report beside the scores: images of packed files, times of jobs, and inspections of networks."""

import base64
import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ilsvrc.artifacts import run_files
from ilsvrc.artifacts.manifest import Manifest, beside
from ilsvrc.config import packed_formats, specs
from ilsvrc.evaluation.inspection import thumbnails
from ilsvrc.packing.beton import open_packed
from ilsvrc.reporting import hardest_images
from ilsvrc.runtime import files

BENCHMARKS = Path("logs/benchmarks")
AFTER = {"report", "record"}  # not over when the report is written
STAGES = ("acquire", "pack", "import_weights", "train", "predict", "score", "cost", "int8", "cost_table", "inspect")
TYPES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}


def find_images(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Data URIs of the test images called `names`, of the packed file in `folder`; none where it is not there."""
    beton, listing = folder / "val.beton", folder / "val.images.csv"
    if not (beton.exists() and listing.exists()):
        return {}
    with listing.open(newline="") as file:
        wanted = set(names)
        places = {row["name"]: int(row["index"]) for row in csv.DictReader(file) if row["name"] in wanted}
    opened = open_packed(beton)
    content = opened.mapped()
    return {name: thumbnails.data_uri(opened, content, place, hardest_images.MAX_PX) for name, place in places.items()}


def find_times(named: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The jobs of the runs `named` and those that belong to no run, in the order in which the pipeline does them.

    A job that was stopped and went on counts from where it went on, as Snakemake's benchmark has it.
    """
    jobs = []
    for path in sorted(BENCHMARKS.rglob("*.tsv")):
        stage, *rest = path.relative_to(BENCHMARKS).with_suffix("").parts
        job = "/".join(rest)
        run = next((run for run in named if job == run or job.startswith(f"{run}/")), None)
        if stage not in AFTER and (run or "seed=" not in job):
            jobs.append(_job(path, stage, job, run))
    order = {name: place for place, name in enumerate(STAGES)}
    yield from sorted(jobs, key=lambda job: (order.get(job["stage"], len(order)), job["stage"], job["job"]))


def _job(path: Path, stage: str, job: str, run: str | None) -> dict[str, Any]:
    with path.open(newline="") as file:
        row = next(csv.DictReader(file, delimiter="\t"))
    seconds, memory, cpu = (_number(row.get(key)) for key in ("s", "max_rss", "cpu_time"))
    return {"stage": stage, "job": job, "run": run, "seconds": seconds, "cpu_seconds": cpu, "memory_mb": memory}


def _number(text: str | None) -> float | None:
    """A benchmark's number; None where a job was over before it was measured."""
    try:
        return float(text or "")
    except ValueError:
        return None


def find_inspected(named: Iterable[str]) -> list[dict[str, Any]]:
    """Content of `results/inspect/<run>/inspect.json` of each run, its images as data URIs."""
    inspections = []
    for run in named:
        folder = run_files.INSPECTED / run
        if (folder / "inspect.json").exists():
            content = files.read_json(folder / "inspect.json")
            inspections.append({"run": run, **{key: _embedded(value, folder) for key, value in content.items()}})
    return inspections


def _embedded(value: Any, folder: Path) -> Any:
    """`value` with the names of image files in it replaced by data URIs."""
    if isinstance(value, Mapping):
        return {key: _embedded(inner, folder) for key, inner in value.items()}
    if isinstance(value, list):
        return [_embedded(inner, folder) for inner in value]
    if isinstance(value, str) and Path(value).suffix in TYPES and (folder / value).is_file():
        data = base64.b64encode((folder / value).read_bytes()).decode()
        return f"data:image/{TYPES[Path(value).suffix]};base64,{data}"
    return value


def packed_folder(form: specs.FormSpec) -> Path:
    """Folder of the splits of a packed format."""
    return run_files.PACKED / form.data / packed_formats.form_name(form)


def data_facts(train: Path, test: Path) -> dict[str, str]:
    """Number of images and hash of their content, from the manifests in two packed folders."""
    facts = {}
    for path, name in ((train / "train", "Training images"), (test / "val", "Test images")):
        if (at := beside(path)).exists():
            manifest = Manifest.read(at)
            facts[name] = f"{manifest.num_images:,}, packed content SHA-256 {manifest.content_sha256}"
    return facts
