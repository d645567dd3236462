"""Several nodes that train one run together: their options, and where they meet."""

import argparse
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ilsvrc.runtime.worker_processes import MEETING_ADDRESS, meeting_on_this_machine
from ilsvrc.training.job import Nodes

OPTIONS = {  # name -> type, default, meaning
    "nodes": (int, "1", "number of nodes that train this run together"),
    "node_rank": (int, "0", "rank of this node among them, from 0"),
    "rendezvous": (str, "", "host:port of node 0, where the nodes meet"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--nodes`, `--node-rank` and `--rendezvous`, whose defaults are environment variables."""
    for name, (kind, default, meaning) in OPTIONS.items():
        variable = f"ILSVRC_{name.upper()}"
        value = os.environ.get(variable) or default
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=value, help=f"{meaning}; else {variable}")


def check(nodes: Nodes) -> None:
    """Refuses a rank that is no node's, and nodes that have nowhere to meet.

    Raises:
        ValueError: names the option.
    """
    if not 0 <= nodes.node_rank < nodes.nodes:
        raise ValueError(
            f"--node-rank {nodes.node_rank} is none of --nodes {nodes.nodes}; give each node its own, from 0 to "
            f"{nodes.nodes - 1}"
        )
    if nodes.nodes > 1 and not re.fullmatch(r".+:\d+", nodes.rendezvous):
        raise ValueError(
            f"--rendezvous {nodes.rendezvous or '(none)'} is no place where {nodes.nodes} nodes could meet; give them "
            "node 0's address and a free port of it, host:port"
        )


def ranks(nodes: Nodes, num_processes: int) -> range:
    """Ranks of the processes that start on this node, of `num_processes`; node 0 has the first ones.

    Raises:
        ValueError: the nodes do not share the processes evenly.
    """
    if num_processes % nodes.nodes:
        raise ValueError(
            f"{num_processes} processes, with which the run began, do not stand evenly on {nodes.nodes} nodes; give "
            "--processes, of each node"
        )
    here = num_processes // nodes.nodes
    return range(nodes.node_rank * here, (nodes.node_rank + 1) * here)


@contextmanager
def meeting(nodes: Nodes, num_processes: int, work: Path) -> Iterator[dict[str, str]]:
    """Environment variables by which processes meet: of a file in `work`, or of the address that nodes are given."""
    if nodes.nodes > 1:
        yield {MEETING_ADDRESS: nodes.rendezvous}
        return
    if num_processes == 1:
        yield {}
        return
    with meeting_on_this_machine(work) as variables:
        yield variables
