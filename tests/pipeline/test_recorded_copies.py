"""Lost files that DVC's cache holds come back as they were, their times kept."""

import hashlib
import json
import os
from pathlib import Path

import pytest
import yaml

from ilsvrc.pipeline import lost_files
from ilsvrc.pipeline.recorded_copies import RecordedCopies

RUN = "results/runs/digits/alexnet/quick/seed=0-aaaaaaaa"
CONTENTS = {"weights.safetensors": b"\x40weights", "weights.json": b"{}\n", "history.csv": b"epoch\n1\n"}


def keep(content: bytes, ending: str = "") -> str:
    """Puts content into the cache; its name there."""
    md5 = hashlib.md5(content).hexdigest() + ending
    path = Path(".dvc/cache/files/md5", md5[:2], md5[2:])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return md5


@pytest.fixture(autouse=True)
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that DVC recorded."""
    monkeypatch.chdir(tmp_path)
    Path(RUN).mkdir(parents=True)
    listed = []
    for name, content in CONTENTS.items():
        Path(RUN, name).write_bytes(content)
        inside = f"{RUN}/{name}".removeprefix("results/runs/")
        listed.append({"md5": keep(content), "relpath": inside})
    out = {"path": "results/runs", "md5": keep(json.dumps(listed).encode(), ".dir")}
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"models": {"outs": [out]}}}))


def lose(name: str) -> dict[str, str]:
    """Empties a file of the run, its time long ago; what is found."""
    path = Path(RUN, name)
    path.write_bytes(b"")
    os.utime(path, ns=(10**18, 10**18))
    return {str(path): "is empty"}


@pytest.mark.parametrize("name", CONTENTS)
def test_a_lost_file_is_brought_back_with_its_time_and_nothing_is_made_again(name: str) -> None:
    found = lose(name)

    assert lost_files.said(found) == [f"{RUN}/{name} is empty: it is brought back from DVC's cache"]
    assert lost_files.to_be_made(found) == []
    assert lost_files.repair(found) == []

    assert Path(RUN, name).read_bytes() == CONTENTS[name]
    assert Path(RUN, name).stat().st_mtime_ns == 10**18


def test_several_lost_files_of_a_run_come_back() -> None:
    found = lose("weights.json") | lose("history.csv")
    assert lost_files.repair(found) == []
    assert Path(RUN, "history.csv").read_bytes() == CONTENTS["history.csv"]


def test_a_run_that_was_trained_again_since_is_made_again() -> None:
    Path(RUN, "weights.safetensors").write_bytes(b"\x40anew as")
    found = lose("history.csv")

    assert lost_files.said(found) == [f"{RUN}/history.csv is empty: it is made again"]
    assert lost_files.to_be_made(found) == [f"{RUN}/history.csv"]
    assert lost_files.repair(found) == [f"{RUN}/history.csv", f"{RUN}/weights.json"]
    assert not Path(RUN, "history.csv").exists()


def test_a_copy_that_is_damaged_too_is_not_taken() -> None:
    found = lose("weights.json")
    md5 = hashlib.md5(CONTENTS["weights.json"]).hexdigest()
    Path(".dvc/cache/files/md5", md5[:2], md5[2:]).write_bytes(b"[]\n")

    assert lost_files.repair(found) == [f"{RUN}/weights.json"]
    assert not Path(RUN, "weights.json").exists()


@pytest.mark.parametrize("text", [None, "", "stages: 3", "{"])
def test_without_a_record_everything_is_made_again(text: str | None) -> None:
    Path("dvc.lock").unlink()
    if text is not None:
        Path("dvc.lock").write_text(text)
    assert RecordedCopies().copies == {}
    assert lost_files.to_be_made(lose("history.csv")) == [f"{RUN}/history.csv"]
