"""The report as one self-contained HTML file: its bytes depend on its inputs alone."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from ilsvrc.evaluation import headline_metric
from ilsvrc.evaluation.headline_metric import Measure
from ilsvrc.reporting import close_ups, error_table, error_vs_size, figures, formatting, pretrained, summary
from ilsvrc.reporting.figures import Style
from ilsvrc.reporting.formatting import given, text
from ilsvrc.reporting.report_data import Content, Info

FILTERS = (
    formatting.percent, formatting.signed, formatting.decimals, formatting.count, formatting.magnitude,
    formatting.duration, formatting.spaced, given,
)  # fmt: skip


def render(content: Content) -> str:
    """The page."""
    environment = Environment(
        loader=PackageLoader("ilsvrc", "reporting"), autoescape=select_autoescape(), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {filter_.__name__: filter_ for filter_ in FILTERS}
    css = files("ilsvrc.reporting").joinpath("report.css").read_text(encoding="utf-8")
    return environment.get_template("report.html").render(
        css=Markup(css),
        swept=list(content.swept),
        missing=list(content.missing),
        s=section(content) | close_ups.look(content),
        published=content.published,
        inspected=[{"name": content.names.get(one["run"], one["run"]), **one} for one in content.inspected],
        facts=content.facts,
        environments=environments(content.run_infos),
        period=period(content.run_infos),
    )


def section(content: Content) -> dict[str, Any]:
    """What the page shows of errors, curves and sizes, and in short."""
    errors, curves = content.errors, content.curves
    runs = errors.drop_duplicates("run")
    drawn = list(content.drawn.values())
    places = {run: place for place, run in enumerate(content.drawn)}
    by = headline_metric.of(errors.columns)
    top = axis_end(errors[f"{by.stem}_high_percent"].max())
    by_a_run = runs[runs["seed"].notna()]  # the others are ensembles
    trained = by_a_run[[not given(source) for source in by_a_run["source"]]]
    curved = content.with_curves
    best = errors.loc[by.best(errors[by.column])].to_dict()
    return {
        "title": content.title,
        "by": by,
        "rows": [row_cells(row, places, drawn, by, top) for row in errors.to_dict("records")],
        "axis_end": top,
        "shows_seed": runs["seed"].nunique() > 1,
        "shows_recipe": runs["recipe"].nunique() > 1,
        "recipes": list(trained["recipe"].unique()),
        "foreign": pretrained.not_trained_here(runs, content.run_infos),
        "num_trained": len(trained),
        "num_ensembles": len(runs) - len(by_a_run),
        "protocols": list(errors["protocol"].unique()),
        "num_images": sorted(set(errors["num_images"])),
        "train_seconds": trained["train_seconds"].sum(),
        "best": best | {"name": content.names[best["run"]], **measured(best, by)},
        "best_epochs": best_epochs(errors, content.run_infos),
        "deviations": summary.deviations(
            errors, content.published, content.training, content.papers_data, chosen_by_test(errors, content.run_infos)
        ),
        "compared": summary.compared(content.published),
        "closest": summary.closest(content.published),
        "seeds": error_table.over_seeds(errors, content.swept).to_dict("records"),
        "legend": [legend_entry(drawn[place]) | {"place": place} for place in curved],
        "closer": [
            legend_entry(content.drawn[run]) | {"place": places[run]} for run in close_ups.part(content, "calibration")
        ],
        "curves": [
            figures.embedded(figures.learning_curves(curves, drawn, {column: name}, False, curved), column)
            for column, name in figures.panels(curves).items()
        ],
        "size": [
            figures.embedded(error_vs_size.error_against(content.size, content.drawn, by, [column]), f"size-{column}")
            for column in error_vs_size.PANELS
        ],
        "size_together": error_vs_size.together(content.size),
        "size_has_papers": bool((content.size["whose"] != error_vs_size.OURS).any()),
    }


def chosen_by_test(errors: pd.DataFrame, run_infos: Mapping[str, Info]) -> list[str]:
    """Architectures whose training watched the pictures that they are tested on, as their papers did."""
    recipes = {run: run_infos.get(run, {}).get("spec", {}).get("recipe", {}) for run in errors["run"]}
    watched = [run for run, recipe in recipes.items() if recipe.get("monitor") == "test"]
    return list(dict.fromkeys(errors.loc[errors["run"].isin(watched), "architecture"]))


def best_epochs(errors: pd.DataFrame, run_infos: Mapping[str, Info]) -> list[str]:
    """`resnet18 (epoch 7 of 12)` for each run that reports its best epoch, not its last."""
    found = []
    for run, architecture in dict(zip(errors["run"], errors["architecture"], strict=True)).items():
        info = run_infos.get(run, {})
        if info.get("spec", {}).get("recipe", {}).get("report_epoch") == "best":
            epoch, epochs = (text(info.get(key)) for key in ("reported_epoch", "epochs"))
            found.append(f"{architecture} (epoch {epoch} of {epochs})")
    return found


def row_cells(row: Info, places: Info, drawn: Sequence[Style], by: Measure, top: float) -> dict[str, Any]:
    """A table row: the measured values, its run's mark and its error's place on the small axis."""
    place = places[row["run"]]
    shown = measured(row, by)
    low, at, high = (round(100 * shown[key] / top, 2) for key in ("low", "at", "high"))
    return {
        **{key: value if given(value) else None for key, value in {**row, **shown}.items()},
        "place": place,
        "mark": figures.PALETTE.index(drawn[place].colour),
        "whisker": {"low": low, "at": at, "high": high},
        "swept_values": {key: text(value) for key, value in row.items()},
    }


def measured(row: Info, by: Measure) -> dict[str, Any]:
    """What a row is compared by, `at` with its interval, and the second measure, whose interval may not be known."""
    second = {end: row.get(f"{by.second_stem}_{end}_percent") for end in ("low", "high")}
    return {
        "at": row[by.column], "low": row[f"{by.stem}_low_percent"], "high": row[f"{by.stem}_high_percent"],
        "second": row[by.second], "second_low": second["low"], "second_high": second["high"],
    }  # fmt: skip


def legend_entry(style: Style) -> dict[str, Any]:
    """A run's line as the figures draw it."""
    strokes = "" if style.dash == "-" else " ".join(f"{1.7 * step:g}" for step in style.dash[1])
    return {"name": style.name, "mark": figures.PALETTE.index(style.colour), "dash": strokes}


def environments(run_infos: Mapping[str, Info]) -> list[dict[str, Any]]:
    """What the runs ran on: one entry for each different machine, software and commit, with its runs."""
    found: dict[str, dict[str, Any]] = {}
    for run, info in run_infos.items():
        facts = {
            "Hardware": text(info.get("hardware")),
            "Precision": text(info.get("precision")),
            "Processes": processes(info),
            "Software": text(info.get("versions")),
            "Commit": f"{text(info.get('commit'))}{' with uncommitted changes' if info.get('dirty') else ''}",
        }
        found.setdefault(str(facts), {"facts": facts, "runs": []})["runs"].append(run)
    return list(found.values())


def processes(info: Info) -> str:
    """What trained a run; a dash where it was not trained here."""
    return (
        f"{text(info['processes'])}, {text(info.get('threads'))} threads each"
        if info.get("processes")
        else formatting.DASH
    )


def period(run_infos: Mapping[str, Info]) -> str:
    """The days between which the trainings ended, from run.json; empty where it does not say."""
    days = sorted(str(info["finished"])[:10] for info in run_infos.values() if info.get("finished"))
    return "" if not days else days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"


def axis_end(percent_: float) -> float:
    """The next round number for the end of an axis that starts at 0."""
    for end in (1, 2, 5, 10, 15, 20, 30, 40, 50, 60, 80):
        if percent_ <= end:
            return end
    return 100
