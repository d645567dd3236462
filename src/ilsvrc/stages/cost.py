"""Costs of a network on this machine, whatever its weights: counts, a training step's memory, and passes on noise."""

import argparse
from pathlib import Path

from ilsvrc.profiling.environment import MEASURED_WITH
from ilsvrc.runtime import entry_point, messages, restart


def main(args: argparse.Namespace) -> None:
    """Measures the network of `--spec` for the classes of `--source`, and prints a line."""
    # not above: a program that starts itself again would import torch twice
    from ilsvrc.profiling import cost_files, network

    job = network.CostJob(args.spec, args.source, args.output, args.threads, args.gpus)
    measured = network.measure_network(job)
    tests = "; ".join(map(cost_files.costs_text, measured.tests))
    messages.say(f"measured {measured.architecture} at {measured.crop_px} px: {tests}")


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    parser.add_argument("--spec", required=True, help="config.cost_specs.CostSpec as JSON")
    parser.add_argument("--source", type=Path, required=True, help="source.json or weights.json, for the classes")
    parser.add_argument("--output", type=Path, required=True, help="JSON to write")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--gpus", type=int, default=0, help="0 or 1")
    return parser


if __name__ == "__main__":
    restart.restart_with(MEASURED_WITH)
    entry_point.run(main, arguments())
