"""An index of 1.3 million pictures: seconds and peak memory of acquire, and of what packing reads of it.

`python benchmarks/index.py [--images 1300000] [--layouts tars folder zip table] [--scratch DIR]`; each measurement is
a process of its own. The pictures are one byte each, so that the time is the index's alone.
"""

import argparse
import csv
import io
import json
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

CLASSES, VAL_PART = 1000, 26  # one in 26 is for the test, as of ImageNet's 1,331,167


def names(images: int) -> Iterator[tuple[str, str, str]]:
    """Split, class and name, as ImageNet's."""
    for number in range(images):
        wnid = f"n{number % CLASSES:08d}"
        yield ("val" if number % VAL_PART == 0 else "train"), wnid, f"{wnid}_{number}.JPEG"


def in_tar(file: Path, members: Iterator[str]) -> None:
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name in members:
            info = tarfile.TarInfo(name)
            info.size = 1
            tar.addfile(info, io.BytesIO(b"x"))
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
                archive.writestr(path, b"x")
        return folder / "all.zip"
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x")
    if layout == "folder":
        return folder
    with (folder / "all.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("file", "label", "split"))
        rows.writerows((f"{split}/{label}/{name}", label, split) for split, label, name in names(images))
    return folder / "all.csv"


def acquire(layout: str, path: Path, raw: Path) -> None:
    from ilsvrc.runs import SourceSpec, specification
    from ilsvrc.stages import acquire

    dataset = "imagenet21k" if layout == "tars" else "folder"
    spec = specification(SourceSpec(dataset=dataset, options={"path": str(path)}))
    given = ["--spec", spec, "--source", str(raw / "source.json"), "--index", str(raw / "index.csv")]
    acquire.main(acquire.arguments().parse_args(given))


def read(raw: Path) -> None:
    """What packing the training split holds in memory: its index, and a row for each picture."""
    from ilsvrc.loading import index
    from ilsvrc.loading.writer import Packing

    samples = index.read(raw / "index.csv", "train")
    packing = Packing(len(samples))
    packing.kept.extend(range(len(samples)))
    assert sum(sample.size for sample in samples) == len(samples)


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
        (
            acquire(given.words[0], *map(Path, given.words[1:]))
            if given.step == "acquire"
            else read(Path(given.words[0]))
        )
        print(json.dumps({"peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}))
        return
    for layout in given.layouts:
        with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
            raw, pictures = Path(scratch, "raw"), Path(scratch, "pictures")
            raw.mkdir()
            pictures.mkdir()
            path = make(layout, pictures, given.images)
            result = {step: measured(step, *words) for step, words in (
                ("acquire", (layout, str(path), str(raw))), ("read", (str(raw),)),
            )}  # fmt: skip
            size = (raw / "index.csv").stat().st_size / 1e6
            print(f"{layout}: {given.images} pictures, index.csv {size:.0f} MB: {json.dumps(result)}", flush=True)


if __name__ == "__main__":
    main()
