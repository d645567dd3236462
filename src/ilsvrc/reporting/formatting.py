"""Numbers and names as a person reads them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ilsvrc.reporting import figures

NBSP, DASH = "\u00a0", "–"


def given(value: Any) -> bool:
    """Neither None nor NaN nor empty."""
    return value is not None and value != "" and not (isinstance(value, float) and math.isnan(value))


def text(value: Any) -> str:
    """A value of run.json or of a sweep, for a person."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {text(inner)}" for key, inner in value.items() if given(inner))
    if isinstance(value, (list, tuple)):
        return ", ".join(map(text, value))
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value) if given(value) else DASH


def percent(value: Any, digits: int = 1) -> str:
    """`0.8`; a dash where nothing was measured."""
    return f"{value:.{digits}f}" if given(value) else DASH


def decimals(figures_: Sequence[float]) -> int:
    """Digits behind the point that a column was printed with."""
    return max(len(str(figure).partition(".")[2]) for figure in figures_)


def signed(value: Any, digits: int = 1) -> str:
    """`+0.8`, with a minus as wide as the plus."""
    return f"{value:+.{digits}f}".replace("-", "\u2212") if given(value) else DASH


def spaced(name: Any) -> str:
    """`ten_crop` as `ten crop`."""
    return str(name).replace("_", " ") if given(name) else ""


def count(value: Any) -> str:
    """A whole number with thousands separators."""
    return f"{round(value):,}" if given(value) else DASH


def magnitude(value: Any) -> str:
    """Three significant digits and a unit: 60.9 M."""
    return figures.short(value) if given(value) else DASH


def duration(seconds: Any) -> str:
    """`1 h 05 min`, `3 min 20 s`, `12 s`."""
    if not given(seconds):
        return DASH
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60:,}{NBSP}h{NBSP}{minutes % 60:02d}{NBSP}min"
    return f"{minutes}{NBSP}min{NBSP}{rest:02d}{NBSP}s" if minutes else f"{rest}{NBSP}s"
