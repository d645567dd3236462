"""The report as one self-contained HTML file: its bytes depend on its inputs alone."""

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from ilsvrc.reporting import figures, measure, tables
from ilsvrc.reporting.figures import Style
from ilsvrc.reporting.measure import Measure

Info = Mapping[str, Any]
NBSP, DASH = "\u00a0", "–"


def render(
    errors: pd.DataFrame, curves: pd.DataFrame, run_infos: Mapping[str, Info], titles: Mapping[str, str],
    swept: Sequence[str], missing: Sequence[str] = (),
) -> str:  # fmt: skip
    """The page. `errors` is `tables.errors`, `run_infos` each run's run.json, `titles` the data sets' by label."""
    environment = Environment(
        loader=PackageLoader("ilsvrc", "reporting"), autoescape=select_autoescape(), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"percent": percent, "count": count, "magnitude": magnitude, "duration": duration}
    css = files("ilsvrc.reporting").joinpath("report.css").read_text(encoding="utf-8")
    return environment.get_template("report.html").render(
        css=Markup(css),
        swept=list(swept),
        missing=list(missing),
        sections=[
            section(label, part, curves[curves["dataset"] == label], titles.get(label, label), swept)
            | {"chosen_by_test": chosen_by_test(part, run_infos), "best_epochs": best_epochs(part, run_infos)}
            | {"foreign": not_trained_here(part, run_infos)}
            for label, part in errors.groupby("dataset", sort=False)
        ],
        environments=environments(run_infos),
        period=period(run_infos),
    )


def section(label: str, errors: pd.DataFrame, curves: pd.DataFrame, title: str, swept: Sequence[str]) -> dict[str, Any]:
    """What the page shows of one data set."""
    runs = errors.drop_duplicates("run")
    names = run_names(runs, swept)
    drawn = figures.styles(names, list(runs["architecture"]))
    places = {run: place for place, run in enumerate(runs["run"])}
    notes = footnotes(errors)
    by = measure.of(errors.columns)
    top = axis_end(errors[f"{by.stem}_high_percent"].max())
    by_a_run = runs[runs["seed"].notna()]  # the others are ensembles
    trained = by_a_run[by_a_run["source"].isna()]
    curved = with_curves(runs, curves)
    best = errors.loc[by.best(errors[by.column])].to_dict()
    return {
        "label": label,
        "title": title,
        "by": by,
        "rows": [row_cells(row, places, drawn, notes, by, top) for row in errors.to_dict("records")],
        "axis_end": top,
        "shows_seed": runs["seed"].nunique() > 1,
        "shows_recipe": runs["recipe"].nunique() > 1,
        "recipes": list(trained["recipe"].unique()),
        "num_trained": len(trained),
        "num_ensembles": len(runs) - len(by_a_run),
        "protocols": list(errors["protocol"].unique()),
        "num_images": sorted(set(errors["num_images"])),
        "train_seconds": trained["train_seconds"].sum(),
        "best": best | {"name": names[places[best["run"]]], **measured(best, by)},
        "notes": list(notes.items()),
        "seeds": tables.over_seeds(errors, swept).to_dict("records"),
        "legend": [legend_entry(drawn[place]) | {"place": place} for place in curved],
        "curves": [
            embedded(figures.learning_curves(curves, drawn, {column: name}, False, curved), f"{column}-{label}")
            for column, name in figures.panels(curves).items()
        ],
        "cost": embedded(figures.error_against_cost(errors, drawn), f"cost-{label}"),
    }


def with_curves(runs: pd.DataFrame, curves: pd.DataFrame) -> list[int]:
    """Places of the runs that have a learning curve: those that were trained here."""
    trained = set(curves["run"])
    return [place for place, run in enumerate(runs["run"]) if run in trained]


def not_trained_here(errors: pd.DataFrame, run_infos: Mapping[str, Info]) -> list[dict[str, Any]]:
    """What is known of weights that were not trained here: whose they are, and what was assumed or is otherwise."""
    runs = errors.drop_duplicates("run")
    return [
        {"architecture": row["architecture"], "source": row["source"], "says": import_facts(run_infos[row["run"]])}
        for row in runs[runs["source"].notna() & runs["seed"].notna()].to_dict("records")
    ]


def import_facts(info: Info) -> str:
    """How the classes and the pixels' normalisation are known, and how the library tests its weights."""
    library = info.get("tested_with") or {}
    says = [f"classes: {info['class_order']}", f"normalisation: {info['normalization_is']}"]
    if library:
        sizes = f"short side {library['short_side_px']} px, crop {library['crop_px']} px, {library['interpolation']}"
        says.append(f"made for {sizes}")
    if "top1_error_percent" in library:
        errors = " / ".join(percent(library.get(f"top{k}_error_percent")) for k in (1, 5))
        says.append(f"its owners state errors of {errors} %")
    return "; ".join(says)


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
            found.append(f"{architecture} (epoch {info.get('reported_epoch', DASH)} of {info.get('epochs', DASH)})")
    return found


def run_names(runs: pd.DataFrame, swept: Sequence[str]) -> list[str]:
    """The shortest names that tell the runs of a data set apart."""
    keys = [*(["recipe"] if runs["recipe"].nunique() > 1 else []), *swept]
    keys += ["seed"] if runs["seed"].nunique() > 1 else []
    return [
        " ".join([row["architecture"], *(f"{key}={text(row[key])}" for key in keys if given(row[key]))])
        for row in runs.to_dict("records")
    ]


def row_cells(
    row: Info, places: Info, drawn: Sequence[Style], notes: Mapping[tuple, int], by: Measure, top: float
) -> dict[str, Any]:
    """A table row: the measured values, its run's mark and its error's place on the small axis."""
    place = places[row["run"]]
    shown = measured(row, by)
    low, at, high = (round(100 * shown[key] / top, 2) for key in ("low", "at", "high"))
    return {
        **{key: value if given(value) else None for key, value in {**row, **shown}.items()},
        "place": place,
        "mark": figures.PALETTE.index(drawn[place].colour),
        "whisker": {"low": low, "at": at, "high": high},
        "note": notes.get(note_key(row)),
        "swept_values": {key: text(value) for key, value in row.items()},
    }


def measured(row: Info, by: Measure) -> dict[str, Any]:
    """What a row is compared by, `at` with its interval, and the second measure, whose interval may not be known."""
    second = {end: row.get(f"{by.second_stem}_{end}_percent") for end in ("low", "high")}
    return {
        "at": row[by.column], "low": row[f"{by.stem}_low_percent"], "high": row[f"{by.stem}_high_percent"],
        "second": row[by.second], "second_low": second["low"], "second_high": second["high"],
    }  # fmt: skip


def note_key(row: Info) -> tuple[str, str] | None:
    """Citation and what differs, None where no paper reports the architecture."""
    return None if not given(row["paper_citation"]) else (row["paper_citation"], row["paper_why"] or "")


def footnotes(errors: pd.DataFrame) -> dict[tuple[str, str], int]:
    """(citation, what differs) -> number, in the order of the table."""
    keys = [note_key(row) for row in errors.to_dict("records")]
    return {key: number for number, key in enumerate(dict.fromkeys(filter(None, keys)), start=1)}


def legend_entry(style: Style) -> dict[str, Any]:
    """A run's line as the figures draw it."""
    strokes = "" if style.dash == "-" else " ".join(f"{1.7 * step:g}" for step in style.dash[1])
    return {"name": style.name, "mark": figures.PALETTE.index(style.colour), "dash": strokes}


def embedded(svg: str, prefix: str) -> Markup:
    """A figure's SVG, to stand in the page as it is."""
    return Markup(figures.for_page(svg, prefix))


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
    return f"{text(info['processes'])}, {text(info.get('threads'))} threads each" if info.get("processes") else DASH


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


def given(value: Any) -> bool:
    """Neither None nor NaN nor empty."""
    return value is not None and value != "" and not (isinstance(value, float) and math.isnan(value))


def text(value: Any) -> str:
    """A value of run.json or of a sweep, for a person."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {text(inner)}" for key, inner in value.items() if given(inner))
    if isinstance(value, (list, tuple)):
        return ", ".join(map(text, value))
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value) if given(value) else DASH


def percent(value: Any, digits: int = 1) -> str:
    """`0.8`; a dash where nothing was measured."""
    return f"{value:.{digits}f}" if given(value) else DASH


def count(value: Any) -> str:
    """A whole number with thousands separators."""
    return f"{round(value):,}" if given(value) else DASH


def magnitude(value: Any) -> str:
    """Three significant digits and a unit: 60.9 M."""
    return figures.short(value) if given(value) else DASH


def duration(seconds: Any) -> str:
    """`1 h 05 min`, `3 min 20 s`, `12 s`."""
    if not given(seconds):
        return DASH
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60:,}{NBSP}h{NBSP}{minutes % 60:02d}{NBSP}min"
    return f"{minutes}{NBSP}min{NBSP}{rest:02d}{NBSP}s" if minutes else f"{rest}{NBSP}s"
