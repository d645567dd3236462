"""What a training holds in memory: epoch after epoch over a packed file, from the page cache and without it.

Before every second epoch the file is thrown out of memory, which is what a kernel does to a file larger than it.
RssAnon is memory of the process's own; RssFile is the kernel's page cache, which the process shares and which the
kernel takes back when it needs room. The pixels of an epoch are compared with those of the epoch before.
"""

import argparse
import mmap
import os
import time
import zlib
from pathlib import Path

from ilsvrc.loading import batches


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("beton", type=Path, help="a packed split of several hundred MB")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--epochs", type=int, default=6)
    options.add_argument("--order", choices=("random", "quasi_random"), default="random")
    given = options.parse_args()
    opened = batches.open_training(
        "ffcv", given.beton, crop="area_aspect", crop_px=224, flip=True, batch_size=64, seed=0, workers=given.workers,
        order=given.order,
    )  # fmt: skip
    print(f"{given.beton.name}: {given.beton.stat().st_size / 1e6:.0f} MB\n")
    print("| epoch | RssAnon, MB | RssFile, MB | images/s | pixels |\n|---|---|---|---|---|")
    for number in range(given.epochs):
        if number % 2 == 0:
            evict(given.beton, opened)
        rate, checksum = epoch(opened, number // 2)
        print(
            f"| {number // 2}, {'in memory' if number % 2 else 'evicted'} | {sizes()} | {rate:.0f} | {checksum:08x} |"
        )
    evict(given.beton, opened)
    print(f"| evicted after the last | {sizes()} | | |")
    opened.close()


def epoch(opened: batches.TrainingBatches, number: int) -> tuple[float, int]:
    """Images a second, and a checksum of some of the pixels."""
    started, checksum = time.perf_counter(), 0
    for batch in opened.epoch(number):
        checksum = zlib.crc32(batch.images[::7, ::5, ::5].numpy().tobytes(), checksum)
    return len(opened) * opened.batch_size / (time.perf_counter() - started), checksum


def evict(beton: Path, opened: batches.TrainingBatches) -> None:
    """Unmaps the file's pages, and asks the kernel to forget them."""
    mapped = opened.source.loader.memory_manager.context.mmap  # type: ignore[attr-defined]
    if mapped is not None:
        mapped._mmap.madvise(mmap.MADV_DONTNEED)
    with beton.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def sizes() -> str:
    """RssAnon and RssFile of this process, in MB."""
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return " | ".join(f"{int(lines[name].split()[0]) / 1e3:.0f}" for name in ("RssAnon", "RssFile"))


if __name__ == "__main__":
    main()
