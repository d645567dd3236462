"""Kills of the whole pipeline at random moments, each followed by the same plain command until it ends by itself.

A tiny pipeline runs once without a fault, then again and again from nothing, in lives: in each, `snakemake --cores all`
is hit a few times, at random moments or while a stage starts, by SIGKILL to Snakemake alone, to one process below it,
or to all of them at once, or by SIGTERM or SIGINT. At a life's end these are compared with the first run bit for bit:
weights, curves without their seconds, probabilities and labels of every prediction, scores without their seconds. A dry
run must have nothing to do, `dvc status` must be clean, MLflow must hold one finished run with one nested run a
protocol. Processes of a killed command that are still alive after `SECONDS_TO_END` are counted as orphans.
"""

import argparse
import csv
import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import power_cuts
import psutil
import yaml

PARAMS = power_cuts.PARAMS | {
    "training": {"epochs": 4, "warmup_epochs": 0, "crop_px": 32, "batch_size": 128, "precision": "float32"}
}
HITS = ("kill snakemake", "kill a process", "kill all", "terminate snakemake", "interrupt all")
HITS_A_LIFE = 8
MOST_STAGES_LET_BY = 5  # before one is hit while it starts
SECONDS_OF_A_START = 3.0  # interpreter and imports
SECONDS_TO_END = 20.0
TIMES = ("seconds", "images_per_second", "train_seconds", "finished", "hardware")


@dataclass
class Tally:
    """What became of the kills."""

    hits: Counter[str] = field(default_factory=Counter)
    starts: Counter[str] = field(default_factory=Counter)  # of stages that were hit while they started
    lives: int = 0
    faults: list[str] = field(default_factory=list)
    orphans: int = 0


def command(processes: int) -> list[str]:
    """The plain command, with the processes of a training and of a prediction."""
    words = [str(Path(sys.executable).with_name("snakemake")), "--cores", "all"]
    if processes == 1:
        return words
    return [*words, "--set-resources", f"train:processes={processes}", f"predict:processes={processes}"]


def start(folder: Path, source: Path, words: list[str]) -> "subprocess.Popen[bytes]":
    """Starts a command in `folder`, by the package at `source`, in a session of its own."""
    own = {"PYTHONPATH": str(source / "src"), "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    own |= {"XDG_CACHE_HOME": str(folder.parent / "cache"), "CUDA_VISIBLE_DEVICES": ""}
    with (folder / "said.txt").open("ab") as said:
        return subprocess.Popen(
            words, cwd=folder, env=os.environ | own, stdout=said, stderr=said, start_new_session=True
        )


def new_life(folder: Path, source: Path) -> None:
    """A checkout with nothing done yet."""
    folder.mkdir()
    power_cuts.checkout(folder, source)
    (folder / "params.yaml").write_text(yaml.safe_dump(PARAMS))


def family(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """The process and all below it."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    return []


def hit(process: "subprocess.Popen[bytes]", how: str, chance: random.Random) -> list[psutil.Process]:
    """Hits a running command; the processes that it had."""
    found = family(process)
    victims = {
        "kill snakemake": found[:1],
        "kill a process": [chance.choice(found[1:] or found)] if found else [],
        "kill all": found,
        "terminate snakemake": found[:1],
        "interrupt all": found,
    }[how]
    number = {"terminate": signal.SIGTERM, "interrupt": signal.SIGINT}.get(how.split()[0], signal.SIGKILL)
    for victim in victims:
        with suppress(psutil.NoSuchProcess):
            victim.send_signal(number)
    return found


def starting_stage(process: "subprocess.Popen[bytes]", chance: random.Random) -> str:
    """Waits until one of the next stages starts, and for a part of its start; its name, empty if the command ended."""
    known = {stage.pid for stage in family(process)}
    let_by = chance.randint(0, MOST_STAGES_LET_BY)
    while process.poll() is None:
        for each in family(process):
            with suppress(psutil.NoSuchProcess):
                named = next((word for word in each.cmdline() if word.startswith("ilsvrc.stages.")), "")
                if named and each.pid not in known:
                    known.add(each.pid)
                    let_by -= 1
                    if let_by < 0:
                        time.sleep(chance.uniform(0, SECONDS_OF_A_START))
                        return named.rpartition(".")[2]
        time.sleep(0.02)
    return ""


def has_ended(process: "subprocess.Popen[bytes]", seconds: float, chance: random.Random, tally: Tally) -> bool:
    """Waits for a moment to hit the command, half of them while a stage starts; True if it has ended before."""
    if chance.random() < 0.5:
        stage = starting_stage(process, chance)
        if stage and process.poll() is None:
            tally.starts[stage] += 1
    else:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=chance.uniform(0, seconds))
    return process.poll() is not None


def outcome(folder: Path) -> dict[str, str]:
    """Hashes of what a pipeline comes to, without times."""
    found = {}
    for path in sorted((folder / "results").rglob("*")):
        name = str(path.relative_to(folder))
        if path.name in ("weights.safetensors", "weights.json"):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                content = b"".join(arrays[key].tobytes() for key in ("probabilities", "labels"))
            found[name] = hashlib.sha256(content).hexdigest()
        elif path.name in ("history.csv", "scores.csv"):
            with path.open(newline="") as file:
                rows = [{key: row[key] for key in row if key not in TIMES} for row in csv.DictReader(file)]
            found[name] = hashlib.sha256(repr(rows).encode()).hexdigest()
    return found


def faults(folder: Path, source: Path, expected: dict[str, str]) -> Iterator[str]:
    """What is not as in an uninterrupted run."""
    made = outcome(folder)
    yield from (f"{name} is missing" for name in expected if name not in made)
    yield from (f"{name} differs" for name in expected if made.get(name, expected[name]) != expected[name])
    said = subprocess.run(
        [*command(1), "--dry-run"], cwd=folder, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(source / "src"), "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    if "Nothing to be done" not in said.stdout + said.stderr:
        yield "a dry run has something to do"
    status = subprocess.run([sys.executable, "-m", "dvc", "status"], cwd=folder, capture_output=True, text=True).stdout
    if "up to date" not in status:
        yield f"dvc status: {' '.join(status.split())[:100]}"
    with sqlite3.connect(folder / "mlflow.db") as database:
        runs = database.execute(
            "SELECT runs.status, EXISTS (SELECT 1 FROM tags WHERE tags.run_uuid = runs.run_uuid AND tags.key ="
            " 'mlflow.parentRunId') FROM runs WHERE runs.name != 'report' AND runs.lifecycle_stage = 'active'"
        ).fetchall()
    counted = Counter(runs)
    if counted != {("FINISHED", 0): 1, ("FINISHED", 1): len(PARAMS["protocols"])}:
        yield f"MLflow holds {dict(counted)}"


def live(folder: Path, source: Path, words: list[str], seconds: float, chance: random.Random, tally: Tally) -> int:
    """One life; the status of its last command."""
    left: list[psutil.Process] = []
    for attempt in range(HITS_A_LIFE + 1):
        process = start(folder, source, words)
        if attempt == HITS_A_LIFE or has_ended(process, seconds, chance, tally):
            status = process.wait(timeout=600)
            if not status:
                return 0
        else:
            how = chance.choice(HITS)
            left = hit(process, how, chance)
            tally.hits[how] += 1
            status = process.wait(timeout=120)
        if chance.random() < 0.5:  # else the next command begins while the last one's jobs end
            tally.orphans += len(psutil.wait_procs(left, timeout=SECONDS_TO_END)[1])
    return status


def attack(source: Path, kills: int, chance: random.Random, processes: int) -> Tally:
    """Lives until there were so many kills."""
    tally, words = Tally(), command(processes)
    with tempfile.TemporaryDirectory(prefix="kills") as at:
        first = Path(at) / "first"
        for _ in range(2):  # kernels are compiled by the first one
            subprocess.run(["rm", "-rf", str(first)], check=True)
            new_life(first, source)
            began = time.perf_counter()
            status = start(first, source, words).wait(timeout=900)
            assert status == 0, (first / "said.txt").read_text()
            seconds = time.perf_counter() - began
        expected = outcome(first)
        print(f"uninterrupted: {seconds:.0f} s, {len(expected)} files compared", flush=True)
        while tally.hits.total() < kills:
            folder = Path(at) / f"life{tally.lives}"
            new_life(folder, source)
            status = live(folder, source, words, seconds / 2, chance, tally)
            found = list(faults(folder, source, expected)) if not status else [f"ended with status {status}"]
            tally.faults += (f"life {tally.lives}: {fault}" for fault in found)
            tally.lives += 1
            print(f"life {tally.lives}: {tally.hits.total()} kills, {', '.join(found) or 'the same bits'}", flush=True)
            if found:
                print((folder / "said.txt").read_text()[-20_000:], flush=True)
            subprocess.run(["rm", "-rf", str(folder)], check=True)
    return tally


def main() -> None:
    """Prints a line a life, then how often each kind of kill came, what was lost, and how many processes stayed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=power_cuts.ROOT, help="checkout of the project that is tried")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1, help="of a training and of a prediction")
    args = parser.parse_args()
    tally = attack(args.source.resolve(), args.kills, random.Random(args.seed), args.processes)
    print(", ".join(f"{how}: {count}" for how, count in sorted(tally.hits.items())))
    print("while a stage started: " + ", ".join(f"{stage}: {count}" for stage, count in sorted(tally.starts.items())))
    print(f"kills {tally.hits.total()}, lives {tally.lives}, faults {len(tally.faults)}, orphans {tally.orphans}")
    print("\n".join(tally.faults))
    sys.exit(bool(tally.faults or tally.orphans))


if __name__ == "__main__":
    main()
