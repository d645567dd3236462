"""Paths of the files under results/ and data/packed, and the check that each is what its name says.

A run's folder ends with the key of its specification, and every file repeats the specification that it was made
from, so that a file that was moved, pulled or left behind under other parameters is found out. Never imports torch.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ilsvrc.artifacts.json_record import RunRecord
from ilsvrc.artifacts.manifest import SUFFIX, Manifest
from ilsvrc.config import packed_formats, specs

RUNS = Path("results/runs")
COSTS = Path("results/costs")
INSPECTED = Path("results/inspect")
PACKED = Path("data/packed")
RUN_FILES = ("weights.safetensors", "weights.json", "history.csv", "run.json")


def canonical(spec: Mapping[str, Any]) -> str:
    """Canonical JSON of a specification, whose hash is its key."""
    return json.dumps(spec, sort_keys=True, separators=(",", ":"))


def run_key(run: str) -> str:
    """Key of a run's specification: the end of the run's name."""
    return run.rsplit("-", 1)[-1]


def check_key(run: str, record: RunRecord, path: Path) -> None:
    """Refuses a `record` (of run.json or weights.json) that was made from another specification than the run's name.

    Raises:
        ValueError: names the run, the file and both keys.
    """
    made_from = hashlib.sha256(canonical(record.spec).encode()).hexdigest()[:8]
    for found, what in ((made_from, "specification"), (record.key, "key")):
        if found != run_key(run):
            raise ValueError(
                f"{run}: {path} holds the {what} of another run ({found}, not {run_key(run)}); "
                "remove the run's folder and run snakemake again"
            )


def split_sha256(form: specs.FormSpec, split: str) -> str | None:
    """Content hash of a packed split, None if it is not on this machine."""
    path = PACKED / form.data / packed_formats.form_name(form) / f"{split}{SUFFIX}"
    return Manifest.read(path).content_sha256 if path.exists() else None


def folders(root: Path) -> list[str]:
    """Names of the runs under `root`: `<label>/<architecture>/<recipe>/seed=<n>-<key8>`."""
    return sorted(str(path.relative_to(root)) for path in root.glob("*/*/*/seed=*-*") if path.is_dir())
