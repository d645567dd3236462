"""Published results of the networks in a report, and differences of their trainings from the papers'."""

from collections.abc import Mapping, Sequence
from typing import Any

from ilsvrc.artifacts.run_info import RunInfo
from ilsvrc.config import registry
from ilsvrc.config.ensembles import ResolvedEnsemble
from ilsvrc.config.recipe_files import PAPER, recipe_of_paper, resolve_recipe
from ilsvrc.config.specs import TrainSpec
from ilsvrc.datasets._card import Card
from ilsvrc.evaluation import headline_metric
from ilsvrc.reporting import error_table, published_results

OF_THE_SIZE = {"revision", "crop_px", "short_side_px"}  # follow from the crop, or change nothing
PRETRAINED = "pretrained weights"
LENGTHS = ("epochs", "iterations")


def data_card(label: str) -> Card | None:
    """The card of the data set of that name; None for a person's own images."""
    return registry.load("datasets", label).CARD if label in registry.names("datasets") else None


def training_differs(info: RunInfo) -> str:
    """Differences of a run's training from its paper's; empty where there are none."""
    spec, name, architecture = info.made_from, info.recipe_name, info.architecture
    if not isinstance(spec, TrainSpec):
        return PRETRAINED
    try:
        papers = resolve_recipe(PAPER, architecture, {}, spec.form.data)
    except ValueError:
        return f"recipe {name}, none of its paper"
    own, published = (each.model_dump(exclude=OF_THE_SIZE) for each in (spec.recipe, papers))
    other = [key for key in own if own[key] != published[key]]
    if not other:
        return ""
    if name in (PAPER, recipe_of_paper(architecture)):
        return f"the paper's recipe but for {', '.join(key.replace('_', ' ') for key in other)}"
    length = f", {_length(own)} for its {_length(published)}" if set(LENGTHS) & set(other) else ""
    return f"recipe {name}, not the paper's{length}"


def trainings_differ(infos: Mapping[str, RunInfo], ensembles: Sequence[ResolvedEnsemble]) -> dict[str, str]:
    """`training_differs` by run, and by ensemble the differences of its members."""
    differences = {run: training_differs(info) for run, info in infos.items()}
    for ensemble in ensembles:
        differs = dict.fromkeys(filter(None, (differences.get(run, "") for run in ensemble.members)))
        differences[f"ensemble/{ensemble.name}"] = "; ".join(differs)
    return differences


def published(row: Mapping[str, Any], training: str = "") -> error_table.Published | None:
    """A paper's result of such networks: under the same conditions, else the nearest and the differences.

    `training` is `training_differs` of the row's run.
    """
    if headline_metric.from_columns(row) is not headline_metric.TOP1:
        return None
    card = data_card(row["dataset"])
    papers_data = card.papers_data if card else None
    networks, protocol = row["networks"], row["protocol"]
    result = published_results.published_error(networks, papers_data, protocol) or nearest(
        networks, papers_data, protocol
    )
    if not result:
        return None
    differs = {
        "other data": result.dataset != papers_data,
        "other test protocol": result.protocol != protocol,
        "another number of networks": result.networks != published_results.networks(networks),
        training: bool(training),
    }
    why = ", ".join(what for what, so in differs.items() if so)
    return error_table.Published(
        result.top1_error_percent, result.top5_error_percent, citation(result), comparable=not why, why=why
    )


def nearest(networks: str, papers_data: str | None, protocol: str) -> published_results.Result | None:
    """The published row nearest to the measurement: the networks count before the data before the protocol.

    One network is never compared with an ensemble.
    """
    asked = published_results.networks(networks)
    rows = [row for row in published_results.published_of(networks) if row.kind == "error" and row.networks]
    rows = rows if asked.total() > 1 else [row for row in rows if row.networks == asked]
    likeness = [(row.networks == asked, row.dataset == papers_data, row.protocol == protocol) for row in rows]
    return rows[likeness.index(max(likeness))] if rows else None


def citation(result: published_results.Result) -> str:
    """Citation of a published result: paper, table, data and protocol, with a warning where nobody looked it up."""
    where = f"{result.paper}, {result.source.split(';')[0].split(' (')[0]}"
    how = f"{result.title}, {result.dataset}, {result.protocol.replace('_', ' ')}"
    return f"{where}: {how}{' (from memory, not looked up)' if result.confidence == 'from memory' else ''}"


def _length(recipe: Mapping[str, Any]) -> str:
    unit = next(unit for unit in LENGTHS if recipe[unit])
    return f"{recipe[unit]:,} {unit}"
