"""Lost files: what a loss of power left empty or zeroed, found when jobs are planned by the files' first bytes.

Their times are those of whole files, so that Snakemake would find nothing to do. Never imports torch.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from ilsvrc.artifacts import run_files
from ilsvrc.artifacts.manifest import SUFFIX
from ilsvrc.datasets._card import SPLITS
from ilsvrc.pipeline import wiring
from ilsvrc.pipeline.recorded_copies import RecordedCopies

PACKED_SUFFIXES = (".beton", SUFFIX, ".images.csv", ".mean_image.npy", ".checksums.npz")
SUMMARIES = ("scores.csv", "metrics.json", "curves.csv", "report.html")
FOLDERS = ("tables", "figures")
MARKER, RECORD = "work/recorded.json", "dvc.lock"
TEXT = (".json", ".csv", ".svg", ".html")  # end in a character
LATER = " when a job needs it"
HEAD_BYTES = 2048  # of no kind of file all zeros


def find(flow: wiring.Pipeline) -> dict[str, str]:
    """Reason by path of the files of `params.yaml` that are lost, but for predictions, whose headers tell more."""
    found = {path: why for path in (*data(flow), *results(flow)) if (why := fault(path))}
    for run in flow.inspected:
        inspection, pictures = f"{run_files.INSPECTED}/{run}/inspect.json", f"{run_files.INSPECTED}/{run}/pictures"
        if lost := next((path for path in _inside(Path(pictures)) if (why := fault(path))), ""):
            found[inspection] = f"has a picture, {lost}, that {fault(lost)}"
    if why := fault(RECORD):  # DVC stops at it
        found |= {RECORD: why, MARKER: f"tells of {RECORD}, which {why}"}
    return found


def said(found: Mapping[str, str]) -> list[str]:
    """A line on each lost file: what is wrong with it, and what becomes of it."""
    held = _held(found)
    return [
        f"{path} {why}: it is "
        + ("brought back from DVC's cache" if path in held else f"made again{'' if is_made_at_once(path) else LATER}")
        for path, why in found.items()
    ]


def to_be_made(found: Mapping[str, str]) -> list[str]:
    """Lost results that DVC's cache does not hold. Data are made when a job needs them: all trainings would follow."""
    held = _held(found)
    return [path for path in found if is_made_at_once(path) and path not in held]


def is_made_at_once(path: str) -> bool:
    """True of results."""
    return not path.startswith("data/")


def repair(found: Mapping[str, str]) -> list[str]:
    """Brings lost files back from DVC's cache; removes the others, and the results that Snakemake asks for.

    Returns:
        The files that were removed: Snakemake makes those again that are missing where it asks for them.
    """
    copies, removed = RecordedCopies(), set()
    for path in found:
        if not (fault(path) and copies.holds(Path(path), found) and copies.restore(Path(path))):
            removed |= {path, *(_asked_for(path) if is_made_at_once(path) else ())}
    for path in removed:
        Path(path).unlink(missing_ok=True)
    return sorted(removed)


def _asked_for(path: str) -> list[str]:
    """Results that a target asks for, and whose jobs lead to the job that makes `path`."""
    results = run_files.RUNS.parent
    if path.startswith(f"{run_files.RUNS}/"):
        return [f"{Path(path).parent}/weights.json"]
    if not path.startswith(f"{results}/"):
        return []
    report = f"{results}/report.html"
    if path.startswith(f"{run_files.COSTS}/"):
        return [f"{results}/tables/costs.csv", report]
    is_of_report = path.startswith((f"{run_files.INSPECTED}/", f"{results}/figures/", report))
    return [report] if is_of_report else [f"{results}/scores.csv", report]


def _held(found: Mapping[str, str]) -> list[str]:
    """Lost files of which DVC's cache has copies."""
    copies = RecordedCopies() if found else None
    return [path for path in found if copies and copies.holds(Path(path), found)]


def data(flow: wiring.Pipeline) -> Iterator[str]:
    """Acquired and packed data, which are made again when a job needs them."""
    yield from (f"{flow.raw}/source.json", f"{flow.raw}/index.csv", *flow.archives)
    for form in flow.pack_specs:
        yield from (f"{flow.all_packed}/{form}/{split}{end}" for split in SPLITS for end in PACKED_SUFFIXES)


def results(flow: wiring.Pipeline) -> Iterator[str]:
    """Runs, costs, inspections, scores and report."""
    for run in (*flow.trained, *flow.imported):
        yield from (f"{run_files.RUNS}/{run}/{name}" for name in run_files.RUN_FILES)
    yield from flow.costs.files
    for run in flow.inspected:
        yield f"{run_files.INSPECTED}/{run}/inspect.json"
    results = run_files.RUNS.parent
    yield from (f"{results}/{name}" for name in SUMMARIES)
    yield from (path for name in FOLDERS for path in _inside(results / name))
    yield MARKER


def _inside(folder: Path) -> list[str]:
    """Files in a folder, none where it is not there."""
    return sorted(str(path) for path in folder.iterdir() if path.suffix) if folder.is_dir() else []


def fault(path: str) -> str:
    """Reason why a file cannot be what a stage wrote, empty where it may be, or is not there."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # not here
        return ""
    try:
        head, last = _ends(handle)
    except OSError:  # a folder, or a disk that fails, of which the stage that reads it says more
        return ""
    finally:
        os.close(handle)
    if not head:
        return "is empty"
    cut_off = path.endswith(TEXT) and last == b"\0"
    return "holds zeros in the place of its content" if cut_off or not any(head) else ""


def _ends(handle: int) -> tuple[bytes, bytes]:
    """The first bytes of an open file and its last one, by one call where the file is small: there may be thousands."""
    head = os.read(handle, HEAD_BYTES)
    if len(head) < HEAD_BYTES:
        return head, head[-1:]
    os.lseek(handle, -1, os.SEEK_END)
    return head, os.read(handle, 1)
