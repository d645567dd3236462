"""Flips single bits of a packed file: each must be seen before a step uses it, or lie where nobody reads.

After each flip the file is opened and an epoch of it read, in this process. A flip is seen where that raises the error
that names the file; harmless where it lies in padding and every batch is as before; else lost. `--tables` flips bits of
the tables alone, which are a small part of the file.
"""

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

SUPPORT = Path(__file__).resolve().parents[2] / "tests" / "support"
sys.path.insert(0, str(SUPPORT))

from images import jpeg_bytes, photo  # noqa: E402

from ilsvrc.config.specs import FormSpec  # noqa: E402
from ilsvrc.datasets._card import Sample  # noqa: E402
from ilsvrc.loading.batches import open_training  # noqa: E402
from ilsvrc.packing import beton_layout  # noqa: E402
from ilsvrc.packing.beton import Packed, open_packed  # noqa: E402
from ilsvrc.packing.writer import pack  # noqa: E402
from ilsvrc.runtime.files import DamagedError  # noqa: E402

IMAGES, BATCH, PAGE_BYTES = 24, 8, 1 << 16
Batches = list[tuple[bytes, list[int]]]


def packed(folder: Path, encoding: str) -> Path:
    """A tiny packed file with its checksums."""
    samples = []
    for number in range(IMAGES):
        content = jpeg_bytes(photo(number))
        (folder / f"{number}").write_bytes(content)
        samples.append(Sample("train", str(number % 3), f"{number}", f"{number}", 0, len(content)))
    beton = folder / f"{encoding}.beton"
    form = FormSpec(data="flips", encoding=encoding, short_side_px=32 if encoding == "raw" else None)
    pack(samples, {"0": 0, "1": 1, "2": 2}, folder, form, beton, page_bytes=PAGE_BYTES)
    return beton


def epoch(loader: str, beton: Path) -> Batches:
    """Pixels and labels of an epoch's batches."""
    batches = open_training(loader, beton, crop_px=16, batch_size=BATCH, seed=0)
    try:
        return [(batch.images.numpy().tobytes(), batch.labels.tolist()) for batch in batches.epoch(0)]
    finally:
        batches.close()


def of_tables(opened: Packed) -> np.ndarray:
    """Places of the bytes of the tables."""
    size = opened.path.stat().st_size
    behind = beton_layout.RECORDS_AT + opened.num_images * beton_layout.RECORD.itemsize
    return np.r_[:behind, size - opened.num_images * beton_layout.ALLOCATION.itemsize : size]


def is_padding(opened: Packed, place: int) -> bool:
    """True of a byte that is neither of the tables nor of an image."""
    inside = (opened.offsets <= place) & (place < opened.offsets + opened.sizes)
    return not inside.any() and place not in of_tables(opened)


def fate(loader: str, beton: Path, opened: Packed, place: int, before: Batches) -> str:
    """`seen`, `harmless` or `lost`."""
    try:
        after = epoch(loader, beton)
    except DamagedError:
        return "seen"
    return "harmless" if after == before and is_padding(opened, place) else "lost"


def flips(loader: str, beton: Path, tries: int, chosen: random.Random, tables: bool) -> Counter[str]:
    """How many flips had which fate."""
    opened, before, whole, fates = open_packed(beton), epoch(loader, beton), beton.read_bytes(), Counter[str]()
    places = of_tables(opened).tolist() if tables else range(len(whole))
    for _ in range(tries):
        place, bit = chosen.choice(places), chosen.randrange(8)
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit
        beton.write_bytes(damaged)
        fates[found := fate(loader, beton, opened, place, before)] += 1
        if found == "lost":
            print(f"lost: bit {bit} of byte {place} of {beton.name} by {loader}")
    beton.write_bytes(whole)
    return fates


def main() -> None:
    """Prints how many flips were tried, seen, harmless and lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=1000, help="flips, over both encodings and all loaders")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--loaders", nargs="*", default=["ffcv", "pillow"])
    parser.add_argument("--tables", action="store_true", help="flip bits of the tables alone")
    args = parser.parse_args()
    total, chosen = Counter[str](), random.Random(args.seed)
    ways = [(loader, encoding) for loader in args.loaders for encoding in ("jpeg", "raw")]
    with tempfile.TemporaryDirectory() as folder:
        for number, (loader, encoding) in enumerate(ways):
            tries = args.tries * (number + 1) // len(ways) - args.tries * number // len(ways)
            fates = flips(loader, packed(Path(folder), encoding), tries, chosen, args.tables)
            print(f"{loader}, {encoding}: " + ", ".join(f"{name} {count}" for name, count in sorted(fates.items())))
            total += fates
    print(f"tried {args.tries}, " + ", ".join(f"{name} {total[name]}" for name in ("seen", "harmless", "lost")))
    sys.exit(bool(total["lost"]))


if __name__ == "__main__":
    main()
