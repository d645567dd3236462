"""Predictions that scores would refuse, found when jobs are planned by the files' headers. Never imports torch.

Snakemake goes by times alone, and gives a prediction whose renewal failed a new one.
"""

from pathlib import Path
from typing import Any

from ilsvrc.artifacts import run_files
from ilsvrc.artifacts.json_record import JsonRecord
from ilsvrc.evaluation import prediction_file
from ilsvrc.evaluation.load_protocol import load_protocol
from ilsvrc.pipeline import wiring


class _Hashes(JsonRecord):
    """Hash in weights.json, or in a manifest: a fraction of the file, since there may be thousands of runs."""

    noun = "a file with a hash"
    weights_sha256: str | None = None
    content_sha256: str | None = None


def find(flow: wiring.Pipeline) -> dict[str, str]:
    """Reason by path: damaged, or made by other weights, of other images or by another revision of the protocol."""
    found = {}
    images = _hashes(Path(flow.packed_for_test) / "val.manifest.json").content_sha256
    revisions = {protocol: load_protocol(protocol).revision for protocol in flow.params.protocols}
    for run in flow.runs:
        weights = _hashes(run_files.RUNS / run / "weights.json").weights_sha256
        for protocol, revision in revisions.items():
            path = prediction_file.prediction_file(run, protocol)
            expected: dict[str, Any] = {"weights_sha256": weights, "manifest_sha256": images, "revision": revision}
            why = prediction_file.fault(path, expected) if path.exists() else ""
            if why:
                found[str(path)] = why
    return found


def _hashes(path: Path) -> _Hashes:
    """Hashes of a file; none where it is not here, or damaged, which the stage that reads it says."""
    try:
        return _Hashes.read(path)
    except (FileNotFoundError, ValueError):
        return _Hashes()
