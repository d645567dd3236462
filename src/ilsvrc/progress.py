"""Progress with rate and remaining time: a bar on a terminal, a line now and then elsewhere."""

import fcntl
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
MAX_BARS = 16
SECONDS_BETWEEN_LINES = 30.0


def track(items: Iterable[Item], title: str, total: int | None = None, unit: str = "images") -> Iterator[Item]:
    """Passes `items` on and shows how many went by. `total` counts items."""
    with bar(title, total, unit) as progress:
        for item in items:
            yield item
            progress.update()


@contextmanager
def bar(title: str, total: int | None = None, unit: str = "images", disable: bool = False) -> "Iterator[tqdm[object]]":
    """A progress bar to `update(n)` by hand; jobs that run side by side get a row each."""
    on_terminal = sys.stderr.isatty()
    pause = 0.2 if on_terminal else SECONDS_BETWEEN_LINES
    with _row() as row:
        progress: tqdm[object] = tqdm(
            desc=title,
            total=total,
            unit=f" {unit}",
            unit_scale=unit == "B",
            position=row if on_terminal else 0,
            leave=False,
            dynamic_ncols=on_terminal,
            ascii=not on_terminal,
            mininterval=pause,
            delay=pause,
            disable=disable,
            file=sys.stderr,
        )
        with progress:
            yield progress


@contextmanager
def _row() -> Iterator[int]:
    """The first row of the terminal that no other job of this folder draws on."""
    folder = Path("work/rows")
    folder.mkdir(parents=True, exist_ok=True)
    held: IO[str] | None = None
    row = 0
    for row in range(MAX_BARS):
        held = (folder / str(row)).open("w")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            held.close()
    try:
        yield row
    finally:
        if held is not None:
            held.close()
