"""Two launchers, each as on a node of its own, that train one run; stopped once, by a signal to the second one."""

import csv
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import small_training
import torch
from safetensors.torch import load_file
from sockets import listening

from ilsvrc.artifacts import run_files
from ilsvrc.config import runs, specs
from ilsvrc.stages import train
from ilsvrc.training import checkpoint, launch, nodes
from ilsvrc.training.job import Nodes, TrainJob

FREQUENT = Path(small_training.__file__).with_name("frequent_checkpoints")
STEPS = 48  # of 6 an epoch


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    return small_training.pack_digits(tmp_path_factory.mktemp("packed"), small_training.form())


@pytest.fixture(scope="module")
def run() -> runs.Run:
    return small_training.run("wrn_10_1_cifar", iterations=STEPS, epochs=None, dropout=0.3, mixup=0.2)


@pytest.fixture(scope="module")
def one(run, packed, tmp_path_factory) -> Path:
    """The folder of a launcher with two processes."""
    at = tmp_path_factory.mktemp("one")
    env = small_training.environment(PYTHONPATH=str(FREQUENT))
    done = small_training.train(run, packed, at, env=env, processes=2, threads=2)
    assert done.returncode == 0, done.stderr
    return at


@pytest.fixture(scope="module")
def two(run, packed, tmp_path_factory) -> tuple[Path, list[tuple[int, str]], bool, set[str]]:
    """The folder of two nodes, how their launchers ended and what they said, whether the second one wrote alone, and
    the addresses where somebody listens at the port where they meet.
    """
    at = tmp_path_factory.mktemp("two")
    port = free_port()
    place = f"127.0.0.1:{port}"
    second = node(run, packed, at, 1, place)
    time.sleep(2)
    wrote = (work(at, run) / "lock").exists()
    first = node(run, packed, at, 0, place)
    wait_for_checkpoint(work(at, run), first)
    heard = {each.address for each in listening(psutil.Process().children(recursive=True)) if each.port == port}
    second.send_signal(signal.SIGTERM)
    ended = [(launcher.communicate(timeout=90)[1], launcher.returncode) for launcher in (first, second)]
    place = f"127.0.0.1:{free_port()}"
    again = [node(run, packed, at, rank, place) for rank in (0, 1)]
    ended += [(launcher.communicate(timeout=90)[1], launcher.returncode) for launcher in again]
    return at, [(code, said) for said, code in ended], wrote, heard


def node(run: runs.Run, packed: Path, at: Path, rank: int, place: str) -> "subprocess.Popen[str]":
    env = small_training.environment(
        PYTHONPATH=str(FREQUENT), ILSVRC_NODES="2", ILSVRC_NODE_RANK=str(rank), ILSVRC_RENDEZVOUS=place
    )
    command = small_training.command(run, packed)
    return subprocess.Popen(command, cwd=at, env=env, stderr=subprocess.PIPE, text=True)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def work(at: Path, run: runs.Run) -> Path:
    return at / "work" / specs.key8(run.spec)


def wait_for_checkpoint(folder: Path, launcher: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 90
    while not (folder / checkpoint.NAME).exists():
        assert launcher.poll() is None and time.monotonic() < deadline, launcher.stderr and launcher.stderr.read()
        time.sleep(0.02)


def measured(at: Path, run: runs.Run) -> list[dict[str, str]]:
    with (at / run_files.RUNS / run.name / "history.csv").open(newline="") as file:
        return [
            {k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in csv.DictReader(file)
        ]


def test_the_second_node_waits_and_takes_no_lock(two):
    assert not two[2]


def test_nodes_that_meet_at_an_address_listen_there_alone(two):
    assert two[3] == {"127.0.0.1"}


def test_a_signal_to_one_node_stops_both_and_the_first_says_where(two, run):
    (code, said), (other_code, other_said) = two[1][:2]
    assert (code, other_code) == (os.EX_TEMPFAIL, os.EX_TEMPFAIL), (said, other_said)
    assert f"{run.name}: stopped in epoch " in said and "stopped in" not in other_said


def test_two_nodes_make_the_weights_of_one_launcher_with_two_processes(two, one, run):
    assert [code for code, _ in two[1][2:]] == [0, 0], two[1]
    assert "goes on after" in two[1][2][1] and "goes on after" not in two[1][3][1]
    found, expected = (load_file(at / run_files.RUNS / run.name / "weights.safetensors") for at in (two[0], one))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert measured(two[0], run) == measured(one, run)


RUN = small_training.run()


def job(*words: str) -> TrainJob:
    command = small_training.command(RUN, Path("packed"))
    return train.train_job(train.arguments().parse_args([*command[3:], *words]))


def test_one_node_is_what_is_not_said():
    assert nodes.ranks(job().nodes, 3) == range(3)


def test_nodes_share_processes_and_meet_at_the_address_that_they_are_given(tmp_path):
    asked = job("--nodes=2", "--node-rank=1", "--rendezvous=first:29500", "--processes=3", "--gpus=3")
    chosen = launch.resources_of(asked)
    assert (chosen.processes, chosen.gpus) == (6, 6)
    assert nodes.ranks(asked.nodes, chosen.processes) == range(3, 6)
    with nodes.meeting(asked.nodes, chosen.processes, tmp_path) as variables:
        assert variables == {"ILSVRC_MEETING_ADDRESS": "first:29500"}
    assert not list(tmp_path.iterdir())


def test_the_environment_says_what_the_options_do_not(monkeypatch):
    for name, value in {"NODES": "4", "NODE_RANK": "2", "RENDEZVOUS": "first:29500"}.items():
        monkeypatch.setenv(f"ILSVRC_{name}", value)
    assert job("--node-rank=3").nodes == Nodes(4, 3, "first:29500")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nodes=2", "--node-rank=2", "--rendezvous=first:1"], "--node-rank 2 is none of --nodes 2; .*from 0 to 1"),
        (["--nodes=2"], r"--rendezvous \(none\) is no place where 2 nodes could meet"),
        (["--nodes=2", "--rendezvous=first"], "--rendezvous first is no place .*host:port"),
    ],
)
def test_a_place_that_is_none_is_refused(words, message):
    with pytest.raises(ValueError, match=message):
        nodes.check(job(*words).nodes)


def test_processes_that_nodes_cannot_share_are_refused():
    with pytest.raises(ValueError, match=r"3 processes, .* do not stand evenly on 2 nodes; give --processes"):
        nodes.ranks(Nodes(2, 0, "first:1"), 3)
