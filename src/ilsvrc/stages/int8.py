"""A trained network in int8 on the CPU: its costs, and its error beside that of float32 on the same images."""

import argparse
from pathlib import Path

from ilsvrc.profiling.environment import MEASURED_WITH
from ilsvrc.runtime import entry_point, messages, restart


def main(args: argparse.Namespace) -> None:
    """Measures `--run`, and prints a line."""
    # not above: a program that starts itself again would import torch twice
    from ilsvrc.profiling import int8_run

    measured = int8_run.measure_run(
        int8_run.Int8Job(
            run=args.run,
            weights=args.weights,
            weights_info=args.weights_info,
            train=args.train,
            val=args.val,
            output=args.output,
            threads=args.threads,
            loader=args.loader,
        )
    )
    messages.say(f"{args.run}: {int8_run.text(measured.tests[0])}")


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    parser.add_argument("--run", required=True, help="name of the run: its folder under results/runs")
    parser.add_argument("--weights", type=Path, required=True, help="weights.safetensors")
    parser.add_argument("--weights-info", type=Path, required=True, help="weights.json")
    parser.add_argument("--train", type=Path, required=True, help="packed training split, to calibrate with")
    parser.add_argument("--val", type=Path, required=True, help="packed test split")
    parser.add_argument("--output", type=Path, required=True, help="JSON to write")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--loader", default="auto", help="auto, ffcv or pillow")
    return parser


if __name__ == "__main__":
    restart.restart_with(MEASURED_WITH)
    entry_point.run(main, arguments())
