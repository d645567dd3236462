"""Descriptions of the architectures: counts, ours and published, published errors, and tables of layers.

Networks are built without weights, on the meta device. Importing this module does not import torch, so that names are
listed at once.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ilsvrc.config import registry
from ilsvrc.models.common import reference_counts
from ilsvrc.reporting import published_results
from ilsvrc.reporting.published_results import Result

if TYPE_CHECKING:
    from ilsvrc.models.common.flops import Complexity, Layer
    from ilsvrc.models.common.layers import Classifier

MARKDOWN_HEAD = (
    "| name | paper | input px | parameters | multiply-adds | published | published | source | why they differ |",
    "|---|---|---|---|---|---|---|---|---|",
)
LAYER_HEAD = ("layer", "kind", "output", "parameters", "multiply-adds", "activations")
_COLUMNS = ("name", "paper", "input px", "parameters", "multiply-adds", "published", "published")
_WIDTHS = "{:<30} {:<28} {:>8} {:>13} {:>15} {:>10} {:>10}"
TABLE_HEAD = _WIDTHS.format(*_COLUMNS).rstrip()


@dataclass(frozen=True)
class DescribeJob:
    """The architectures to describe; none named: all."""

    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Description:
    """An architecture at its paper's input and classes.

    `published_parameters` and `published_multiply_adds` are figures as they were printed, such as `1.8G`, `source` says
    by whom, `deviation` why ours differ.
    """

    name: str
    paper: str | None
    year: int | None
    input_px: int
    parameters: int
    parameters_with_auxiliary_heads: int
    multiply_adds: int
    activations: int
    published_parameters: str | None
    published_multiply_adds: str | None
    source: str | None
    deviation: str | None
    results: tuple[Result, ...]  # what papers report, its own paper's first


@dataclass(frozen=True)
class LayerTable:
    """The layers of an architecture for one image of `input_px` at test time, and their totals."""

    name: str
    input_px: int
    layers: tuple["Layer", ...]
    total: "Complexity"


def names(job: DescribeJob) -> tuple[str, ...]:
    """Names of the architectures that are asked for.

    Raises:
        ValueError: there is no such architecture; the message lists the nearest.
    """
    return tuple(registry.check("models", name) for name in job.names) or registry.names("models")


def describe(job: DescribeJob) -> Iterator[Description]:
    """The description of each architecture, one after the other, as soon as it is counted."""
    return map(describe_one, names(job))


def describe_layers(job: DescribeJob) -> Iterator[LayerTable]:
    """The table of layers of each architecture, one after the other."""
    return map(layers_of_one, names(job))


def describe_one(name: str) -> Description:
    """Counts of an architecture, ours and published, and the errors that papers report of it."""
    from ilsvrc.models.common import flops

    row, input_px = reference_counts.architectures().get(name, {}), registry.input_px(name)
    counts = flops.count(_build(name), input_px)
    return Description(
        name=name,
        paper=row.get("paper"),
        year=int(row["year"]) if row else None,
        input_px=input_px,
        **asdict(counts),
        published_parameters=row.get("published_parameters") or None,
        published_multiply_adds=row.get("published_multiply_adds") or None,
        source=row.get("source") or None,
        deviation=row.get("deviation") or None,
        results=tuple(published_results.published(name)),
    )


def layers_of_one(name: str) -> LayerTable:
    """Layers of an architecture at its paper's input and classes."""
    from ilsvrc.models.common import flops

    input_px, model = registry.input_px(name), _build(name)
    return LayerTable(name, input_px, tuple(flops.layers(model, input_px)), flops.count(model, input_px))


def as_json(description: Description) -> dict[str, Any]:
    """A description for machines."""
    return asdict(description)


def layers_as_json(table: LayerTable) -> dict[str, Any]:
    """A table of layers for machines."""
    return asdict(table)


def as_text(descriptions: Iterable[Description]) -> Iterator[str]:
    """Lines of one table: counts beside the published ones."""
    yield TABLE_HEAD
    for each in descriptions:
        published = (each.published_parameters or "", each.published_multiply_adds or "")
        counts = (f"{each.parameters:,}", f"{each.multiply_adds:,}")
        yield _WIDTHS.format(each.name, each.paper or "", each.input_px, *counts, *published).rstrip()


def as_markdown(descriptions: Iterable[Description]) -> Iterator[str]:
    """Lines of one table in Markdown: counts beside the published ones, who published them, and why they differ."""
    yield from MARKDOWN_HEAD
    for each in descriptions:
        counts = (f"{each.parameters:,}", f"{each.multiply_adds:,}")
        published = (each.published_parameters, each.published_multiply_adds, each.source, each.deviation)
        cells = (each.name, each.paper, each.input_px, *counts, *published)
        yield f"| {' | '.join('' if cell is None else str(cell) for cell in cells)} |"


def layers_as_text(table: LayerTable) -> str:
    """A line a layer, totals at the foot."""
    total = table.total
    foot = ("total", "", "", total.parameters, total.multiply_adds, total.activations)
    rows = [LAYER_HEAD, *map(_cells, table.layers), foot]
    width = max(len(row[0]) for row in rows)
    title = f"{table.name}, one image of {table.input_px} x {table.input_px} px, at test"
    return "\n".join([title, *(_line(width, *row) for row in rows), *_auxiliary_heads(total), ""])


def _cells(layer: "Layer") -> tuple[Any, ...]:
    shape = " x ".join(map(str, layer.output_shape))
    return layer.name, layer.kind, shape, layer.parameters, layer.multiply_adds, layer.activations


def _line(width: int, name: str, kind: str, shape: str, *counts: int | str) -> str:
    numbers = (f"{number:,}" if isinstance(number, int) else number for number in counts)
    return f"{name:{width}}  {kind:18}  {shape:>15}" + "".join(f"{number:>15}" for number in numbers)


def _auxiliary_heads(total: "Complexity") -> list[str]:
    """A line on the auxiliary heads, where there are any."""
    extra = total.parameters_with_auxiliary_heads - total.parameters
    return [f"and {extra:,} parameters of auxiliary heads, in training"] if extra else []


def _build(name: str) -> "Classifier":
    """The paper's network without weights: meta tensors, nothing allocated."""
    import torch

    with torch.device("meta"):
        model: Classifier = registry.architecture(name)()
    return model
