"""Manifests, weights.json and run.json for tests: golden files with changes."""

from pathlib import Path
from typing import Any, TypeVar

from ilsvrc.artifacts.json_record import JsonRecord
from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.artifacts.run_info import RunInfo
from ilsvrc.artifacts.weights_info import WeightsInfo

GOLDEN = Path(__file__).resolve().parents[1] / "artifacts" / "golden"
Record = TypeVar("Record", bound=JsonRecord)


def changed(kind: type[Record], path: Path, changes: dict[str, Any]) -> Record:
    """The record in `path` with other values."""
    return kind.parse({**kind.read(path).model_dump(), **changes}, path)


def manifest(**changes: Any) -> Manifest:
    """A packed test split of digits."""
    return changed(Manifest, GOLDEN / "val.manifest.json", changes)


def weights_info(**changes: Any) -> WeightsInfo:
    """weights.json of AlexNet that was trained on digits, at 80 px."""
    return changed(WeightsInfo, GOLDEN / "weights.json", changes)


def run_info(**changes: Any) -> RunInfo:
    """run.json of AlexNet that was trained on digits."""
    return changed(RunInfo, GOLDEN / "run.json", changes)
