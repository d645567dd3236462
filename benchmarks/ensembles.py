"""How long an ensemble takes to score, and what it holds in memory: files of kept predictions, as large as asked for.

The probabilities are a softmax of random logits in which the label stands out about as much as it does in a good
network, so that most are below what float16 holds as a normal number, as they are on ImageNet. Each round is a process
of its own, whose peak resident memory is the kernel's figure. The files were just written: they come from memory.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ilsvrc.evaluation import ensembles, predictions, scores


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--images", type=int, default=50_000)
    options.add_argument("--classes", type=int, default=1000)
    options.add_argument("--members", type=int, default=7)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--average", choices=("probabilities", "log_probabilities"), default="probabilities")
    options.add_argument("--files", type=Path, nargs="+", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.files:
        score(given.files, given.average)
        return
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{member}.npz" for member in range(given.members)]
        started = time.perf_counter()
        for member, file in enumerate(files):
            write(file, given.images, given.classes, member)
        print(f"{given.members} files of {files[0].stat().st_size / 1e6:.0f} MB, {time.perf_counter() - started:.0f} s")
        command = [sys.executable, __file__, "--average", given.average, "--files", *map(str, files)]
        for _ in range(given.rounds):
            subprocess.run(command, check=True)


def write(file: Path, num_images: int, num_classes: int, seed: int) -> None:
    labels = np.random.default_rng(0).integers(num_classes, size=num_images)
    random = np.random.default_rng(1 + seed)
    logits = 2.5 * random.standard_normal((num_images, num_classes), np.float32)
    logits[np.arange(num_images), labels] += 9
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    names = np.array([f"ILSVRC2012_val_{i:08}.JPEG" for i in range(num_images)])
    spec = {"classes": [f"n{i:08}" for i in range(num_classes)]}
    started = time.perf_counter()
    kept = predictions.keep(logits, labels, names, spec)
    predictions.write_prediction(file, kept)
    print(f"kept in {time.perf_counter() - started:.1f} s")


def score(files: list[Path], average: str) -> None:
    started = time.perf_counter()
    row = scores.measured(ensembles.combine(files, average))
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    cpu = sum(os.times()[:2])
    print(
        f"scored in {seconds:.2f} s ({cpu:.2f} s of processor time), peak {peak:.2f} GB, "
        f"top-1 error {row['top1_error_percent']:.2f} %"
    )


if __name__ == "__main__":
    main()
