"""Seconds from a job's start to its first batch: imports, then opening and the first batch, for training and testing.

Each round is a process of its own. The first one, whose files may not be in memory, is not counted.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

JOB = """
import json, sys, time
started = time.perf_counter()
from pathlib import Path
from ilsvrc.loading import batches
from ilsvrc.loading.views import View
loader, beton, kind, workers = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
if loader == "ffcv":
    from ilsvrc.loading import ffcv_loader
imported = time.perf_counter()
share = {"batch_size": min(128, batches.open_packed(beton).num_images), "workers": workers}
if kind == "training":
    opened = batches.open_training(loader, beton, crop="area_aspect", crop_px=224, flip=True, seed=0, **share)
    first = next(opened.epoch(0))
else:
    opened = batches.open_testing(loader, beton, views=[View(256, 224)], **share)
    first = next(iter(opened))
shown = time.perf_counter()
opened.close()
print(json.dumps([imported - started, shown - imported]))
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("beton", type=Path, help="a packed split")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--loader", default="ffcv")
    given = options.parse_args()
    print("| | imports, s | first batch, s (median) | slowest |\n|---|---|---|---|")
    for kind in ("training", "testing"):
        words = [given.loader, str(given.beton), kind, str(given.workers)]
        rounds = [job(words) for _ in range(1 + given.rounds)][1:]
        imports, batch = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"| {kind} | {imports:.1f} | {batch:.2f} | {max(seconds for _, seconds in rounds):.2f} |")


def job(words: list[str]) -> tuple[float, float]:
    run = subprocess.run([sys.executable, "-c", JOB, *words], capture_output=True, text=True, check=True)
    imports, batch = json.loads(run.stdout.splitlines()[-1])
    return imports, batch


if __name__ == "__main__":
    main()
