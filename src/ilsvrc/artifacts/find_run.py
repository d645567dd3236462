"""Search for a run by a part of its name."""

from pathlib import Path

from ilsvrc.artifacts import run_files
from ilsvrc.config import params, runs


def find_run(given: str, book: Path = Path("params.yaml")) -> str:
    """Name of the run whose folder or name is `given`, or of the only run that has `given` in its name.

    A whole part of the name (`resnet18`) precedes a piece of one (`resnet18_b`), and the runs that params.yaml names
    now precede those that it named before.

    Raises:
        ValueError: none or several; the message lists them.
    """
    there = run_files.folders(run_files.RUNS)
    name = given.removeprefix(f"{run_files.RUNS}/").strip("/")
    for matching in ([run for run in there if name in (run, *run.split("/"))], [run for run in there if name in run]):
        for among in (set(there), named_now(book)):
            chosen = [run for run in matching if run in among]
            if len(chosen) == 1:
                return chosen[0]
        if matching:
            raise ValueError(f"{given!r} is part of several runs' names; say more of:\n" + "\n".join(matching))
    listed = "there are:\n" + "\n".join(there) if there else f"{run_files.RUNS} holds none; run snakemake first"
    raise ValueError(f"no run is called {given!r}; {listed}")


def named_now(book: Path) -> set[str]:
    """Names of the runs in params.yaml; none if there is no such file."""
    return {run.name for run in runs.expand(params.load(book))} if book.exists() else set()
