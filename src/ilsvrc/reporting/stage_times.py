"""Times of a pipeline's jobs by stage, from Snakemake's benchmarks."""

from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ilsvrc.reporting import figures
from ilsvrc.reporting.error_table import records
from ilsvrc.reporting.figures import Style

COLUMNS = ("stage", "job", "seconds", "cpu_seconds", "memory_mb")
UNITS = ((3600, "hours"), (60, "minutes"), (1, "seconds"))


def table(jobs: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """times.csv: a row a job, with `run` where it is about one."""
    return pd.DataFrame(list(jobs), columns=[*COLUMNS, "run"])


def by_stage(times: pd.DataFrame) -> list[dict[str, Any]]:
    """Each stage's jobs, seconds added up, their share of all, cores in use, and the most memory of a job."""
    stages = times.groupby("stage", sort=False).agg(
        jobs=("job", "count"), seconds=("seconds", "sum"), cpu_seconds=("cpu_seconds", "sum"),
        memory_mb=("memory_mb", "max"),
    )  # fmt: skip
    whole = stages["seconds"].sum()
    stages["share_percent"] = 100 * stages["seconds"] / whole if whole else 0.0
    stages["cores"] = stages["cpu_seconds"] / stages["seconds"].where(stages["seconds"] > 0)
    return records(stages.reset_index())


def stacked(times: pd.DataFrame, drawn: Mapping[str, Style]) -> str:
    """A bar a stage, in it a piece a job, those of a run in its colour."""
    stages = list(dict.fromkeys(times["stage"]))
    longest = times.groupby("stage")["seconds"].sum().max() if len(times) else 1.0
    size, unit = next(((size, unit) for size, unit in UNITS if longest >= 2 * size), UNITS[-1])
    with matplotlib.rc_context(figures.STYLE):
        figure = Figure(figsize=(5.6, 0.75 + 0.36 * max(1, len(stages))), layout="constrained")
        axes = figure.add_subplot(xlabel=f"{unit}, jobs of a stage added up")
        for place, stage in enumerate(stages):
            _draw_bar(axes, place, times[times["stage"] == stage], size, drawn)
        axes.set_yticks(range(len(stages)), stages)
        axes.set(ylim=(max(1, len(stages)) - 0.4, -0.6), xlim=(0, 1.03 * longest / size))
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.grid(visible=False, axis="y")
        return figures.as_svg(figure)


def _draw_bar(axes: Axes, place: int, jobs: pd.DataFrame, size: float, drawn: Mapping[str, Style]) -> None:
    start, runs = 0.0, list(drawn)
    for job in records(jobs):
        seconds, style = job["seconds"] / size, drawn.get(job["run"])
        look: dict[str, Any] = {
            "color": style.colour if style else figures.FAINT,
            "edgecolor": figures.CARD,
            "linewidth": 0.8,
        }
        bar = axes.barh(place, seconds, left=start, height=0.62, **look)
        if style:
            bar[0].set_gid(f"run-{runs.index(job['run'])}-{place}-{start:.0f}")
        start += seconds
