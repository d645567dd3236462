"""Whole trainings of seconds, by the command that Snakemake gives: stopped in every way, taken up again, refused."""

import csv
import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
import small_training
import sockets
import torch
from safetensors.torch import load_file

from ilsvrc.artifacts import run_files
from ilsvrc.config import runs, specs
from ilsvrc.runtime import files, locks
from ilsvrc.training import checkpoint, work_folder

EPOCHS = 9


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    return small_training.pack_digits(tmp_path_factory.mktemp("packed"), small_training.form())


@pytest.fixture(scope="module")
def run() -> runs.Run:
    return small_training.run(epochs=EPOCHS)


@dataclass
class Outcome:
    """A working directory, what was said there, and which processes were left when each training ended."""

    at: Path
    said: list[str] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    orphans: list[list[psutil.Process]] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)  # that the checkpoint held
    mlflow: list[str] = field(default_factory=list)  # the run's status
    listening: set[sockets.Listening] = field(default_factory=set)
    waited_for: int = 0

    def file(self, run: runs.Run, name: str) -> Path:
        return self.at / run_files.RUNS / run.name / name

    def query(self, question: str) -> list[tuple]:
        with sqlite3.connect(self.at / "mlflow.db") as database:
            return database.execute(question).fetchall()


@pytest.fixture(scope="module")
def whole(run, packed, tmp_path_factory) -> Outcome:
    """A training that nothing stopped."""
    outcome = Outcome(tmp_path_factory.mktemp("whole"))
    done = small_training.train(run, packed, outcome.at, loader="ffcv")
    outcome.said.append(done.stderr)
    assert done.returncode == 0, done.stderr
    return outcome


@pytest.fixture(scope="module")
def stopped(run, packed, tmp_path_factory) -> Outcome:
    """The same, whose worker and launcher were stopped; then its launcher was killed while another one waited."""
    outcome = Outcome(tmp_path_factory.mktemp("stopped"))
    for epochs, victim, number in ((1, 1, signal.SIGKILL), (3, 0, signal.SIGTERM), (5, 1, signal.SIGKILL)):
        launcher = small_training.start(run, packed, outcome.at)
        stop(outcome, run, launcher, epochs, victim, number)
    first = small_training.start(run, packed, outcome.at)
    wait_for(lambda: locks.holder(work(outcome, run) / work_folder.LOCK) == str(first.pid), first)
    second = small_training.start(run, packed, outcome.at)
    outcome.waited_for = first.pid
    stop(outcome, run, first, 7, 0, signal.SIGKILL)
    outcome.said.append(second.communicate(timeout=180)[1])
    outcome.codes.append(second.returncode)
    return outcome


def stop(outcome: Outcome, run: runs.Run, launcher: subprocess.Popen, epochs: int, victim: int, number: int) -> None:
    """Signals the launcher (0) or the worker (1) once the checkpoint holds `epochs` epochs."""
    wait_for(lambda: finished_epochs(outcome, run) >= epochs, launcher)
    family = [psutil.Process(launcher.pid), *psutil.Process(launcher.pid).children(recursive=True)]
    outcome.listening |= sockets.listening(family)
    family[victim].send_signal(number)
    outcome.said.append(launcher.communicate(timeout=180)[1])
    outcome.codes.append(launcher.returncode)
    outcome.orphans.append(psutil.wait_procs(family, timeout=5)[1])
    outcome.epochs.append(finished_epochs(outcome, run))
    outcome.mlflow.append(outcome.query("SELECT status FROM runs")[0][0])


def work(outcome: Outcome, run: runs.Run) -> Path:
    return outcome.at / "work" / specs.key8(run.spec)


def finished_epochs(outcome: Outcome, run: runs.Run) -> int:
    there = [work(outcome, run) / name for name in (checkpoint.NAME, checkpoint.BEFORE)]
    found = [path for path in there if path.exists()]
    return len(torch.load(found[0], weights_only=True)["progress"]["history"]) if found else 0


def wait_for(condition, process: subprocess.Popen, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if condition():
                return
        except FileNotFoundError:
            pass
        time.sleep(0.02)
    raise AssertionError(f"did not come about; {process.stderr.read() if process.poll() is not None else ''}")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_kill_was_in_the_middle(stopped):
    assert stopped.epochs == sorted(stopped.epochs) and stopped.epochs[0] >= 1 and stopped.epochs[-1] < EPOCHS


def test_no_process_outlives_a_kill(stopped):
    assert stopped.orphans == [[], [], [], []]


def test_nobody_listens_for_one_process(stopped):
    assert not stopped.listening


def test_what_was_killed_goes_on_to_the_same_weights(stopped, whole, run):
    found, expected = (load_file(outcome.file(run, "weights.safetensors")) for outcome in (stopped, whole))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_history_has_each_epoch_once_with_the_same_numbers(stopped, whole, run):
    found, expected = (rows(outcome.file(run, "history.csv")) for outcome in (stopped, whole))
    assert [row["epoch"] for row in found] == [str(epoch + 1) for epoch in range(EPOCHS)]
    for name in ("learning_rate", "train_loss", "validation_loss", "validation_top1_error_percent"):
        assert [float(row[name]) for row in found] == [float(row[name]) for row in expected]


def test_one_run_in_mlflow_holds_each_epoch_once(stopped):
    assert stopped.query("SELECT COUNT(*) FROM runs") == [(1,)]
    steps = stopped.query("SELECT step FROM metrics WHERE key = 'train_loss' ORDER BY step")
    assert [step for (step,) in steps] == [epoch + 1 for epoch in range(EPOCHS)]
    assert stopped.query("SELECT status FROM runs") == [("FINISHED",)]


def test_mlflow_tells_that_a_run_was_killed(stopped):
    assert stopped.mlflow[:3] == ["KILLED", "KILLED", "KILLED"]
    assert stopped.mlflow[3] == "RUNNING"  # nobody was left to tell


def test_the_launcher_says_what_ended_the_run_and_what_to_do(stopped, run):
    killed, terminated, again, _, last = stopped.said
    goes_on = "; the same command goes on from its last checkpoint"
    assert killed == f"error: {run.name} stopped: ended by SIGKILL (no memory left?){goes_on}\n"
    (line,) = small_training.lines(terminated, but=["goes on after"])
    assert re.fullmatch(
        re.escape(run.name) + r": stopped in epoch \d after \d steps; the same command goes on from there", line
    )
    assert "ended by SIGKILL" in again
    assert re.search(r"goes on after [78] epochs and 0 steps", last)
    assert stopped.codes == [1, os.EX_TEMPFAIL, 1, -9, 0]


def test_a_second_launcher_waits_and_names_the_first(stopped, run):
    assert stopped.said[-1].startswith(f"{run.name} is being trained by process {stopped.waited_for}; waiting for it\n")


def test_a_whole_training_says_one_line(whole, run):
    *progress, line = whole.said[0].splitlines()  # progress where half a minute passes between two lines
    assert all(re.search(r": \d+ %, \d+ of 864 images", each) for each in progress)
    assert re.fullmatch(
        rf"trained {run.name}: \d+\.\d % validation top-1 error after {EPOCHS} epochs, \d+ s, \d+ images/s, float32",
        line,
    )


def test_the_log_has_a_line_for_each_epoch_and_no_strokes(whole):
    log = (whole.at / "train.log").read_text()
    assert re.findall(rf"epoch (\d)/{EPOCHS}, learning rate", log) == [str(epoch + 1) for epoch in range(EPOCHS)]
    assert "\r" not in log and "\x1b" not in log


def test_run_json_holds_what_the_report_reads(whole, run):
    info = json.loads(whole.file(run, "run.json").read_text())
    finished = datetime.fromisoformat(info["finished"])
    assert abs((datetime.now(UTC) - finished).total_seconds()) < 600
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", info["finished"])
    # 1000 classes have 11,689,512 parameters, 10 of them 990 x 513 fewer; projections' shortcuts are padding here.
    assert (info["parameters"], info["multiply_adds"], info["num_images"]) == (11_007_818, 36_623_360, 96)
    assert (info["processes"], info["threads"], info["precision"], info["resumed"]) == (1, 1, "float32", 0)
    assert info["compile"] == "off"
    assert info["epochs"] == EPOCHS and info["train_seconds"] > 0
    assert {"torch", "ffcv"} <= info["versions"].keys() and "cores of" in info["hardware"]


def test_run_json_counts_how_often_it_was_taken_up_again(stopped, run):
    assert json.loads(stopped.file(run, "run.json").read_text())["resumed"] == 4


def test_weights_json_names_the_weights_and_the_data_and_holds_no_time(whole, stopped, run, packed):
    found = json.loads(whole.file(run, "weights.json").read_text())
    assert found["weights_sha256"] == files.file_sha256(whole.file(run, "weights.safetensors"))
    manifest = json.loads((packed / "train.manifest.json").read_text())
    assert (found["manifest_sha256"], found["mean"]) == (manifest["content_sha256"], manifest["mean"])
    assert found == json.loads(stopped.file(run, "weights.json").read_text())


def test_the_run_in_mlflow_is_named_for_a_person_and_says_what_it_was_made_of(whole, packed):
    assert whole.query("SELECT name FROM runs") == [("resnet18 small seed=0",)]
    tags = dict(whole.query("SELECT key, value FROM tags"))
    manifest = json.loads((packed / "train.manifest.json").read_text())
    assert (tags["manifest"], tags["commit"], tags["data"]) == (manifest["content_sha256"], "unknown", "digits")
    assert "cores of" in tags["hardware"] and tags["weights"].endswith("weights.safetensors")
    parameters = dict(whole.query("SELECT key, value FROM params"))
    assert parameters["batch_size"] == "16" and parameters["architecture"] == "resnet18" and parameters["seed"] == "0"
    curves = {key for (key,) in whole.query("SELECT DISTINCT key FROM metrics WHERE step = 6")}
    assert {"learning_rate", "train_loss", "validation_top1_error_percent", "images_per_second"} <= curves


def test_a_finished_training_is_not_repeated(whole, run, packed):
    before = files.file_sha256(whole.file(run, "weights.safetensors"))
    whole.file(run, "weights.safetensors").unlink()
    again = small_training.train(run, packed, whole.at, loader="ffcv")
    assert f"{run.name} goes on after {EPOCHS} epochs and 0 steps" in again.stderr
    assert files.file_sha256(whole.file(run, "weights.safetensors")) == before


@pytest.fixture
def broken(packed, tmp_path) -> Path:
    """The packed digits, the training split's second half missing."""
    for path in packed.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = (packed / "train.beton").read_bytes()
    (tmp_path / "train.beton").write_bytes(content[: len(content) // 2])
    return tmp_path


def test_a_truncated_file_is_named_once_by_two_processes(run, broken, tmp_path):
    done = small_training.train(run, broken, tmp_path / "at", processes=2, threads=2)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    line = lines[0]
    assert line.startswith(f"error: {broken}/train.beton is damaged or no packed file: its tables are not")
    log = (tmp_path / "at" / "train.log").read_text()
    assert log.count("Traceback") >= 2  # each worker's


def test_a_training_that_diverges_says_so_once_and_has_failed_in_mlflow(packed, tmp_path):
    run = small_training.run(learning_rate=1e30)
    done = small_training.train(run, packed, tmp_path, processes=2, threads=2)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    line = lines[0]
    assert re.match(
        r"error: the loss is NaN or infinite in epoch [12], step \d, at learning rate .*; set a lower"
        r" learning_rate.*The step's images: image \d",
        line,
    )
    assert Outcome(tmp_path).query("SELECT status FROM runs") == [("FAILED",)]
