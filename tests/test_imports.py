"""The import contracts of pyproject.toml hold, and imports that would break them are noticed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "src" / "ilsvrc"


def lint(sources: Path) -> subprocess.CompletedProcess[str]:
    """The import-linter's verdict on a package `ilsvrc` in the folder `sources`."""
    command = ["lint-imports", "--no-logo", "--no-cache", str(ROOT / "pyproject.toml")]
    environment = {**os.environ, "PYTHONPATH": str(sources)}
    return subprocess.run(command, cwd=sources, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def copied(tmp_path) -> Path:
    shutil.copytree(SOURCES, tmp_path / "ilsvrc", ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.yaml"))
    return tmp_path


def add_import(sources: Path, file: str, line: str) -> None:
    path = sources / "ilsvrc" / file
    path.write_text(f"{path.read_text()}\n{line}\n")


def test_import_contracts_hold():
    verdict = lint(SOURCES.parent)
    assert verdict.returncode == 0, verdict.stdout


@pytest.mark.parametrize("file", ["config/schema.py", "runtime/http.py"])  # data sets import http by way of download
def test_import_of_torch_below_a_torch_free_module_breaks_a_contract(copied, file):
    add_import(copied, file, "import torch")
    verdict = lint(copied)
    assert verdict.returncode == 1
    assert "start without torch BROKEN" in verdict.stdout


def test_import_against_the_order_of_the_rooms_breaks_a_contract(copied):
    add_import(copied, "packing/encode.py", "from ilsvrc.evaluation import metrics")
    verdict = lint(copied)
    assert verdict.returncode == 1
    assert "The rooms import downwards BROKEN" in verdict.stdout
