"""Test images with a network's five guesses as bars (Krizhevsky et al. 2012, Figure 4 left), as SVG."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ilsvrc.reporting.error_figures import shortened
from ilsvrc.reporting.figures import INK, LINE, PALETTE

MAX_PX = 200  # width and height of an image
SIDE, ROW, HEADING = 132, 17, 20  # a card's image, each guess's row and the title's, in the card's units
GUESSES = 5
HEIGHT = SIDE + HEADING + GUESSES * ROW + 4
GAP = 18
RIGHT, WRONG = PALETTE[2], PALETTE[7]
MAX_NAME = 17

Row = Mapping[str, Any]


def card(row: Row, image: str) -> str:
    """A row of hardest.csv as SVG; `image` is a data URI."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {HEIGHT}">{_content(row, image)}</svg>\n'


def sheet(rows: Mapping[str, Sequence[tuple[Row, str]]]) -> str:
    """Cards as one figure: a row a network, by its name."""
    columns = max((len(cards) for cards in rows.values()), default=0)
    width, line = max(1, columns) * (SIDE + GAP), HEIGHT + 2 * GAP
    parts = [
        f'<g transform="translate(0 {down * line})"><text y="16" font-size="15" font-weight="bold" fill="{INK}">'
        f"{escape(name)}</text>{''.join(_placed(cards))}</g>"
        for down, (name, cards) in enumerate(rows.items())
    ]
    size = f'width="{width}" height="{max(1, len(rows)) * line}"'
    view = f'viewBox="0 0 {width} {max(1, len(rows)) * line}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view} font-family="sans-serif">{"".join(parts)}</svg>\n'


def _placed(cards: Sequence[tuple[Row, str]]) -> list[str]:
    return [
        f'<g transform="translate({across * (SIDE + GAP)} {GAP + 4})">{_content(row, image)}</g>'
        for across, (row, image) in enumerate(cards)
    ]


def _content(row: Row, image: str) -> str:
    name = escape(shortened(str(row["label"]), MAX_NAME))
    shown = f'<image width="{SIDE}" height="{SIDE}" href="{image}"/>'
    title = f'<text y="{SIDE + 14}" font-size="11.5" font-weight="bold" fill="{INK}">{name}</text>'
    tip = f"<title>{escape(str(row['image']))}</title>"
    return (
        tip
        + shown
        + title
        + "".join(_bar(row, nth) for nth in range(1, GUESSES + 1) if isinstance(row[f"guess{nth}"], str))
    )


def _bar(row: Row, nth: int) -> str:
    """A guess: a bar as long as it is probable, its name on it."""
    guess, probability = str(row[f"guess{nth}"]), float(row[f"probability{nth}"])
    top, colour = SIDE + HEADING + (nth - 1) * ROW, RIGHT if guess == str(row["label"]) else WRONG
    name = escape(shortened(guess, MAX_NAME))
    text = f'y="{top + 10.5}" font-size="10.5" fill="{INK}"'
    box = f'y="{top}" height="{ROW - 3}" rx="2"'
    return (
        f'<rect {box} width="{SIDE}" fill="{LINE}" fill-opacity="0.45"/>'
        f'<rect {box} width="{SIDE * probability:.1f}" fill="{colour}" fill-opacity="0.5"/>'
        f'<text x="4" {text}>{name}</text><text x="{SIDE - 4}" text-anchor="end" {text}>{100 * probability:.0f}</text>'
    )
