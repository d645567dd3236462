"""Failing system calls: strace lets each write, fsync and rename of a writer fail in turn, by ENOSPC or EIO.

A process writes each kind of file again and again, every time with other content, and one of its calls fails. What is
there afterwards must be the former content, or the new one where nothing was said; no part is left, and the message
names the file. Needs strace, and the right to trace a process.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
CALLS = {"write": ["ENOSPC", "EIO"], "fsync": ["EIO"], "rename": ["ENOSPC", "EIO"]}
NAMES = {"text": "run.json", "weights": "weights.safetensors", "prediction": "flip.npz", "state": "checkpoint.pt"}
MOST_CALLS = 40  # of one write: a file's blocks are alike
WRITER = """
import sys
from pathlib import Path
import numpy as np, safetensors.torch, torch
sys.path.insert(0, sys.argv[1])
import tiny
from ilsvrc.evaluation import predictions
from ilsvrc.runtime import files
from ilsvrc.training import checkpoint, outputs
from ilsvrc.training.state import Progress

kind, path = sys.argv[2], Path(sys.argv[3])

def write(n):
    if kind == "text":
        files.write_text(path, f"{n} " * 1000)
    elif kind == "weights":
        outputs.write_weights({"weight": torch.full((999,), float(n))}, path)
    elif kind == "prediction":
        probabilities = np.full((50, 4), 0.25, np.float32)
        made = predictions.keep(probabilities, np.zeros(50, np.int64), np.array(["a"] * 50), {"revision": n})
        predictions.write_prediction(path, made)
    else:
        checkpoint.save(path.parent, tiny.training(), Progress(step=n), identity={})

def read():
    if kind == "text":
        found = path.read_text().split()
        return int(found[0]) if len(found) == 1000 else -1
    if kind == "weights":
        return int(safetensors.torch.load_file(path)["weight"].mean())
    if kind == "prediction":
        return predictions.read_prediction(path).spec["revision"]
    return checkpoint.load(path.parent, {})[0]["progress"]["step"]

write(0)
print("ready", flush=True)
for line in sys.stdin:
    try:
        write(int(line))
        print("", flush=True)
    except Exception as error:
        print(f"{error}".replace(chr(10), " "), flush=True)
    print(read(), flush=True)
"""


class Tried(NamedTuple):
    """A write in which the call number `place` should have failed: what was said, and what is wrong, if anything."""

    call: str
    error: str
    place: int
    said: str
    wrong: str


@contextmanager
def writer(kind: str, path: Path) -> "Iterator[subprocess.Popen[str]]":
    """A process that writes files of a kind."""
    words = [sys.executable, "-c", WRITER, str(ROOT / "tests" / "support"), kind, str(path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()


@contextmanager
def failing(process: int, path: Path, call: str, error: str, place: int) -> Iterator[None]:
    """Lets a process's call number `place` on the unfinished file at `path` fail."""
    unfinished = path.with_name(f"{path.name}.{process}.part")
    calls = "rename,renameat,renameat2" if call == "rename" else call
    words = ["strace", "-f", "-p", str(process), "-P", str(unfinished), "-e", f"trace={calls}", "-o", os.devnull]
    words += ["-e", f"inject={calls}:error={error}:when={place}"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr
        line = strace.stderr.readline()
        assert "attached" in line, line
        yield
        strace.terminate()


def tried(kind: str, path: Path) -> Iterator[Tried]:
    """Every call of a write, failing in turn."""
    number, there = 0, 0
    with writer(kind, path) as process:
        assert process.stdin and process.stdout
        for call, errors in CALLS.items():
            for error in errors:
                for place in range(1, MOST_CALLS + 1):
                    number += 1
                    with failing(process.pid, path, call, error, place):
                        process.stdin.write(f"{number}\n")
                        process.stdin.flush()
                        said, found = process.stdout.readline().strip(), int(process.stdout.readline())
                    yield Tried(call, error, place, said, wrong(path, said, found, there if said else number))
                    there = found
                    if not said:  # there are no more such calls
                        break


def wrong(path: Path, said: str, found: int, expected: int) -> str:
    """What is not as it must be after a write, empty where all is well."""
    if found != expected:
        return f"holds {found}, not {expected}"
    if left := [each.name for each in path.parent.iterdir() if each.name.endswith(".part")]:
        return f"left {left[0]}"
    return f"named no file: {said}" if said and path.name not in said else ""


def main() -> None:
    """Prints, for each kind of file, the calls that failed and what went wrong; then the sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", default=list(NAMES), choices=list(NAMES))
    args = parser.parse_args()
    failed = lost = 0
    for kind in args.kinds:
        with tempfile.TemporaryDirectory() as folder:
            found = [each for each in tried(kind, Path(folder) / NAMES[kind]) if each.said or each.wrong]
        bad = [each for each in found if each.wrong]
        failed, lost = failed + len(found), lost + len(bad)
        print(f"{kind:12} {len(found)} calls failed, {len(found) - len(bad)} survived", flush=True)
        for each in bad:
            print(f"  {each.call} {each.error} at {each.place}: {each.wrong}")
    print(f"tried {failed}, survived {failed - lost}, lost {lost}")
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()
