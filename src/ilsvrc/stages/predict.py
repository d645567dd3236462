"""Class probabilities of every test image, for any number of protocols at once (evaluation/predict_split.py)."""

import argparse
from pathlib import Path

from ilsvrc.evaluation.predict_split import PredictJob, predict_split
from ilsvrc.runtime import entry_point, messages


def main(args: argparse.Namespace) -> None:
    """Writes one file of predictions for each `--output`."""
    messages.say(predict_split(PredictJob(**vars(args))).line())


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    parser.add_argument("--run", required=True, help="name of the run: its folder under results/runs")
    parser.add_argument("--weights", type=Path, required=True, help="weights.safetensors")
    parser.add_argument("--weights-info", type=Path, required=True, help="weights.json")
    parser.add_argument("--val", type=Path, required=True, help="packed test split")
    parser.add_argument("--val-manifest", type=Path, required=True, help="its manifest")
    parser.add_argument("--images", type=Path, required=True, help="its list of images")
    parser.add_argument("--output", type=Path, nargs="+", required=True, help="NPZ to write, <protocol>.npz each")
    parser.add_argument("--processes", type=int, default=0, help="that share the images; 0: one a GPU, or one on a CPU")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads, over all processes")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs, 0 for the CPU")
    parser.add_argument("--precision", default="auto", help="auto, float32, bfloat16 or float64")
    parser.add_argument("--loader", default="auto", help="auto, ffcv, pillow or synthetic")
    return parser


if __name__ == "__main__":
    entry_point.run(main, arguments())
