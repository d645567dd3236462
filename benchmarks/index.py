"""1.3 million pictures: seconds and peak memory of acquire (the index) and of packing the training split.

`python benchmarks/index.py [--images 1300000] [--layouts tars tar folder zip table] [--scratch DIR]`; each measurement
is a process of its own. The pictures are PNGs of one pixel, so that the time is the bookkeeping's alone.
"""

import argparse
import csv
import io
import json
import resource
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

CLASSES, VAL_PART = 1000, 26  # one in 26 of each class is for the test, as of ImageNet's 1,331,167


def png() -> bytes:
    """One grey pixel."""
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0\x80")),
        (b"IEND", b""),
    )
    body = (struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


PICTURE = png()


def names(images: int) -> Iterator[tuple[str, str, str]]:
    """Split, class and name, as ImageNet's."""
    for number in range(images):
        wnid = f"n{number % CLASSES:08d}"
        yield ("val" if number // CLASSES % VAL_PART == 0 else "train"), wnid, f"{wnid}_{number}.JPEG"


def in_tar(file: Path, members: Iterator[str]) -> None:
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name in members:
            info = tarfile.TarInfo(name)
            info.size = len(PICTURE)
            tar.addfile(info, io.BytesIO(PICTURE))
            tar.members = []


def make(layout: str, folder: Path, images: int) -> Path:
    """What `data.path` names."""
    paths = ("/".join(parts) for parts in names(images))
    if layout == "tar":
        in_tar(folder / "all.tar", paths)
        return folder / "all.tar"
    if layout == "tars":
        for label in range(CLASSES):
            wnid = f"n{label:08d}"
            in_tar(folder / f"{wnid}.tar", (f"{wnid}_{n}.JPEG" for n in range(label, images, CLASSES)))
        return folder
    if layout == "zip":
        with zipfile.ZipFile(folder / "all.zip", "w") as archive:
            for path in paths:
                archive.writestr(path, PICTURE)
        return folder / "all.zip"
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(PICTURE)
    if layout == "folder":
        return folder
    with (folder / "all.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("file", "label", "split"))
        rows.writerows((f"{split}/{label}/{name}", label, split) for split, label, name in names(images))
    return folder / "all.csv"


def acquire(layout: str, path: Path, raw: Path) -> None:
    from ilsvrc.config.specs import SourceSpec, specification
    from ilsvrc.stages import acquire

    dataset = "imagenet21k" if layout == "tars" else "folder"
    spec = specification(SourceSpec(dataset=dataset, options={"path": str(path)}))
    given = ["--spec", spec, "--source", str(raw / "source.json"), "--index", str(raw / "index.csv")]
    acquire.main(acquire.arguments().parse_args(given))


def pack(raw: Path) -> None:
    from ilsvrc.config.specs import FormSpec, specification
    from ilsvrc.stages import pack

    form = specification(FormSpec(data="many", encoding="raw"))
    sources = ["--source", str(raw / "source.json"), "--index", str(raw / "index.csv"), "--split", "train"]
    names = {"--beton": "x.beton", "--manifest": "x.json", "--images": "x.csv", "--mean-image": "x.npy"}
    files = [word for option, name in names.items() for word in (option, str(raw / name))]
    pack.main(pack.arguments().parse_args(["--spec", form, *sources, *files, "--workers", "2"]))


def measured(step: str, *words: str) -> dict[str, float]:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--step", step, *words], check=True, stdout=subprocess.PIPE, text=True
    )
    return {"seconds": round(time.perf_counter() - started, 1), **json.loads(done.stdout.splitlines()[-1])}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--images", type=int, default=1_300_000)
    options.add_argument("--layouts", nargs="+", default=["tars", "tar", "folder"])
    options.add_argument("--scratch", default=None)
    options.add_argument("--step", help=argparse.SUPPRESS)
    options.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.step:
        step, (first, *others) = given.step, given.words
        acquire(first, *map(Path, others)) if step == "acquire" else pack(Path(first))
        print(json.dumps({"peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}))
        return
    for layout in given.layouts:
        with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
            raw, pictures = Path(scratch, "raw"), Path(scratch, "pictures")
            raw.mkdir()
            pictures.mkdir()
            path = make(layout, pictures, given.images)
            result = {step: measured(step, *words) for step, words in (
                ("acquire", (layout, str(path), str(raw))), ("pack", (str(raw),)),
            )}  # fmt: skip
            size = (raw / "index.csv").stat().st_size / 1e6
            print(f"{layout}: {given.images} pictures, index.csv {size:.0f} MB: {json.dumps(result)}", flush=True)


if __name__ == "__main__":
    main()
