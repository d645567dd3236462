"""Descriptions of the architectures: one JSON object a line, or a table of each one's layers."""

import argparse
import json
from collections.abc import Iterator

from ilsvrc.reporting import describe_models
from ilsvrc.reporting.describe_models import DescribeJob
from ilsvrc.runtime import entry_point


def main(args: argparse.Namespace) -> None:
    """Prints each of `args.names`, or all architectures."""
    for line in lines(DescribeJob(tuple(args.names)), args.layers, args.table):
        print(line, flush=True)


def lines(job: DescribeJob, layers: bool, table: bool) -> Iterator[str]:
    """Lines to print, as soon as they are known."""
    if layers:
        return map(describe_models.layers_as_text, describe_models.describe_layers(job))
    described = describe_models.describe(job)
    if table:
        return describe_models.as_markdown(described)
    return (json.dumps(describe_models.as_json(each), ensure_ascii=False) for each in described)


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="architectures; none: all")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--layers", action="store_true", help="a table of each network's layers")
    form.add_argument("--table", action="store_true", help="one table of all, in Markdown")
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
