"""Costs measured again: which files, and by which command."""

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from ilsvrc import cli
from ilsvrc.config import params
from ilsvrc.pipeline import remeasure, wiring
from ilsvrc.pipeline.remeasure import RemeasureJob

BOOK = "dataset: digits\narchitectures: [alexnet, resnet18]\nrecipe: quick\nprotocols: [single_crop]\n"


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Files of costs by architecture: AlexNet's of a quiet machine, ResNet-18's of a busy one."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(BOOK)
    Path("Snakefile").touch()
    forms = wiring.Pipeline(params.load()).costs.forms
    for path, spec in forms.items():
        busy = {"busy_machine": True, "spread": 0.4} if spec.architecture == "resnet18" else {}
        write(Path(path), spec.architecture, busy)
    return {spec.architecture: path for path, spec in forms.items()}


def write(path: Path, architecture: str, more: dict[str, object]) -> None:
    """A file of costs."""
    latency = {"median_ms": 2.0, "p95_ms": 2.0, "p99_ms": 2.0, "passes": 20}
    tested = {
        "precision": "float32", "latency": latency, "images_per_second": 500.0, "best_batch": 1, "tried_batches": {},
        "weight_bytes": 1, "peak_bytes": 1, "best_batch_peak_bytes": 1, "joules_an_image": None,
        "best_batch_joules_an_image": None, **more,
    }  # fmt: skip
    content = {
        "spec": {}, "architecture": architecture, "crop_px": 80, "num_classes": 10, "parameters": 1, "activations": 1,
        "multiply_adds": 1, "training": {"why_not": "a test"}, "tests": [tested], "device": "cpu", "threads": 2,
        "energy": "none", "hardware": "a test", "versions": {}, "commit": None, "dirty": None,
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_without_names_what_a_busy_machine_disturbed_is_measured_again(files: dict[str, str]) -> None:
    assert list(remeasure.measurements(RemeasureJob())) == [files["resnet18"]]


def test_named_architectures_are_measured_again_whatever_the_machine_was(files: dict[str, str]) -> None:
    assert list(remeasure.measurements(RemeasureJob(("alexnet",)))) == [files["alexnet"]]
    with pytest.raises(ValueError, match=r"params\.yaml measures no costs of vgg_a; see architectures and costs"):
        list(remeasure.measurements(RemeasureJob(("vgg_a",))))


def test_one_command_runs_snakemake_for_these_files(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []

    def run(command: list[str], check: bool) -> subprocess.CompletedProcess[str]:
        given.append(command)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(remeasure.subprocess, "run", run)
    assert CliRunner().invoke(cli.main, ["remeasure", "-n"]).exit_code == 3
    assert given[0][1:] == ["-m", "snakemake", "--cores", "all", "--dry-run", "--forcerun", files["resnet18"]]
    write(Path(files["resnet18"]), "resnet18", {})
    found = CliRunner().invoke(cli.main, ["remeasure"])
    assert (found.exit_code, len(given)) == (0, 1)
    assert "no measurement was taken on a busy machine; name architectures" in found.output
