"""The report in a few lines: what deviates from the papers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from ilsvrc.reporting.paper_tables import PaperTable


class Deviation(NamedTuple):
    """One line: what it is about, and what is otherwise than in the papers."""

    about: str
    says: tuple[str, ...]  # sentences, without their stop


def deviations(
    errors: pd.DataFrame, found: Sequence[PaperTable], training: Mapping[str, str], papers_data: str | None,
    chosen_by_test: Sequence[str],
) -> list[Deviation]:  # fmt: skip
    """What of a data set's results is not as in the papers: data, training, tests, and numbers nobody looked up."""
    own = [table for table in found if table.own]
    lines = [
        Deviation("Data", _data({row["dataset"] for row in _beside(own) or _printed(own)}, papers_data)),
        Deviation("Training", _training(errors, training)),
        Deviation("Tests", _tests(own)),
        Deviation("Chosen by test pictures", _chosen(chosen_by_test)),
    ]
    return [line for line in lines if line.says]


def compared(found: Iterable[PaperTable]) -> dict[str, int]:
    """Printed rows of own papers that something measured stands beside, and how many of these are comparable."""
    rows = _beside(table for table in found if table.own)
    return {"beside": len(rows), "comparable": sum(row["comparable"] for row in rows)}


def closest(found: Iterable[PaperTable]) -> dict[str, Any] | None:
    """The comparable row whose top-1 error is nearest to the printed one, None where none is comparable."""
    rows = [row for table in found if table.own for row in table.rows if row.get("comparable")]
    known = [row for row in rows if row.get("top1_difference") is not None]
    return min(known, key=lambda row: abs(row["top1_difference"]), default=None)


def _beside(own: Iterable[PaperTable]) -> list[Mapping[str, Any]]:
    """Printed rows that something measured stands beside, once where two tables print them."""
    rows = [row for table in own for row in table.rows if "title" in row and "measured" in row]
    return list({tuple((k, str(v)) for k, v in row.items() if k != "table"): row for row in rows}.values())


def _printed(own: Iterable[PaperTable]) -> list[Mapping[str, Any]]:
    """Printed rows of the tables under which something measured stands."""
    return [row for table in own if table.ours for row in table.rows if "title" in row]


def _data(theirs: set[str], ours: str | None) -> tuple[str, ...]:
    """Where the papers' rows are on other data."""
    names = sorted({name.removesuffix(" val").removesuffix(" test") for name in theirs})
    return () if not theirs or ours in theirs else (f"not the papers', which report on {', '.join(names)}",)


def _training(errors: pd.DataFrame, training: Mapping[str, str]) -> tuple[str, ...]:
    """Each way in which trainings differ, with the architectures that it holds for."""
    ways: dict[str, dict[str, None]] = {}
    for row in errors[errors["seed"].notna()].drop_duplicates("run").to_dict("records"):
        if why := training.get(row["run"]):
            ways.setdefault(why, {})[row["architecture"]] = None
    return tuple(f"{', '.join(names)}: {why}" for why, names in ways.items())


def _tests(own: Sequence[PaperTable]) -> tuple[str, ...]:
    """Networks that were tested by none of their paper's protocols."""
    beside = {row["networks"] for row in _beside(own)}
    alone = dict.fromkeys(row["networks"] for table in own for row in table.ours if row["networks"] not in beside)
    return (f"{', '.join(alone)}: by no protocol of the paper's tables",) if alone else ()


def _chosen(architectures: Sequence[str]) -> tuple[str, ...]:
    if not architectures:
        return ()
    return (
        f"{', '.join(architectures)}: the recipe lowers the learning rate by the error on the pictures that are "
        "tested, as the paper did (monitor: test); the errors are a little too low",
    )
