"""Flips single bits of checkpoints: each must be seen before anything of it is used, and the one before take its place.

`--megabytes 100 500` measures too what the checksum costs where a checkpoint of that size is saved and loaded: medians
of `--rounds`, with the checksum and without it in turn.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

SUPPORT = Path(__file__).resolve().parents[2] / "tests" / "support"
sys.path.insert(0, str(SUPPORT))

import tiny  # noqa: E402

from ilsvrc.runtime import checksum  # noqa: E402
from ilsvrc.training import checkpoint  # noqa: E402
from ilsvrc.training.state import Progress  # noqa: E402

IDENTITY = {"spec": "{}", "manifest_sha256": "ab"}


def flips(folder: Path, tries: int, seed: int) -> list[int]:
    """Places, in bits, of the flips that were not seen among `tries` of the newest checkpoint in `folder`."""
    for step in (1, 2):
        checkpoint.save(folder, tiny.training(), Progress(step=step), identity=IDENTITY)
    path, chosen, unseen = folder / checkpoint.NAME, random.Random(seed), []
    whole = path.read_bytes()
    for _ in range(tries):
        place = chosen.randrange(8 * len(whole))
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        content, why = checkpoint.load(folder, IDENTITY)
        if content is None or content["progress"]["step"] != 1 or "is damaged" not in why:
            unseen.append(place)
    return unseen


def seconds(megabytes: int, path: Path, summed: bool) -> tuple[float, float]:
    """Seconds of a save without the disk's own time, and of a load, with the checksum or without it."""
    content = {"weights": torch.randn(megabytes * 250_000)}
    started = time.perf_counter()
    with path.open("wb") as file:
        writer: Any = checksum.ChecksumWriter(file) if summed else file
        torch.save(content, writer)
        if summed:
            writer.close_line()
    saved = time.perf_counter()
    if summed:
        checksum.check_zip(path)
    torch.load(path, map_location="cpu", weights_only=True)
    return saved - started, time.perf_counter() - saved


def costs(megabytes: int, path: Path, rounds: int) -> str:
    """A line on what the checksum costs."""
    found = {summed: [seconds(megabytes, path, summed) for _ in range(rounds)] for summed in (False, True)}
    (save, load), (summed_save, summed_load) = (
        [statistics.median(column) for column in zip(*found[summed], strict=True)] for summed in (False, True)
    )
    return (
        f"{megabytes} MB: saved in {save:.2f} s, with the checksum {summed_save:.2f} s; loaded in {load:.2f} s, with it"
        f" {summed_load:.2f} s (medians of {rounds})"
    )


def main() -> None:
    """Prints how many flips were tried and seen, and what the checksum costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--megabytes", type=int, nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        unseen = flips(Path(folder), args.tries, args.seed)
        print(f"tried {args.tries}, seen {args.tries - len(unseen)}, lost {len(unseen)} (seed {args.seed})")
        for megabytes in args.megabytes:
            print(costs(megabytes, Path(folder) / "large.pt", args.rounds))
    sys.exit(bool(unseen))


if __name__ == "__main__":
    main()
