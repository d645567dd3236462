"""A process that hangs: the others wait no longer than is said, and the training ends with a sentence."""

import signal
import subprocess
import time
from pathlib import Path

import psutil
import small_training
import torch
from sockets import listening

from ilsvrc.config import specs
from ilsvrc.runtime.distributed import World
from ilsvrc.training import checkpoint

FREQUENT = str(Path(small_training.__file__).with_name("frequent_checkpoints"))
SECONDS_TO_WAIT = 4
SECONDS_TO_END = SECONDS_TO_WAIT + 5 + 10 + 20  # for the cause, for what has to be killed, for a busy machine


def test_a_stopped_process_ends_the_training_in_time_with_a_sentence_and_leaves_none_behind(tmp_path):
    packed = small_training.pack_digits(tmp_path, small_training.form())
    run = small_training.run("wrn_10_1_cifar", epochs=500)
    command = small_training.command(run, packed, processes=2, threads=2)
    env = small_training.environment(PYTHONPATH=FREQUENT, LONGEST_WAIT=str(SECONDS_TO_WAIT))
    launcher = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
    kept, deadline = tmp_path / "work" / specs.key8(run.spec) / checkpoint.NAME, time.monotonic() + 90
    while not kept.exists():
        assert launcher.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    _, second = sorted(psutil.Process(launcher.pid).children(), key=lambda child: child.pid)
    heard = listening([psutil.Process(launcher.pid), *psutil.Process(launcher.pid).children(recursive=True)])
    assert {each.address for each in heard} == {"127.0.0.1"}  # of gloo, in each worker
    second.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    said = launcher.communicate(timeout=SECONDS_TO_END + 30)[1]
    assert time.monotonic() - began < SECONDS_TO_END
    assert launcher.returncode == 1
    (error,) = [line for line in said.splitlines() if line.startswith("error:")]
    assert error.startswith("error: process 0 of 2 waited 4 s for another one that no longer answers: ")
    assert error.endswith("the same command goes on from the last checkpoint")
    assert not second.is_running()
    assert torch.load(kept, weights_only=True)["progress"]["history"] is not None


def test_only_a_wait_that_was_too_long_is_called_one():
    timed_out = RuntimeError("[unbound_buffer.cc:84] Timed out waiting 600000ms for recv operation to complete")
    assert World(1, 2).hangs(timed_out).startswith("process 1 of 2 waited 600 s for another one")
    assert World(1, 2).hangs(torch.distributed.DistStoreError("wait timeout after 600000ms, keys: /default_pg/0"))
    assert World(1, 2).hangs(RuntimeError("Connection closed by peer [127.0.0.1]:4711")) == ""
    assert World(1, 2).hangs(ValueError("a timeout of the recipe")) == ""
    assert World().hangs(timed_out) == ""
