"""Power cuts: empties or zeroes each kind of file of a finished pipeline, keeps its time, and runs the command again.

A tiny pipeline runs once in a temporary checkout. Then, for each kind, one file is damaged as a file system leaves what
was not on the disk yet, `snakemake --cores all` runs, and what is there is compared with what was there. Seen: the file
is whole again, or was named and removed until a job needs it. Lost: it is damaged still, or a person is needed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from checkouts import new_checkout  # noqa: E402

PARAMS = {
    "dataset": "digits",
    "architectures": ["resnet20_cifar"],
    "recipe": "quick",
    "training": {"epochs": 1, "warmup_epochs": 0, "crop_px": 32, "batch_size": 128},
    "protocols": ["single_crop", "flip"],
    "costs": ["float32"],
    "inspect": {"nearest_of": 50},
}
PREDICTION = "results/predictions/*/*/*/*/flip.npz"


class Kind(NamedTuple):
    """A kind of file: a pattern, whose first match is damaged (or `every` one), and files that are missing too."""

    pattern: str
    missing: str = ""
    every: bool = False


KINDS = {
    "source of the data": Kind("data/raw/*/source.json"),
    "index of the images": Kind("data/raw/*/index.csv"),
    "archive": Kind("data/raw/*/*.tar"),
    "packed file": Kind("data/packed/*/*/train.beton"),
    "manifest": Kind("data/packed/*/*/val.manifest.json"),
    "list of images": Kind("data/packed/*/*/val.images.csv"),
    "mean image": Kind("data/packed/*/*/train.mean_image.npy"),
    "weights": Kind("results/runs/*/*/*/*/weights.safetensors"),
    "weights, a prediction missing": Kind("results/runs/*/*/*/*/weights.safetensors", PREDICTION),
    "packed file, a prediction missing": Kind("data/packed/*/*/val.beton", PREDICTION),
    "list of images, a prediction missing": Kind("data/packed/*/*/val.images.csv", PREDICTION),
    "weights.json": Kind("results/runs/*/*/*/*/weights.json"),
    "history": Kind("results/runs/*/*/*/*/history.csv"),
    "run.json": Kind("results/runs/*/*/*/*/run.json"),
    "prediction": Kind(PREDICTION),
    "scores": Kind("results/scores.csv"),
    "metrics": Kind("results/metrics.json"),
    "curves": Kind("results/curves.csv"),
    "table of scores": Kind("results/tables/confusion.csv"),
    "table of the report": Kind("results/tables/errors.csv"),
    "figure": Kind("results/figures/learning_curves.svg"),
    "report": Kind("results/report.html"),
    "costs": Kind("results/costs/*/*.json"),
    "inspection": Kind("results/inspect/*/*/*/*/inspect.json"),
    "picture of an inspection": Kind("results/inspect/*/*/*/*/pictures/*.png"),
    "record": Kind("work/recorded.json"),
    "DVC's record": Kind("dvc.lock"),
    "checkpoint, a run's files missing": Kind("work/????????/checkpoint.pt", "results/runs/*/*/*/*/*"),
    "machine of a checkpoint, a run's files missing": Kind("work/????????/machine.json", "results/runs/*/*/*/*/*"),
    "compiled kernels, a prediction missing": Kind("cache/ilsvrc/*/**/*.nb[ci]", PREDICTION, every=True),
    "Snakemake's own records": Kind(".snakemake/metadata/*", every=True),
}


class Outcome(NamedTuple):
    """What became of a damaged file: seen or lost, in words, and the seconds of the plain command."""

    seen: bool
    what: str
    seconds: float


def checkout(folder: Path, source: Path) -> None:
    """The project's files at `source`, with tiny parameters."""
    new_checkout(folder, source)
    (folder / "params.yaml").write_text(yaml.safe_dump(PARAMS))


def snakemake(folder: Path, source: Path) -> "subprocess.CompletedProcess[str]":
    """The plain command in `folder`, by the package at `source`."""
    own = {"PYTHONPATH": str(source / "src"), "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    own |= {"XDG_CACHE_HOME": str(folder / "cache"), "CUDA_VISIBLE_DEVICES": ""}
    program = Path(sys.executable).with_name("snakemake")
    return subprocess.run(
        [program, "--cores", "all"], cwd=folder, env=os.environ | own, capture_output=True, text=True, timeout=900
    )


def damage(path: Path, how: str) -> bytes:
    """Empties a file, or zeroes it or its second half, and keeps its time; its content now."""
    found, content = path.stat(), path.read_bytes()
    kept = len(content) // 2 if how == "half" else 0
    damaged = b"" if how == "empty" else content[:kept] + bytes(len(content) - kept)
    path.write_bytes(damaged)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    return damaged


def matches(folder: Path, kind: Kind) -> list[Path]:
    """Files of a kind that are damaged."""
    found = [path for path in sorted(folder.glob(kind.pattern)) if path.is_file() and path.stat().st_size]
    assert found, f"no file is called {kind.pattern}"
    return found if kind.every else found[:1]


def cut(folder: Path, source: Path, kind: Kind, how: str) -> Outcome:
    """Damages the files of a kind, and runs the plain command, twice where it asks for that."""
    paths = matches(folder, kind)
    before = {path: path.read_bytes() for path in paths}
    removed = list(folder.glob(kind.missing)) if kind.missing else []
    for path in removed:
        path.unlink()
    damaged = {path: damage(path, how) for path in paths}
    started = time.perf_counter()
    done, runs = snakemake(folder, source), 1
    if done.returncode:
        done, runs = snakemake(folder, source), 2
    seconds = time.perf_counter() - started
    if not done.returncode and not kind.every and any(is_still(path, content) for path, content in damaged.items()):
        nothing = ", nothing to do" if "Nothing to be done" in done.stderr else ""
        return Outcome(False, f"damaged still{nothing}", seconds)
    return judged(before, removed, (done, runs), seconds)


def is_still(path: Path, content: bytes) -> bool:
    """True if a file holds `content`."""
    return path.exists() and path.read_bytes() == content


def judged(
    before: dict[Path, bytes],
    removed: list[Path],
    ran: "tuple[subprocess.CompletedProcess[str], int]",
    seconds: float,
) -> Outcome:
    """What the plain command made of a damaged file."""
    done, runs = ran
    if done.returncode:
        return Outcome(False, f"a person is needed: {last_error(done.stderr)}", seconds)
    if any(not path.exists() for path in removed):
        return Outcome(False, "what was missing is missing still", seconds)
    times = "" if runs == 1 else ", by the second command"
    if any(not path.exists() for path in before):
        return Outcome(True, f"removed until a job needs it{times}", seconds)
    same = all(path.read_bytes() == content for path, content in before.items())
    return Outcome(True, f"{'whole again, bit for bit' if same else 'made anew'}{times}", seconds)


def last_error(text: str) -> str:
    """The last line that says what is wrong."""
    lines = [line.strip() for line in text.splitlines() if "error: " in line or "Error: " in line]
    return lines[-1][:200] if lines else "no message"


def outcomes(source: Path, hows: list[str], names: list[str]) -> Iterator[tuple[str, str, Outcome]]:
    """Each kind and damage, and what became of it; each begins from the same finished pipeline."""
    with tempfile.TemporaryDirectory(prefix="power_cuts") as at:
        base, work = Path(at) / "base", Path(at) / "work"
        work.mkdir()
        checkout(work, source)
        done = snakemake(work, source)
        assert not done.returncode, done.stderr
        work.rename(base)
        for name in names:
            for how in hows:
                shutil.copytree(base, work, symlinks=True)
                yield name, how, cut(work, source, KINDS[name], how)
                shutil.rmtree(work)


def main() -> None:
    """Prints kind, damage, seen or lost, and what became of the file; then the sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=ROOT, help="checkout of the project that is tried")
    parser.add_argument("--how", nargs="+", default=["empty", "zero"], choices=["empty", "zero", "half"])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS), metavar="KIND")
    args = parser.parse_args()
    seen = tried = 0
    for name, how, outcome in outcomes(args.source.resolve(), args.how, args.kinds):
        tried, seen = tried + 1, seen + outcome.seen
        print(
            f"{name:48} {how:6} {'seen' if outcome.seen else 'LOST':5} {outcome.seconds:5.1f} s  {outcome.what}",
            flush=True,
        )
    print(f"tried {tried}, seen {seen}, lost {tried - seen}")
    sys.exit(tried != seen)


if __name__ == "__main__":
    main()
