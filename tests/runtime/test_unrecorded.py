"""Results that DVC has not recorded outlive `dvc exp run`, which removes them."""

import shutil
from pathlib import Path

import pytest

from ilsvrc.runtime import files, unrecorded

WEIGHTS = Path("results/runs/digits/alexnet/quick/seed=0-00000000/weights.json")
PACKED = Path("data/packed/digits/raw/train.beton")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with DVC and two results; what DVC did so far was seen."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    unrecorded.remember()
    for path in (WEIGHTS, PACKED):
        files.write_text(path, path.name)
    return tmp_path


def dvc_runs() -> None:
    Path(".dvc/tmp/lock").write_text("4242")


def test_what_dvc_removed_is_back_and_said(project: Path) -> None:
    before = PACKED.stat().st_mtime_ns
    dvc_runs()
    shutil.rmtree("results/runs")
    shutil.rmtree("data/packed")
    assert unrecorded.settle() == {WEIGHTS.parent: 1, PACKED.parent: 1}
    assert (WEIGHTS.read_text(), PACKED.read_text()) == ("weights.json", "train.beton")
    assert PACKED.stat().st_mtime_ns == before
    assert unrecorded.settle() == {}


def test_it_comes_back_as_often_as_dvc_removes_it(project: Path) -> None:
    for process in ("1", "22"):
        Path(".dvc/tmp/lock").write_text(process)
        WEIGHTS.unlink()
        assert unrecorded.settle() == {WEIGHTS.parent: 1}


def test_what_a_person_removed_stays_away(project: Path) -> None:
    WEIGHTS.unlink()
    assert unrecorded.settle() == {}
    dvc_runs()
    assert unrecorded.settle() == {}
    assert not WEIGHTS.exists()


def test_the_second_name_is_of_the_newest_file(project: Path) -> None:
    files.write_text(WEIGHTS, "newer")
    dvc_runs()
    WEIGHTS.unlink()
    unrecorded.settle()
    assert WEIGHTS.read_text() == "newer"


def test_dvc_does_not_look_at_those_of_another_configuration(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Path("data/.dvcignore").exists()
    monkeypatch.setenv(unrecorded.OTHER_CONFIGURATION, "1")
    unrecorded.forget(PACKED)
    files.write_text(Path("data/raw/a set/#1 [new]!.csv"), "")
    files.write_text(PACKED, "again")
    lines = Path("data/.dvcignore").read_text().splitlines()
    assert lines == [r"/raw/a\ set/\#1\ \[new\]\!.csv", "/packed/digits/raw/train.beton"]


def test_a_record_drops_the_second_names(project: Path) -> None:
    unrecorded.show()
    assert not Path("data/.dvcignore").exists()
    unrecorded.drop()
    assert PACKED.stat().st_nlink == WEIGHTS.stat().st_nlink == 1
    assert not Path("data/.unrecorded").exists() and not Path("results/.unrecorded").exists()


def test_what_is_pruned_is_forgotten(project: Path) -> None:
    unrecorded.forget(WEIGHTS.parent)
    dvc_runs()
    shutil.rmtree(WEIGHTS.parent)
    assert unrecorded.settle() == {}


def test_other_files_and_folders_without_dvc_have_one_name(project: Path) -> None:
    files.write_text(Path("results/scores.csv"), "")
    files.write_text(Path("work/checkpoint.pt"), "")
    shutil.rmtree(".dvc")
    files.write_text(Path("results/costs/alexnet.json"), "")
    found = {path.name for top in ("data", "results") for path in Path(top, ".unrecorded").rglob("*") if path.is_file()}
    assert found == {"weights.json", "train.beton"}
