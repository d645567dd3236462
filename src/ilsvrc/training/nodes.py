"""Several nodes that train one run together: their options, and where they meet."""

import argparse
import os
import re

from ilsvrc.artifacts import run_files
from ilsvrc.training.job import Nodes

SECONDS_TO_MEET = 3600  # how long a node waits for the others to start
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


def torchrun_words(nodes: Nodes, run: str, num_processes: int) -> list[str]:
    """Options of torchrun: how many of `num_processes` start here, and where they meet those of other nodes.

    Its c10d backend would number nodes by their addresses; with the static one node 0, which writes, is the first.

    Raises:
        ValueError: the nodes do not share the processes evenly.
    """
    if num_processes % nodes.nodes:
        raise ValueError(
            f"{num_processes} processes, with which the run began, do not stand evenly on {nodes.nodes} nodes; give "
            "--processes, of each node"
        )
    here = f"--nproc-per-node={num_processes // nodes.nodes}"
    if nodes.nodes == 1:
        return ["--standalone", here]
    rendezvous = {"endpoint": nodes.rendezvous, "id": run_files.run_key(run), "conf": f"timeout={SECONDS_TO_MEET}"}
    rank = [f"--nnodes={nodes.nodes}", f"--node-rank={nodes.node_rank}", "--rdzv-backend=static"]
    return [here, *rank, *(f"--rdzv-{name}={value}" for name, value in rendezvous.items())]
