"""Files of predictions: their paths, their headers and their validity, by the standard library alone.

A file is a zip that numpy reads (NPZ): one member an array, and `about.json`, which a dry run can read without numpy.
"""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from ilsvrc.runtime import files

PREDICTIONS = Path("results/predictions")
FORMAT = 2  # 1: probabilities, labels, images and spec alone
ABOUT = "about.json"
ARRAYS = (
    "labels", "images", "log_probabilities", "ranks", "guesses", "guess_probabilities", "squared_norms",
    "probabilities",
)  # fmt: skip


class PredictionSpec(TypedDict, total=False):
    """Specification of a file of predictions: run, protocol, weights and test split; or an ensemble's members.

    Hashes tell files of other weights and splits apart, `revision` another version of the protocol. `classes` are names
    by index.
    """

    run_key: str
    protocol: str
    revision: int
    weights_sha256: str
    manifest_sha256: str
    form: dict[str, Any]
    classes: list[str]
    average: str  # of ensembles, whose predictions are not kept in files
    members: "list[PredictionSpec]"


class Header(TypedDict):
    """Header of a file of predictions."""

    format: int
    num_classes: int
    spec: PredictionSpec


FIRST_FORMAT: Header = {"format": 1, "num_classes": 0, "spec": {}}  # of files without a header


class DamagedError(files.DamagedError):
    """A file of predictions that is cut short, changed, of another format or none at all: it has to be made again."""


def prediction_file(run: str, protocol: str) -> Path:
    """Path of a run's predictions by a protocol."""
    return PREDICTIONS / run / f"{protocol}.npz"


def about(path: Path) -> Header:
    """Header of the file of predictions at `path`: format, num_classes, spec.

    Raises:
        DamagedError: it is cut short, of another format or no file of predictions.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found: Header = json.loads(archive.read(ABOUT)) if ABOUT in archive.namelist() else FIRST_FORMAT
            absent = {f"{name}.npy" for name in ARRAYS} - set(archive.namelist())
    except OSError:
        raise
    except Exception as error:  # whatever zipfile makes of bytes that are no zip
        raise DamagedError(path, f"is no complete prediction ({error})") from error
    if found["format"] != FORMAT:
        raise DamagedError(path, f"is of format {found['format']}, not {FORMAT}")
    if absent:
        raise DamagedError(path, f"is no complete prediction ({', '.join(sorted(absent))} missing)")
    return found


def fault(path: Path, expected: Mapping[str, Any]) -> str:
    """Reason why the file at `path` is not the prediction whose specification holds `expected`; empty where it is.

    The file's ends are read, not all its bytes. Values of None are not compared.
    """
    try:
        spec: Mapping[str, Any] = about(path)["spec"]
    except DamagedError:
        return "is damaged or of an older format"
    differing = [name for name, value in expected.items() if value is not None and spec.get(name) != value]
    return f"was made with another {differing[0]}" if differing else ""


def is_current(path: Path, spec: PredictionSpec) -> bool:
    """True if `path` is a file of predictions of this format that was made from `spec`."""
    return path.exists() and not fault(path, json.loads(json.dumps(spec)))
