"""Inspects a trained network: first kernels, nearest training images, occlusion and saliency maps."""

import argparse
from pathlib import Path

from ilsvrc.evaluation.inspection.inspect_network import InspectJob, inspect_network
from ilsvrc.runtime import entry_point, messages


def main(args: argparse.Namespace) -> None:
    """Writes `--output` and the images that it names, and prints a line."""
    job = InspectJob(**{key: value for key, value in vars(args).items() if key != "log"})
    messages.say(f"inspected {job.run}: {', '.join(inspect_network(job))}")


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    parser.add_argument("--run", required=True, help="name of the run: its folder under results/runs")
    parser.add_argument("--weights", type=Path, required=True, help="weights.safetensors")
    parser.add_argument("--weights-info", type=Path, required=True, help="weights.json")
    parser.add_argument("--train", type=Path, nargs="?", help="packed training split; none: no nearest pictures")
    parser.add_argument("--val", type=Path, required=True, help="packed test split")
    parser.add_argument("--val-manifest", type=Path, required=True, help="its manifest")
    parser.add_argument("--nearest-of", type=int, required=True, help="how many training pictures are compared")
    parser.add_argument("--output", type=Path, required=True, help="JSON to write")
    parser.add_argument("--pictures", type=Path, required=True, help="folder beside it, to write pictures to")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs, 0 for the CPU")
    parser.add_argument("--loader", default="auto", help="auto, ffcv or pillow")
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
