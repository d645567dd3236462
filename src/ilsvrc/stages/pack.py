"""Packs one split of a data set into a .beton, with its manifest and the list of its images."""

import argparse
from pathlib import Path

from ilsvrc.config.specs import PackSpec, parse_specification
from ilsvrc.datasets._card import SPLITS
from ilsvrc.packing import jpeg
from ilsvrc.packing.pack_split import PackJob, pack_split
from ilsvrc.runtime.entry_point import parser, run
from ilsvrc.runtime.messages import say


def main(args: argparse.Namespace) -> None:
    """Writes `--beton`, then `--images` and `--mean-image`, then `--manifest`."""
    if jpeg.turbojpeg() is None:
        say("libturbojpeg is not on this machine: damage in the middle of a JPEG goes unseen")
    spec = parse_specification(PackSpec, args.spec)
    outputs = args.beton, args.manifest, args.images, args.mean_image
    say(pack_split(PackJob(spec, args.source, args.index, args.split, *outputs, args.workers)))


def arguments() -> argparse.ArgumentParser:
    """The stage's options."""
    options = parser(__doc__)
    options.add_argument("--spec", required=True, help="specs.PackSpec as JSON")
    options.add_argument("--source", required=True, type=Path, help="source.json of acquire")
    options.add_argument("--index", required=True, type=Path, help="index.csv of acquire")
    options.add_argument("--split", required=True, choices=SPLITS)
    options.add_argument("--beton", required=True, type=Path)
    options.add_argument("--manifest", required=True, type=Path)
    options.add_argument("--images", required=True, type=Path)
    options.add_argument("--mean-image", required=True, type=Path, help="float32 [S, S, 3], 0 to 255, as .npy")
    options.add_argument("--workers", type=int, default=1, help="processes that encode; no output depends on them")
    return options


if __name__ == "__main__":
    run(main, arguments())
