"""Lists what params.yaml no longer names: runs, predictions, packed forms and checkpoints; `--remove` removes them.

Nothing is ever removed by a run: going back to earlier parameters finds what is there.
"""

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path

from ilsvrc.artifacts import run_files
from ilsvrc.config import packed_formats, runs
from ilsvrc.config.params import Params, load
from ilsvrc.evaluation import prediction_file
from ilsvrc.pipeline import wiring
from ilsvrc.runtime import cli

WORK = Path("work")


def main(given: argparse.Namespace) -> None:
    """Prints a line for each left-over, and removes them where asked."""
    params = load(given.book)
    found = {path: size(path) for path in leftovers(params)}
    for path, num_bytes in found.items():
        cli.say(f"{readable(num_bytes):>9}  {path}")
        if given.remove:
            remove(path)
    what = f"{len(found)} left over, {readable(sum(found.values()))}"
    if not found:
        cli.say(f"nothing to prune: {given.book} names everything that is here")
    elif given.remove:
        cli.say(f"removed: {what}")
    else:
        cli.say(f"{what}; --remove removes them (what DVC has recorded stays in its cache: dvc gc)")


def leftovers(params: Params) -> Iterator[Path]:
    """Folders and files of runs, protocols and packed forms that `params` does not name, by place."""
    named = {run.name: run for run in runs.with_those_before(runs.expand(params))}
    for run in run_files.folders(run_files.RUNS):
        if run not in named:
            yield run_files.RUNS / run
    for run in run_files.folders(prediction_file.PREDICTIONS):
        folder = prediction_file.PREDICTIONS / run
        if run not in named:
            yield folder
        else:
            yield from (path for path in sorted(folder.iterdir()) if path.stem not in params.protocols)
    measured = {Path(path) for path in wiring.Pipeline(params).costs.files}
    yield from (path for path in sorted(run_files.COSTS.rglob("*.json")) if path not in measured)
    inspected = wiring.Pipeline(params).inspected
    yield from (run_files.INSPECTED / run for run in run_files.folders(run_files.INSPECTED) if run not in inspected)
    asked = [run_files.PACKED / form.data / packed_formats.form_name(form) for form in packed_formats.asked_for(params)]
    yield from (path for path in sorted(run_files.PACKED.glob("*/*")) if path.is_dir() and path not in asked)
    keys = {run_files.run_key(name) for name in named}
    yield from (path for path in sorted(WORK.glob("[0-9a-f]" * 8)) if path.is_dir() and path.name not in keys)


def remove(path: Path) -> None:
    """Removes a file or folder, and the folders above it that it leaves empty."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    for parent in list(path.parents)[:-2]:  # never the first folder of the path
        if any(parent.iterdir()):
            break
        parent.rmdir()


def size(path: Path) -> int:
    """Bytes of a file, or of a folder's files."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def readable(num_bytes: float) -> str:
    """1500000 -> 1.5 MB."""
    for unit, bytes_each in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= bytes_each:
            return f"{num_bytes / bytes_each:.1f} {unit}"
    return f"{num_bytes} B"


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = cli.parser(__doc__)
    parser.add_argument("--book", type=Path, default=Path("params.yaml"), help="the experiment book (params.yaml)")
    parser.add_argument("--remove", action="store_true", help="remove what is listed")
    return parser


if __name__ == "__main__":
    cli.run(main, arguments())
