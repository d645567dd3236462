"""Every stage ends with what started it, also where that was killed while the stage starts."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ilsvrc.pipeline import commands
from ilsvrc.runtime import parent_death

STAGES = [*commands.OPTIONS, "train_worker", "predict_worker"]
LAUNCHER = """
import signal, subprocess, sys
from ilsvrc.runtime import parent_death
parent_death.be_the_parent()
child = subprocess.Popen([sys.executable, *sys.argv[1:]])
print("started", flush=True)
signal.pause()
"""


@pytest.fixture(scope="module")
def dead() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_whose_parent_has_ended_before_its_first_line_ends_at_once(stage, dead):
    done = subprocess.run(
        [sys.executable, "-m", f"ilsvrc.stages.{stage}", "--help"],
        env=os.environ | {parent_death.PARENT: str(dead)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"process {dead}, which started this one, has ended; so does this one\n"


def test_another_program_ends_with_its_parent_too(dead):
    command = [sys.executable, "-m", "ilsvrc.runtime.parent_death", "dvc", "--version"]
    alive, orphan = (
        subprocess.run(command, env=os.environ | {parent_death.PARENT: str(parent)}, capture_output=True, text=True)
        for parent in (os.getpid(), dead)
    )
    assert (alive.returncode, orphan.returncode, orphan.stdout) == (0, 1, "")
    assert alive.stdout[0].isdigit()


@pytest.mark.parametrize("stage", ["pack", "cost"])  # cost starts itself again
def test_a_stage_whose_parent_is_killed_while_it_starts_does_nothing(stage):
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, "-m", f"ilsvrc.stages.{stage}", "--help"], stdout=subprocess.PIPE, text=True
    )
    assert launcher.stdout and launcher.stdout.readline() == "started\n"
    launcher.kill()
    assert launcher.stdout.read() == ""  # the stage, which holds the other end, has ended without a word of help
    assert launcher.wait() == -signal.SIGKILL


def test_a_stage_that_a_person_starts_and_one_behind_another_process_run(tmp_path):
    plain = {name: value for name, value in os.environ.items() if name != parent_death.PARENT}
    by_a_person = [sys.executable, "-m", "ilsvrc.stages.record", "--help"]
    behind = ["bash", "-c", '"$@"; exit $?', "bash", *by_a_person]  # bash stays between
    assert subprocess.run(by_a_person, env=plain, capture_output=True).returncode == 0
    named = plain | {parent_death.PARENT: str(os.getpid())}
    assert subprocess.run(behind, env=named, capture_output=True).returncode == 0


def test_where_the_kernel_does_not_tell_a_process_watches_its_parent(tmp_path: Path):
    body = (
        "import sys, time; sys.platform = 'darwin'\n"
        "from ilsvrc.runtime import parent_death; parent_death.SECONDS_BETWEEN_LOOKS = 0.05\n"
        "parent_death.die_with_parent(); print('watches', flush=True); time.sleep(30); print('outlived')"
    )
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, "-c", body], stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    assert launcher.stdout and sorted([launcher.stdout.readline(), launcher.stdout.readline()]) == [
        "started\n",
        "watches\n",
    ]
    launcher.kill()
    assert launcher.communicate(timeout=10)[0] == ""
