"""A training on two processes, with all that has a state, stopped at random moments in every way and taken up again."""

import csv
import os
import random
import re
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import small_training
import torch
from safetensors.torch import load_file

from ilsvrc.artifacts import run_files
from ilsvrc.config import runs, specs
from ilsvrc.runtime import distributed
from ilsvrc.training import checkpoint, worker

FREQUENT = str(Path(small_training.__file__).with_name("frequent_checkpoints"))
EPOCHS = 7  # of 5 steps
MAX_STEPS = 7  # before an attempt is stopped, so that four of them do not come to the end
SECONDS_TO_END = 15  # the launcher gives the others 10 after one has died, and then kills them
STOPS = {  # process -> signal; launcher, first worker, second worker
    "a worker is killed": (2, signal.SIGKILL),
    "the launcher is asked to end": (0, signal.SIGTERM),
    "the launcher gets what Slurm sends before a limit": (0, signal.SIGUSR1),
    "the main worker is killed": (1, signal.SIGKILL),
}
DAMAGED_AFTER = "the launcher is asked to end"


@dataclass
class Attempts:
    """A working directory and what became of each attempt there."""

    at: Path
    said: dict[str, str] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    orphans: list[psutil.Process] = field(default_factory=list)


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    return small_training.pack_digits(tmp_path_factory.mktemp("packed"), small_training.form())


@pytest.fixture(scope="module")
def run() -> runs.Run:
    return small_training.run(
        "wrn_10_1_cifar", epochs=EPOCHS, dropout=0.3, mixup=0.4, cutmix=1.0, lighting=0.1, rand_augment=5.0,
        erasing=0.3, batch_norm_group=4, averaging="exponential", rate_in_momentum=True,
        grows_px=(16, 32), grows_epochs=(0, 5), grows_by_px=4,
        validation_fraction=0.05, report_epoch="best",
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(run, packed, tmp_path_factory) -> Path:
    at = tmp_path_factory.mktemp("whole")
    env = small_training.environment(PYTHONPATH=FREQUENT, CHECKPOINTS="as_ever")
    done = small_training.train(run, packed, at, env=env, processes=2, threads=2)
    assert done.returncode == 0, done.stderr
    return at


@pytest.fixture(scope="module")
def stopped(run, packed, tmp_path_factory) -> Attempts:
    seed = int(os.environ.get("RESUME_SEED") or random.randrange(2**32))
    print(f"RESUME_SEED={seed}")  # pytest shows it where a test fails
    draws, attempts = random.Random(seed), Attempts(tmp_path_factory.mktemp("stopped"))
    for name, (victim, number) in STOPS.items():
        launcher = start(run, packed, attempts.at)
        wait_for_saves(work(attempts.at, run) / checkpoint.NAME, draws.randint(1, MAX_STEPS), launcher)
        time.sleep(draws.uniform(0, 0.05))
        stop(attempts, name, launcher, victim, number)
        if name == DAMAGED_AFTER:
            path = work(attempts.at, run) / checkpoint.NAME
            os.truncate(path, draws.randrange(path.stat().st_size))
    launcher = start(run, packed, attempts.at)
    attempts.said["last"], attempts.codes["last"] = launcher.communicate(timeout=120)[1], launcher.returncode
    return attempts


def start(run: runs.Run, packed: Path, at: Path) -> "subprocess.Popen[str]":
    command = small_training.command(run, packed, processes=2, threads=2)
    env = small_training.environment(PYTHONPATH=FREQUENT)
    return subprocess.Popen(command, cwd=at, env=env, stderr=subprocess.PIPE, text=True)


def stop(attempts: Attempts, name: str, launcher: "subprocess.Popen[str]", victim: int, number: int) -> None:
    workers = sorted(psutil.Process(launcher.pid).children(), key=lambda child: child.pid)
    family = [psutil.Process(launcher.pid), *workers]
    began = time.monotonic()
    family[victim].send_signal(number)
    attempts.said[name] = launcher.communicate(timeout=90)[1]
    attempts.seconds[name], attempts.codes[name] = time.monotonic() - began, launcher.returncode
    attempts.orphans += psutil.wait_procs(family, timeout=5)[1]


def work(at: Path, run: runs.Run) -> Path:
    return at / "work" / specs.key8(run.spec)


def wait_for_saves(path: Path, count: int, launcher: "subprocess.Popen[str]") -> None:
    before, saves, deadline = stamp(path), 0, time.monotonic() + 90
    while saves < count:
        assert launcher.poll() is None and time.monotonic() < deadline, launcher.poll() and launcher.communicate()[1]
        now = stamp(path)
        saves, before = saves + (now is not None and now != before), now or before
        time.sleep(0.002)


def stamp(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # between two renames
        return None


def measured(at: Path, run: runs.Run) -> list[dict[str, str]]:
    spent = ("seconds", "images_per_second")
    with (at / run_files.RUNS / run.name / "history.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name not in spent} for row in csv.DictReader(file)]


def test_what_was_stopped_comes_to_the_same_weights_and_history(stopped, whole, run):
    assert stopped.codes["last"] == 0, stopped.said
    found, expected = (load_file(at / run_files.RUNS / run.name / "weights.safetensors") for at in (stopped.at, whole))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert measured(stopped.at, run) == measured(whole, run)


def test_it_comes_to_the_same_state(stopped, whole, run):
    """Of rest that the weights do not show: the last ones, momenta, averages."""
    found, expected = (torch.load(work(at, run) / checkpoint.NAME) for at in (stopped.at, whole))
    for part in ("network", "optimizer", "averages", "errors"):
        torch.testing.assert_close(found[part], expected[part], rtol=0, atol=0)


def test_each_attempt_but_the_first_went_on(stopped):
    assert all("goes on after" in said for name, said in stopped.said.items() if name != "a worker is killed")


@pytest.mark.parametrize("name", [name for name, (victim, _) in STOPS.items() if victim == 0])
def test_a_signal_to_the_launcher_ends_with_75_and_one_line_that_says_where(stopped, run, name):
    assert stopped.codes[name] == os.EX_TEMPFAIL == 75
    where = r": stopped in epoch \d after \d steps; the same command goes on from there"
    assert len(re.findall(f"^{re.escape(run.name)}{where}$", stopped.said[name], re.MULTILINE)) == 1


def test_a_worker_that_dies_ends_all_in_time_and_is_named(stopped, run):
    name = "a worker is killed"
    assert stopped.codes[name] == 1 and stopped.seconds[name] < SECONDS_TO_END
    assert f"error: {run.name} stopped: ended by SIGKILL" in stopped.said[name]


def test_no_process_is_left_behind(stopped):
    assert not stopped.orphans


def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_this_is_said(stopped, run):
    names = list(STOPS)
    after = stopped.said[names[names.index(DAMAGED_AFTER) + 1]]
    folder = Path("work") / specs.key8(run.spec)
    before = f"going on from the checkpoint before it, {folder / checkpoint.BEFORE}"
    assert re.search(rf"{folder / checkpoint.NAME} is damaged \(\w+\); {before}", after)


def test_a_damaged_checkpoint_does_not_take_the_place_of_the_good_one(tmp_path, capsys):
    torch.save({"format": checkpoint.FORMAT, "identity": {"spec": "a"}}, tmp_path / checkpoint.BEFORE)
    (tmp_path / checkpoint.NAME).write_bytes(b"half")
    assert worker.found_checkpoint(tmp_path, {"spec": "a"}, distributed.World()) is not None
    assert "is damaged" in capsys.readouterr().err
    assert not (tmp_path / checkpoint.NAME).exists() and (tmp_path / checkpoint.BEFORE).exists()


def test_on_a_full_disk_training_goes_on_and_says_so_once(packed, tmp_path):
    run = small_training.run("wrn_10_1_cifar", epochs=2)
    command = small_training.command(run, packed)
    limited = ["bash", "-c", 'ulimit -f 500 && exec "$@"', "bash", *command]  # KiB of a file: weights, no checkpoint
    env = small_training.environment(PYTHONPATH=FREQUENT)
    done = subprocess.run(limited, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "checkpoint" in line]
    assert re.match(r"no checkpoint could be written to work/\w+: .*; training goes on", line)
    assert (tmp_path / run_files.RUNS / run.name / "weights.json").exists()
    assert not list(work(tmp_path, run).glob("*.p*t"))


def test_a_process_that_hangs_is_waited_for_no_longer_than_is_said(monkeypatch, tmp_path):
    asked = {}
    monkeypatch.setattr(distributed.dist, "init_process_group", lambda backend, **given: asked.update(given))
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ILSVRC_MEETING_FILE", str(tmp_path / "meeting"))
    with distributed.process_group(gpus=0) as world:
        assert (world.rank, world.size) == (1, 2)
    assert asked["timeout"] == asked["store"].timeout == distributed.LONGEST_WAIT
