"""Several nodes that train one run together: which of them this is, and where they meet."""

import argparse
import os
import re

from ilsvrc.artifacts import run_files

SECONDS_TO_MEET = 3600  # how long a node waits for the others to start
OPTIONS = {  # name -> type, default, meaning
    "nodes": (int, "1", "that train this run together"),
    "node_rank": (int, "0", "this one among them, from 0"),
    "rendezvous": (str, "", "host:port of node 0, where they meet"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--nodes`, `--node-rank` and `--rendezvous`, else what the environment says."""
    for name, (kind, default, meaning) in OPTIONS.items():
        variable = f"ILSVRC_{name.upper()}"
        given = os.environ.get(variable) or default
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=given, help=f"{meaning}; else {variable}")


def check(given: argparse.Namespace) -> None:
    """Refuses a place that is none of theirs, and nodes that have nowhere to meet.

    Raises:
        ValueError: names the option.
    """
    if not 0 <= given.node_rank < given.nodes:
        raise ValueError(
            f"--node-rank {given.node_rank} is none of --nodes {given.nodes}; give each node its own, from 0 to "
            f"{given.nodes - 1}"
        )
    if given.nodes > 1 and not re.fullmatch(r".+:\d+", given.rendezvous):
        raise ValueError(
            f"--rendezvous {given.rendezvous or '(none)'} is no place where {given.nodes} nodes could meet; give them "
            "node 0's address and a free port of it, host:port"
        )


def meeting(given: argparse.Namespace, num_processes: int) -> list[str]:
    """torchrun's words on how many of `num_processes` start here, and where they meet those of other nodes.

    Its c10d backend would number nodes by their addresses; with the static one node 0, which writes, is the first.

    Raises:
        ValueError: the nodes do not share the processes evenly.
    """
    if num_processes % given.nodes:
        raise ValueError(
            f"{num_processes} processes, with which the run began, do not stand evenly on {given.nodes} nodes; give "
            "--processes, of each node"
        )
    here = f"--nproc-per-node={num_processes // given.nodes}"
    if given.nodes == 1:
        return ["--standalone", here]
    where = {"endpoint": given.rendezvous, "id": run_files.run_key(given.run), "conf": f"timeout={SECONDS_TO_MEET}"}
    place = [f"--nnodes={given.nodes}", f"--node-rank={given.node_rank}", "--rdzv-backend=static"]
    return [here, *place, *(f"--rdzv-{name}={value}" for name, value in where.items())]
