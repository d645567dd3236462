import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from ilsvrc.runtime import progress


class Terminal:
    """What a person sees: newlines, returns, cursor up, erasing a line and all below."""

    def __init__(self) -> None:
        self.rows: list[str] = [""]
        self.row = self.column = 0

    def feed(self, text: str) -> "Terminal":
        for part in re.findall(r"\x1b\[\d*[A-Z]|[\r\n]|[^\x1b\r\n]+", text):
            self._take(part)
        return self

    def _take(self, part: str) -> None:
        if part == "\r":
            self.column = 0
        elif part == "\n":
            self.row += 1
            self.rows += [""] * (self.row + 1 - len(self.rows))
        elif part.endswith("A") and part[0] == "\x1b":
            self.row -= int(part[2:-1])
        elif part == "\x1b[K":
            self.rows[self.row] = self.rows[self.row][: self.column]
        elif part == "\x1b[J":
            self.rows[self.row :] = [self.rows[self.row][: self.column]]
        else:
            line = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = line[: self.column] + part + line[self.column + len(part) :]
            self.column += len(part)

    def shown(self) -> list[str]:
        return [row.rstrip() for row in self.rows if row.strip()]


@pytest.fixture
def screen(monkeypatch, tmp_path):
    """A terminal of 60 columns in place of stderr; every update is drawn."""

    class Screen(Terminal):
        encoding = "utf-8"

        def write(self, text: str) -> int:
            self.feed(text)
            return len(text)

        def flush(self) -> None: ...

        def isatty(self) -> bool:
            return True

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_STROKES", 0.0)
    monkeypatch.setattr(progress, "_columns", lambda: 60)
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=Screen()))
    return progress.sys.stderr


def test_bars_side_by_side_have_a_row_each_and_leave_nothing(screen):
    with progress.bar("first", 100) as first, progress.bar("second", 100) as second:
        for bar, done in ((first, 25), (second, 50), (first, 50)):
            bar.update(done)
        assert [re.split(r"\|", row)[0] for row in screen.shown()] == ["first:  75%", "second:  50%"]
        assert all(len(row) < 60 for row in screen.shown())
        assert (screen.row, screen.column) == (0, 0)  # where the next line is printed
    assert screen.shown() == []


def test_a_line_that_is_printed_between_stays_whole(screen):
    with progress.bar("first", 100) as first, progress.bar("second", 100) as second:
        for bar in (first, second):
            bar.update(10)
        screen.write("trained alexnet\n")
        for bar in (first, second):
            bar.update(10)
        assert [row.split("|")[0] for row in screen.shown()] == ["trained alexnet", "first:  20%", "second:  20%"]
    assert screen.shown() == ["trained alexnet"]


def test_a_bar_moves_up_when_the_row_above_is_free(screen):
    first, second = progress.bar("first", 100), progress.bar("second", 100)
    first.__enter__()
    bar = second.__enter__()
    bar.update(10)
    assert [row[:7] for row in screen.rows] == ["", "", "second:"]
    first.__exit__(None, None, None)
    bar.update(10)
    assert [row[:7] for row in screen.rows] == ["", "second:"]
    second.__exit__(None, None, None)
    assert screen.shown() == []


def test_the_rows_of_killed_jobs_are_wiped(screen):
    with progress.bar("killed", 100) as killed:
        killed.update(10)
        progress.wipe()
        assert screen.shown() == []


def test_elsewhere_it_is_whole_lines_now_and_then(monkeypatch, capsys):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    with progress.bar("alexnet quick", 1000, "images") as bar:
        for _ in range(10):
            bar.update(50)
    lines = capsys.readouterr().err.split("\n")
    assert lines.pop() == ""
    assert 2 <= len(lines) <= 6
    assert all(re.fullmatch(r"alexnet quick: \d+ %, \d+ of 1000 images, .* images/s, \S+ left", line) for line in lines)


def test_elsewhere_what_is_short_says_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert list(progress.track(range(5), "short", total=5)) == [0, 1, 2, 3, 4]
    assert capsys.readouterr().err == ""
    assert not list(tmp_path.iterdir())


def test_the_rate_is_that_of_this_process(monkeypatch):
    monkeypatch.setattr(progress.time, "monotonic", lambda: 0.0)
    bar = progress.Bar("alexnet", 1000, "images", draw=lambda bar: None, pause=1.0)
    bar.resume(800)
    bar.update(100)
    monkeypatch.setattr(progress.time, "monotonic", lambda: 10.0)
    assert bar.text(template=progress.COUNTED) == "alexnet: 90 %, 900 of 1000 images, 10.00 images/s, 00:10 left"


def test_a_process_that_does_not_speak_takes_no_row(screen, tmp_path):
    with progress.bar("rank 1", 10, disable=True) as bar:
        bar.update(10)
    assert screen.shown() == []
    assert not (tmp_path / "work").exists()


JOB = """
import sys, time
from ilsvrc.runtime.progress import bar
with bar(sys.argv[1], 30) as shown:
    for _ in range(30):
        time.sleep(0.03)
        shown.update()
sys.stderr.write(f"done {sys.argv[1]}\\n")
"""


def test_two_processes_on_one_terminal_leave_their_last_lines_alone(tmp_path: Path):
    ours, theirs = pty.openpty()
    jobs = [subprocess.Popen([sys.executable, "-c", JOB, name], cwd=tmp_path, stderr=theirs) for name in ("one", "two")]
    os.close(theirs)
    seen = ""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            seen += os.read(ours, 1 << 16).decode()
        except OSError:  # both have closed it
            break
    assert [job.wait() for job in jobs] == [0, 0]
    assert sorted(Terminal().feed(seen).shown()) == ["done one", "done two"]
    assert {"one:", "two:"} <= set(seen.replace("\r", "\n").split())
