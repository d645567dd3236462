"""Manifest, weights.json and run.json: key for key and byte for byte what finished checkouts hold."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ilsvrc.artifacts.json_record import JsonRecord
from ilsvrc.artifacts.manifest import Manifest
from ilsvrc.artifacts.run_info import RunInfo
from ilsvrc.artifacts.weights_info import WeightsInfo
from ilsvrc.config import specs

GOLDEN = Path(__file__).parent / "golden"
FILES: list[tuple[type[JsonRecord], str]] = [
    (Manifest, "val.manifest.json"),
    (Manifest, "multilabel.manifest.json"),
    (WeightsInfo, "weights.json"),
    (WeightsInfo, "imported.weights.json"),
    (RunInfo, "run.json"),
    (RunInfo, "imported.run.json"),
]
KINDS = pytest.mark.parametrize(("kind", "name"), FILES, ids=[name for _, name in FILES])


@KINDS
def test_a_file_that_is_read_and_written_keeps_every_byte(kind: type[JsonRecord], name: str, tmp_path: Path) -> None:
    kind.read(GOLDEN / name).write(tmp_path / name)

    assert (tmp_path / name).read_bytes() == (GOLDEN / name).read_bytes()


@KINDS
def test_the_first_version_may_be_written_and_a_later_one_is_refused(
    kind: type[JsonRecord], name: str, tmp_path: Path
) -> None:
    content, path = json.loads((GOLDEN / name).read_text()), tmp_path / name
    path.write_text(json.dumps({**content, "schema_version": 1}))
    assert kind.read(path) == kind.read(GOLDEN / name)

    path.write_text(json.dumps({**content, "schema_version": 2}))
    with pytest.raises(ValueError, match=r"has schema_version 2, and .* reads up to 1; update ilsvrc") as refused:
        kind.read(path)
    assert str(path) in str(refused.value)


@KINDS
def test_a_missing_key_is_named_with_the_file(kind: type[JsonRecord], name: str, tmp_path: Path) -> None:
    content, path = json.loads((GOLDEN / name).read_text()), tmp_path / name
    del content["spec"]
    path.write_text(json.dumps(content))

    with pytest.raises(ValueError, match=r"\(spec: missing\); remove it and run snakemake again") as refused:
        kind.read(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(("text", "why"), [("{", "is damaged"), ("[]", "is not a run's run.json"), ("", "is damaged")])
def test_another_file_is_refused(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(text)

    with pytest.raises(ValueError, match=f"run.json {why}.*; remove it and run snakemake again"):
        RunInfo.read(tmp_path / "run.json")


def test_a_missing_file_is_named_with_the_command_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"run.json is missing; run snakemake, which writes it.*run.json"):
        RunInfo.read(tmp_path / "run.json")


def test_the_specification_of_a_run_is_typed() -> None:
    trained, imported = (RunInfo.read(GOLDEN / name) for name in ("run.json", "imported.run.json"))

    assert isinstance(trained.made_from, specs.TrainSpec)
    assert isinstance(imported.made_from, specs.ImportSpec)
    assert specs.key8(trained.made_from) == trained.key
    assert (trained.is_trained_here, imported.is_trained_here) == (True, False)


def test_the_sets_of_classes_of_multilabel_data_have_a_hash() -> None:
    single, several = (Manifest.read(GOLDEN / f"{name}.manifest.json") for name in ("val", "multilabel"))

    assert single.label_sets_sha256 is None
    assert several.label_sets_sha256 is not None
    assert several.label_sets_sha256 != several.model_copy(update={"classes": ["dog", "cat"]}).label_sets_sha256


def test_reading_never_imports_torch() -> None:
    command = "import ilsvrc.artifacts.run_info, ilsvrc.artifacts.manifest, sys; assert 'torch' not in sys.modules"

    subprocess.run([sys.executable, "-c", command], check=True)
