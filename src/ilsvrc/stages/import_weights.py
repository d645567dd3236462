"""Pretrained weights, in the place of a training: the same files, from a library's or a person's."""

import argparse
from pathlib import Path

from ilsvrc.config import specs
from ilsvrc.runtime import entry_point
from ilsvrc.training.import_run import ImportJob, import_run
from ilsvrc.training.job import Outputs


def main(args: argparse.Namespace) -> None:
    """Finds, checks and writes the weights."""
    import_run(
        ImportJob(
            spec=specs.parse_specification(specs.ImportSpec, args.spec),
            run=args.run,
            file=args.file[0] if args.file else None,
            val_manifest=args.val_manifest,
            outputs=Outputs(args.weights, args.weights_info, args.history, args.run_info),
            work=args.work,
        )
    )


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    parser.add_argument("--spec", required=True, help="specs.ImportSpec as JSON")
    parser.add_argument("--run", required=True, help="name of the run: its folder under results/runs")
    parser.add_argument("--file", type=Path, nargs="*", help="a person's file of weights; none: a library's")
    parser.add_argument("--val-manifest", type=Path, required=True, help="manifest of the packed test split")
    parser.add_argument("--weights", type=Path, required=True, help="safetensors to write")
    parser.add_argument("--weights-info", type=Path, required=True, help="JSON to write: what predict depends on")
    parser.add_argument("--history", type=Path, required=True, help="CSV to write: no epochs")
    parser.add_argument("--run-info", type=Path, required=True, help="JSON to write: where from, machine, versions")
    parser.add_argument("--work", type=Path, required=True, help="keeps the id of the run in MLflow")
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
