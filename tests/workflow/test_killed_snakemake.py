"""Snakemake is killed while a stage starts: nothing of it is left, and the same command begins at once."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
from checkouts import Checkout


def test_no_stage_outlives_snakemake_and_the_same_command_begins_at_once(checkout: Checkout) -> None:
    checkout.edit(costs=False, inspect=False, architectures=["resnet20_cifar"])
    snakemake = started(checkout)
    stage = stage_of(snakemake)
    snakemake.kill()
    assert not psutil.wait_procs([stage], timeout=10)[1]
    snakemake.wait()
    assert not list(checkout.folder.glob("data/**/source.json"))  # of a stage that came to its end
    checkout.snakemake("data/raw/digits/source.json")


def started(checkout: Checkout) -> "subprocess.Popen[bytes]":
    program = Path(sys.executable).with_name("snakemake")
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(checkout.folder.parent)}
    with (checkout.folder / "said.txt").open("w") as said:
        return subprocess.Popen([program, "--cores", "all"], cwd=checkout.folder, env=environment, stderr=said)


def stage_of(snakemake: "subprocess.Popen[bytes]") -> psutil.Process:
    """The first process of a stage, which the shell has become a moment ago."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and snakemake.poll() is None:
        for child in psutil.Process(snakemake.pid).children():
            with suppress(psutil.Error):  # of one that has just ended
                if "ilsvrc.stages.acquire" in child.cmdline():
                    return child
        time.sleep(0.005)
    raise AssertionError("snakemake started no stage")
