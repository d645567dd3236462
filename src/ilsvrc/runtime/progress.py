"""Progress with rate and remaining time: a bar on a terminal, a line every half minute elsewhere."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tqdm import tqdm

from ilsvrc.runtime import locks, messages

if TYPE_CHECKING:
    from filelock import BaseFileLock

Item = TypeVar("Item")
MAX_BARS = 16
SECONDS_BETWEEN_STROKES = 0.2
SECONDS_BETWEEN_LINES = 30.0
ROWS = Path("work/rows")  # which rows of the terminal this folder's jobs draw on

COUNTED = "{desc}: {percentage:.0f} %, {n_fmt} of {total_fmt}{unit}, {rate_fmt}, {remaining} left{postfix}"
UNCOUNTED = "{desc}: {n_fmt}{unit}, {rate_fmt}{postfix}"


def track(items: Iterable[Item], title: str, total: int | None = None, unit: str = "images") -> Iterator[Item]:
    """Passes `items` on and shows how many went by. `total` counts items."""
    with bar(title, total, unit) as progress:
        for item in items:
            yield item
            progress.update()


@contextmanager
def bar(title: str, total: int | None = None, unit: str = "images", disable: bool = False) -> "Iterator[Bar]":
    """A progress bar to `update(n)` by hand; jobs that run side by side get a row each."""
    if disable:
        yield Bar(title, total, unit, draw=lambda bar: None, pause=float("inf"))
    elif sys.stderr.isatty():
        with _row() as row:
            yield Bar(title, total, unit, draw=row.stroke, pause=SECONDS_BETWEEN_STROKES)
    else:
        yield Bar(title, total, unit, draw=_line, pause=SECONDS_BETWEEN_LINES)


@dataclass
class Bar:
    """A progress bar; drawn at intervals while it is updated."""

    title: str
    total: int | None
    unit: str
    draw: "Callable[[Bar], None]"
    pause: float  # seconds from one drawing to the next, and to the first
    done: int = 0
    before: int = 0  # done by an earlier process: no part of the rate
    note: str = ""
    started: float = field(default_factory=lambda: time.monotonic())
    drawn: float = field(default_factory=lambda: time.monotonic())

    def update(self, n: int = 1) -> None:
        """Adds `n` done units."""
        self.done += n
        if time.monotonic() - self.drawn >= self.pause:
            self.draw(self)
            self.drawn = time.monotonic()

    def resume(self, n: int) -> None:
        """Starts from `n` units that an earlier process did."""
        self.done = self.before = n

    def text(self, columns: int | None = None, template: str | None = None) -> str:
        """Text of the bar, at most `columns` wide."""
        return tqdm.format_meter(
            n=self.done,
            total=self.total,  # type: ignore[arg-type]
            elapsed=time.monotonic() - self.started,
            ncols=columns,
            prefix=self.title,
            unit=f" {self.unit}",
            unit_scale=self.unit == "B",
            ascii=(sys.stderr.encoding or "").lower() != "utf-8",
            bar_format=template,
            postfix=self.note,
            initial=self.before,
        )


def _line(bar: Bar) -> None:
    messages.say(bar.text(template=COUNTED if bar.total else UNCOUNTED))


class _Row:
    """A terminal row below the cursor's, which stays free for the lines that this and other programs print.

    A stroke is one write, so that those of processes side by side do not mix, and leaves the cursor where it was.
    """

    def __init__(self) -> None:
        self.number, self.lock = _claimed(MAX_BARS)

    def stroke(self, bar: Bar) -> None:
        """Draws `bar`, on a higher row where one has become free."""
        number, lock = _claimed(self.number)
        if lock:
            self.close()
            self.number, self.lock = number, lock
        text, down = bar.text(columns=_columns() - 1), self.number + 1
        _draw(f"\r\x1b[K{chr(10) * down}\r{text}\x1b[K\x1b[{down}A\r")

    def close(self) -> None:
        """Clears the row, also where lines of other programs moved it, and releases it."""
        wipe()
        if self.lock:
            self.lock.release()


def wipe() -> None:
    """Clears all bars from the terminal; jobs that go on draw theirs again."""
    if sys.stderr.isatty():
        _draw("\r\x1b[J")


def _draw(text: str) -> None:
    with suppress(OSError):  # a terminal that was closed stops no work
        sys.stderr.write(text)
        sys.stderr.flush()


@contextmanager
def _row() -> Iterator[_Row]:
    row = _Row()
    try:
        yield row
    finally:
        row.close()


def _claimed(below: int) -> "tuple[int, BaseFileLock | None]":
    """Number and lock of the first free row above row `below`; no lock if all are taken."""
    for number in range(below):
        lock = locks.try_lock(ROWS / str(number))
        if lock is not None:
            return number, lock
    return max(0, below - 1), None


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80
