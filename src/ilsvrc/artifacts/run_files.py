"""The files under results/: where they lie, how predictions are stored, and whether each is what its name says.

A run's folder ends with the key of its specification, and every file repeats the specification that it was made
from, so that a file that was moved, pulled or left behind under other parameters is found out. Never imports torch.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ilsvrc.artifacts.json_record import RunRecord
from ilsvrc.config import packed_formats, specs
from ilsvrc.runtime.files import read_json

RUNS = Path("results/runs")
COSTS = Path("results/costs")
INSPECTED = Path("results/inspect")
PACKED = Path("data/packed")
RUN_FILES = ("weights.safetensors", "weights.json", "history.csv", "run.json")


def canonical(spec: Mapping[str, Any]) -> str:
    """The JSON that a specification's key is the hash of."""
    return json.dumps(spec, sort_keys=True, separators=(",", ":"))


def run_key(run: str) -> str:
    """The end of a run's name: its specification's key."""
    return run.rsplit("-", 1)[-1]


def check_key(run: str, record: RunRecord | Mapping[str, Any], path: Path) -> None:
    """Stops where `record` (run.json or weights.json) was made from another specification than the run's name says.

    Raises:
        ValueError: names the run, the file and both keys.
    """
    content = record.model_dump() if isinstance(record, RunRecord) else record
    made_from = hashlib.sha256(canonical(content.get("spec", {})).encode()).hexdigest()[:8]
    for found, what in ((made_from, "specification"), (content.get("key"), "key")):
        if found != run_key(run):
            raise ValueError(
                f"{run}: {path} holds the {what} of another run ({found}, not {run_key(run)}); "
                "remove the run's folder and run snakemake again"
            )


def split_sha256(form: Mapping[str, Any], split: str) -> str | None:
    """Content hash of a packed split, None where it is not on this machine."""
    path = PACKED / form["data"] / packed_formats.form_name(specs.FormSpec(**form)) / f"{split}.manifest.json"
    return str(read_json(path)["content_sha256"]) if path.exists() else None


def folders(root: Path) -> list[str]:
    """Names of the runs under `root`: `<label>/<architecture>/<recipe>/seed=<n>-<key8>`."""
    return sorted(str(path.relative_to(root)) for path in root.glob("*/*/*/seed=*-*") if path.is_dir())
