"""Kills trainings at random moments, takes them up again, and compares what comes out with an uninterrupted one.

Each recipe of a matrix is trained by the command that Snakemake gives, on 96 digits. The killed one keeps a checkpoint
after every step (so that deaths fall inside its writing too), and SIGKILL takes its launcher, one of its workers,
or all at once, anywhere in a step or while it starts; now and then the newest checkpoint is cut short before
the next attempt. Compared bit by bit: the weights that are tested with their running statistics, weights.json, the
history without its seconds, and the last checkpoint's network, optimizer, averages and errors.
"""

import argparse
import csv
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

TESTS = Path(__file__).resolve().parents[1] / "tests" / "support"
sys.path.insert(0, str(TESTS))

import small_training  # noqa: E402

from ilsvrc.artifacts import run_files  # noqa: E402
from ilsvrc.config import runs, specs  # noqa: E402
from ilsvrc.training import checkpoint  # noqa: E402

LOOK = {
    "mixup": 0.4, "cutmix": 1.0, "lighting": 0.1, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1,
    "rand_augment": 5.0, "erasing": 0.3, "label_smoothing": 0.1,
}  # fmt: skip
RICH = {"epochs": 12, "batch_norm_group": 4, "averaging": "exponential", "averaging_decay": 0.9, **LOOK}
PLATEAU = {"rate_in_momentum": True, "schedule": "plateau", "validation_fraction": 0.25, "plateau_epochs": 1}
RMSPROP = {"optimizer": "rmsprop", "schedule": "exponential", "decay_iterations": 7, "order": "quasi_random"}
ADAMW = {"optimizer": "adamw", "averaging": "polyak", "warmup_iterations": 5, "batch_norm_recomputed_over": 64}
STEPS = {"epochs": None, "iterations": 70}
MATRIX: dict[str, tuple[int, dict[str, Any], dict[str, Any]]] = {  # processes, recipe, arguments
    "sgd, looks, mixing, groups, exponential": (1, RICH, {}),
    "the same": (2, RICH, {}),
    "paper's momentum, plateau, repeats": (2, {"epochs": 12, "repeats": 3, "batch_size": 12, **PLATEAU}, {}),
    "rmsprop, averages from epoch 1, 2 parts": (
        1, {**STEPS, "averaging": "exponential", "averaging_from_epoch": 1, **RMSPROP},
        {"accumulate": 2},
    ),
    "adamw, polyak, recomputed, 2 parts": (2, {**STEPS, "batch_norm_group": 4, **ADAMW}, {"accumulate": 2}),
    "sgd, nesterov, cosine": (3, {"epochs": 9, "batch_size": 12, "nesterov": True, "clip_norm": 1.0}, {}),
}  # fmt: skip
SHARE_AT_START = 0.1  # of kills, while processes start
SHARE_DAMAGED = 0.15  # of attempts, whose newest checkpoint is cut short
NOT_COMPARED = ("seconds", "images_per_second")


@dataclass
class Outcome:
    """What befell a training."""

    kills: int = 0
    mid_epoch: int = 0
    in_writing: int = 0
    damaged: int = 0
    orphans: int = 0
    identical: bool = False
    differs: str = ""

    def as_row(self, name: str, processes: int) -> str:
        verdict = "yes" if self.identical else f"no: {self.differs}"
        counts = (self.kills, self.mid_epoch, self.in_writing, self.damaged, self.orphans)
        return "| " + " | ".join(map(str, (name, processes, *counts, verdict))) + " |"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=30, help="over all recipes")
    options.add_argument("--seed", type=int, default=None)
    options.add_argument("--only", default="", help="recipes whose name has this in it")
    options.add_argument("--architecture", default="wrn_10_1_cifar")
    options.add_argument("--keep", type=Path, help="folder to work in, which stays")
    given = options.parse_args()
    seed = random.randrange(2**32) if given.seed is None else given.seed
    chosen = {name: case for name, case in MATRIX.items() if given.only in name}
    print(f"seed {seed}, torch {torch.__version__}, {os.cpu_count()} cores\n")
    print("| recipe | processes | kills | resumed in mid-epoch | killed in writing | damaged, survived | orphans |"
          " identical |\n|---|---|---|---|---|---|---|---|", flush=True)  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        at = given.keep or Path(scratch)
        (at / "packed").mkdir(parents=True, exist_ok=True)
        packed = small_training.pack_digits(at / "packed", small_training.form())
        for number, (name, (processes, recipe, more)) in enumerate(chosen.items()):
            kills = given.kills * (number + 1) // len(chosen) - given.kills * number // len(chosen)
            run = small_training.run(given.architecture, dropout=0.3, **recipe)
            case = Case(run, packed, at / str(number), {"processes": processes, "threads": processes, **more})
            print(case.tried(kills, random.Random(f"{seed} {name} {processes}")).as_row(name, processes), flush=True)


class Case:
    """One recipe, trained at once and killed."""

    def __init__(self, run: runs.Run, packed: Path, at: Path, arguments: dict[str, Any]) -> None:
        self.run, self.packed, self.at = run, packed, at
        self.arguments = {"loader": "ffcv", **arguments}
        self.work = at / "killed" / "work" / specs.key8(run.spec)
        self.outcome = Outcome()

    def tried(self, kills: int, draws: random.Random) -> Outcome:
        """Trains whole, then killed `kills` times or until it is done."""
        shutil.rmtree(self.at, ignore_errors=True)
        self._to_its_end("whole")
        steps = self._steps()
        done = None
        while done is None and self.outcome.kills < kills:
            done = self._attempt(draws, max(1, round(1.6 * steps / (kills + 1))))
            if done is None and draws.random() < SHARE_DAMAGED:
                self._damage(draws)
        if done is None:
            self._hear(self._to_its_end("killed"))
        self.outcome.differs = difference(self.at / "whole", self.at / "killed", self.run)
        self.outcome.identical = not self.outcome.differs
        return self.outcome

    def _attempt(self, draws: random.Random, most_saves: int) -> str | None:
        """Starts the training and kills it after a drawn number of checkpoints; what it said where it ended before."""
        launcher = self._start()
        if draws.random() < SHARE_AT_START:
            time.sleep(draws.uniform(0.0, 8.0))
        else:
            self._wait_for_saves(launcher, draws.randint(1, most_saves))
            time.sleep(draws.uniform(0.0, 0.1))
        family = self._kill(launcher, draws) if launcher.poll() is None else []
        said = launcher.communicate(timeout=60)[1]  # first, since psutil would take the launcher's status away
        self.outcome.orphans += len(psutil.wait_procs(family, timeout=60)[1])
        self.outcome.in_writing += (self.work / f"{checkpoint.NAME}.part").exists()
        self._hear(said)
        return said if launcher.returncode == 0 else None

    def _to_its_end(self, name: str) -> str:
        launcher = self._start(name)
        said = launcher.communicate(timeout=900)[1]
        assert launcher.returncode == 0, said
        return said

    def _start(self, name: str = "killed") -> "subprocess.Popen[str]":
        self.at.joinpath(name).mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join([str(TESTS / "frequent_checkpoints"), os.environ.get("PYTHONPATH", "")])
        cadence = "as_ever" if name == "whole" else "frequent"
        env = small_training.environment(PYTHONPATH=path.rstrip(os.pathsep), CHECKPOINTS=cadence)
        command = small_training.command(self.run, self.packed, **self.arguments)
        return subprocess.Popen(command, cwd=self.at / name, env=env, stderr=subprocess.PIPE, text=True)

    def _wait_for_saves(self, launcher: "subprocess.Popen[str]", count: int) -> None:
        path, saves = self.work / checkpoint.NAME, 0
        before = stamp(path)
        while launcher.poll() is None and saves < count:
            now = stamp(path)
            saves, before = saves + (now != before and now is not None), now or before
            time.sleep(0.002)

    def _kill(self, launcher: "subprocess.Popen[str]", draws: random.Random) -> list[psutil.Process]:
        """Kills one of the training's processes, or all at once; they all."""
        try:
            family = [psutil.Process(launcher.pid), *psutil.Process(launcher.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
        for victim in family if draws.random() < 0.25 else [draws.choice(family)]:
            try:
                victim.kill()
            except psutil.NoSuchProcess:
                continue
        self.outcome.kills += 1
        return family

    def _damage(self, draws: random.Random) -> None:
        path = self.work / checkpoint.NAME
        if path.exists() and (self.work / checkpoint.BEFORE).exists():
            os.truncate(path, draws.randrange(path.stat().st_size))

    def _hear(self, said: str) -> None:
        self.outcome.mid_epoch += len(re.findall(r"goes on after \d+ epochs and [1-9]\d* steps", said))
        self.outcome.damaged += "is damaged" in said and "goes on after" in said

    def _steps(self) -> int:
        recipe = self.run.spec.recipe
        images = small_training.NUM_IMAGES["train"] * (1 - recipe.validation_fraction)
        return recipe.iterations or int((recipe.epochs or 0) * images / recipe.batch_size)


def difference(one: Path, other: Path, run: runs.Run) -> str:
    """The first thing in which two working directories' trainings are not the same, or nothing."""
    folders = [at / run_files.RUNS / run.name for at in (one, other)]
    for name in ("weights.safetensors", "weights.json"):
        if len({(folder / name).read_bytes() for folder in folders}) > 1:
            return name
    first, second = (measured(folder / "history.csv") for folder in folders)
    if first != second:
        return "history.csv"
    states = [
        torch.load(at / "work" / specs.key8(run.spec) / checkpoint.NAME, weights_only=True) for at in (one, other)
    ]
    parts = ("network", "optimizer", "averages", "errors")
    return next((name for name in parts if not same(*(state.get(name) for state in states))), "")


def stamp(path: Path) -> tuple[int, int] | None:
    """Tells a file from the one that takes its place; None between two renames."""
    try:
        return path.stat().st_ino, path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def measured(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in NOT_COMPARED} for row in csv.DictReader(file)]


def same(one: Any, other: Any) -> bool:
    """Equal in every bit, whatever holds it."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


if __name__ == "__main__":
    main()
