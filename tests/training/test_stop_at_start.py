"""Signals that come while a training starts: status 75 and one line, as later on."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_training

from ilsvrc.runtime.worker_processes import Workers, meeting_on_this_machine

SIGNALS = str(Path(small_training.__file__).with_name("signals_at_imports"))
RUN = small_training.run("wrn_10_1_cifar")


def ended(at: Path, when: str, number: int, **arguments: int) -> "subprocess.CompletedProcess[str]":
    """A training on files that are not there, which gets a signal at an import."""
    command = small_training.command(RUN, at / "packed", **arguments)
    env = small_training.environment(PYTHONPATH=SIGNALS, SIGNAL_AT=when.format(number=number))
    return subprocess.run(command, cwd=at, env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_while_the_launcher_starts_ends_with_75_and_a_line(number, tmp_path):
    done = ended(tmp_path, "ilsvrc.config.specs {number} self", number)
    assert (done.returncode, done.stderr) == (75, "stopped before the training began; the same command begins it\n")
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(("processes", "number"), [(1, signal.SIGTERM), (2, signal.SIGINT)])
def test_a_signal_to_the_launcher_while_workers_start_ends_with_75_and_a_line(processes, number, tmp_path):
    done = ended(tmp_path, "torch {number} parent", number, processes=processes)
    line = f"{RUN.name}: stopped without a new checkpoint; the same command goes on from there"
    assert (done.returncode, done.stderr) == (75, f"{line}\n")
    assert [path.name for path in tmp_path.glob("work/*/*")] == ["lock"]


def test_a_signal_to_a_worker_alone_while_it_starts_ends_with_75(tmp_path):
    done = ended(tmp_path, "torch {number} self", signal.SIGTERM)
    assert done.returncode == 75 and len(done.stderr.splitlines()) == 1


MEETING = """
from ilsvrc.runtime.distributed import process_group
print("meets", flush=True)
with process_group(0):
    print("met")
"""


def test_a_process_that_waits_for_others_to_start_ends_at_once(tmp_path):
    place = {"RANK": "0", "WORLD_SIZE": "2", "ILSVRC_MEETING_FILE": str(tmp_path / "meeting")}
    waits = subprocess.Popen([sys.executable, "-c", MEETING], env=os.environ | place, stdout=subprocess.PIPE, text=True)
    assert waits.stdout and waits.stdout.readline() == "meets\n"
    time.sleep(0.5)
    waits.terminate()
    assert waits.communicate(timeout=5) == ("", None)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSPC])
def test_processes_meet_elsewhere_where_the_work_folder_has_no_locks_or_no_room(number, tmp_path, monkeypatch):
    def fails(file, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("ilsvrc.runtime.worker_processes.fcntl.flock", fails)
    with meeting_on_this_machine(tmp_path) as variables:
        place = Path(variables["ILSVRC_MEETING_FILE"])
        assert place.parent.is_dir() and place.parent != tmp_path
    assert not place.parent.exists() and not list(tmp_path.iterdir())


def test_each_start_has_a_new_file_to_meet_and_messages_go_over_the_loopback(tmp_path, monkeypatch):
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "a person's")
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    (tmp_path / f"meeting.{os.getpid()}.part").write_text("of a killed process with the same number")
    with meeting_on_this_machine(tmp_path) as variables:
        place = Path(variables["ILSVRC_MEETING_FILE"])
        assert place.parent == tmp_path and place.read_bytes() == b""
    assert not list(tmp_path.iterdir())
    assert variables["GLOO_SOCKET_IFNAME"] == "lo" and variables["NCCL_SOCKET_IFNAME"] == "a person's"


def script(body: str) -> list[str]:
    return [sys.executable, "-c", f"import os, signal, sys, time\n{body}"]


def test_the_status_is_that_of_the_worker_that_failed_first_and_no_other_stays():
    began = time.monotonic()
    status = Workers().run(
        script("sys.exit(3) if os.environ['RANK'] == '1' else time.sleep(60)"), os.environ, range(2), 2
    )
    assert status == 3 and time.monotonic() - began < 10


def test_a_killed_worker_has_the_status_that_a_shell_gives():
    assert Workers().run(script("os.kill(os.getpid(), signal.SIGKILL)"), os.environ, range(1), 1) == 137


def test_workers_know_their_place_over_all_nodes(tmp_path):
    body = "open(sys.argv[1] + os.environ['RANK'], 'w').write(os.environ['LOCAL_RANK'] + os.environ['WORLD_SIZE'])"
    assert Workers().run([*script(body), f"{tmp_path}/"], os.environ, range(2, 4), 4) == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"2": "04", "3": "14"}


def test_an_interrupted_launcher_of_a_prediction_leaves_no_worker(monkeypatch):
    def interrupted(seconds):
        raise KeyboardInterrupt

    workers = Workers()
    monkeypatch.setattr("ilsvrc.runtime.worker_processes.time.sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        workers.run(script("time.sleep(60)"), os.environ, range(2), 2)
    assert [process.returncode for process in workers.processes] == [-9, -9]
