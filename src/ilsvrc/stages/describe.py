"""What the architectures are and cost: one JSON object a line, or a table of each one's layers."""

import argparse
import json
from dataclasses import asdict
from typing import Any

import torch

from ilsvrc.config import registry
from ilsvrc.models.common import flops, reference_counts
from ilsvrc.models.common.layers import Classifier
from ilsvrc.reporting import published_results
from ilsvrc.runtime import cli


def main(given: argparse.Namespace) -> None:
    """Prints each of `given.names`, or all architectures."""
    names = [registry.check("models", name) for name in given.names] or registry.names("models")
    if given.table:
        print(*TABLE_HEAD, sep="\n")
    form = layer_table if given.layers else table_row if given.table else as_json
    for name in names:
        print(form(name), flush=True)


def as_json(name: str) -> str:
    """One line."""
    return json.dumps(summary(name), ensure_ascii=False)


def summary(name: str) -> dict[str, Any]:
    """The network at its paper's input and classes: counts, ours and published, and what papers report on it."""
    row, input_px = reference_counts.architectures().get(name, {}), registry.input_px(name)
    paper = {"name": name, "paper": row.get("paper"), "year": int(row["year"]) if row else None}
    counts = asdict(flops.count(_build(name), input_px))
    told = {key: row.get(key) or None for key in TOLD}
    results = [asdict(row) for row in published_results.published(name)]
    return {**paper, "input_px": input_px, **counts, **told, "results": results}


def table_row(name: str) -> str:
    """A line of Markdown: counts beside the published ones, who published them, and why they differ."""
    found = {key: "" if value is None else value for key, value in summary(name).items()}
    counts = [f"{found[key]:,}" for key in ("parameters", "multiply_adds")]
    cells = [name, found["paper"], found["input_px"], *counts, *(found[key] for key in TOLD)]
    return f"| {' | '.join(map(str, cells))} |"


TOLD = ("published_parameters", "published_multiply_adds", "source", "deviation")
TABLE_HEAD = (
    "| name | paper | input px | parameters | multiply-adds | published | published | source | why they differ |",
    "|---|---|---|---|---|---|---|---|---|",
)


def layer_table(name: str) -> str:
    """A line a layer of the network at its paper's input and classes, totals at the foot."""
    input_px, model = registry.input_px(name), _build(name)
    found, total = flops.layers(model, input_px), flops.count(model, input_px)
    foot = ("total", "", "", total.parameters, total.multiply_adds, total.activations)
    rows = [("layer", "kind", "output", "parameters", "multiply-adds", "activations"), *map(_cells, found), foot]
    width = max(len(row[0]) for row in rows)
    title = f"{name}, one picture of {input_px} x {input_px} px, at test"
    return "\n".join([title, *(_line(width, *row) for row in rows), *_heads(total), ""])


def _cells(layer: flops.Layer) -> tuple[Any, ...]:
    shape = " x ".join(map(str, layer.output_shape))
    return layer.name, layer.kind, shape, layer.parameters, layer.multiply_adds, layer.activations


def _line(width: int, name: str, kind: str, shape: str, *counts: int | str) -> str:
    numbers = (f"{number:,}" if isinstance(number, int) else number for number in counts)
    return f"{name:{width}}  {kind:18}  {shape:>15}" + "".join(f"{number:>15}" for number in numbers)


def _heads(total: flops.Complexity) -> list[str]:
    """A line on the auxiliary heads, where there are any."""
    extra = total.parameters_with_auxiliary_heads - total.parameters
    return [f"and {extra:,} parameters of auxiliary heads, in training"] if extra else []


def _build(name: str) -> Classifier:
    """The paper's network without weights: meta tensors, nothing allocated."""
    with torch.device("meta"):
        model: Classifier = registry.architecture(name)()
    return model


def arguments() -> argparse.ArgumentParser:
    """The stage's options."""
    options = cli.parser(__doc__)
    options.add_argument("names", nargs="*", metavar="NAME", help="architectures; none: all")
    form = options.add_mutually_exclusive_group()
    form.add_argument("--layers", action="store_true", help="a table of each network's layers")
    form.add_argument("--table", action="store_true", help="one table of all, in Markdown")
    return options


if __name__ == "__main__":
    cli.run(main, arguments())
