"""Times of files that lie ahead of the clock, as after it was set back. Never imports torch.

Snakemake takes a job for failed whose outputs are older than its inputs, and deletes them when it is over: a training
would run to its end again and again, for nothing. So such files get the time of now, in their order, before jobs start.
"""

import os
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

from ilsvrc.artifacts import run_files
from ilsvrc.pipeline import lost_files, wiring

TOLERANCE_NS, WINDOW_NS = 1_000_000_000, 500_000_000


def folders(flow: wiring.Pipeline) -> list[Path]:
    """Folders and files whose times decide what jobs run."""
    weights = (path for run in flow.imported for path in flow.file_of_weights(run))
    places = (flow.raw, flow.all_packed, str(run_files.RUNS.parent), lost_files.MARKER, *weights)
    return [Path(path) for path in places]


def ahead(folders: Iterable[Path], now_ns: int) -> dict[Path, int]:
    """Time in ns by path of the files in `folders` that are newer than `now_ns`; none unless one is a second newer."""
    times = {path: at for folder in folders for path, at in _times(folder) if at > now_ns - WINDOW_NS}
    return times if any(at > now_ns + TOLERANCE_NS for at in times.values()) else {}


def said(times: dict[Path, int], now_ns: int) -> str:
    """A line on files that are ahead of the clock."""
    latest = max(times, key=times.__getitem__)
    by = timedelta(seconds=(times[latest] - now_ns) // 1_000_000_000)
    return (
        f"the clock was set back: {len(times)} files have times ahead of it, {latest} by {by}; they get the time of"
        " now, in their order, when jobs run"
    )


def settle(times: dict[Path, int], now_ns: int) -> None:
    """Gives files the time of now: their order stays, among themselves and to all files that are older.

    Raises:
        ValueError: a file belongs to somebody else; the message says what to do.
    """
    order = {at: place for place, at in enumerate(sorted(set(times.values())), 1)}
    for path, at in times.items():
        settled_ns = now_ns - WINDOW_NS + WINDOW_NS * order[at] // len(order)
        try:
            os.utime(path, ns=(settled_ns, settled_ns))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ValueError(
                f"{path} has a time ahead of the clock, after which Snakemake would delete what is made from it, and it"
                f" cannot be changed ({error.strerror}): set the clock, or let its owner say `touch {path}`"
            ) from None


def _times(folder: Path) -> Iterator[tuple[Path, int]]:
    """Path and time of each file below a folder, or of a file."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    yield from _times(Path(entry.path))
                else:
                    yield Path(entry.path), entry.stat().st_mtime_ns
    except NotADirectoryError:
        yield folder, folder.stat().st_mtime_ns
    except FileNotFoundError:
        return
