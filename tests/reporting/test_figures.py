"""Figures: styles that tell runs apart, and SVG that a page can hold."""

import numpy as np
import pandas as pd
import pytest

from ilsvrc.reporting import figures, page


def test_runs_of_an_architecture_share_its_colour_and_differ_by_dash() -> None:
    found = figures.styles(["a 0", "a 1", "b 0", "b 1"], ["a", "a", "b", "b"])
    assert [style.colour for style in found] == [figures.PALETTE[place] for place in (0, 0, 1, 1)]
    assert [style.dash for style in found] == [figures.DASHES[place] for place in (0, 1, 0, 1)]


@pytest.mark.parametrize("architectures", [["a"] * 20, [f"a{i}" for i in range(20)], list("aaaaabbbbbcccccddddd")])
def test_twenty_runs_have_twenty_styles(architectures: list[str]) -> None:
    found = figures.styles([str(i) for i in range(20)], architectures)
    assert len({(style.colour, str(style.dash)) for style in found}) == 20


def curves(num_epochs: int) -> pd.DataFrame:
    epochs = range(1, num_epochs + 1)
    return pd.DataFrame(
        [
            {"run": run, "epoch": e, "train_loss": 1 / e, "train_error_percent": 50 / e, "validation_loss": np.nan}
            for run in ("one", "two")
            for e in epochs
        ]
    )


def test_a_measure_that_no_run_has_gets_no_panel() -> None:
    found = curves(3).assign(validation_top1_error_percent=np.nan)
    assert list(figures.panels(found)) == ["train_loss", "train_error_percent"]


@pytest.mark.parametrize("num_epochs", [1, 3])
def test_the_same_curves_are_the_same_bytes_without_a_date(num_epochs: int) -> None:
    drawn = figures.styles(["one", "two"], ["one", "two"])
    first, second = (figures.learning_curves(curves(num_epochs), drawn, figures.panels(curves(3)), True) for _ in "12")
    assert first == second
    assert "dc:date" not in first
    assert first.count("run-1-train_loss") == 1


def test_in_a_page_colours_are_variables_and_ids_its_own() -> None:
    drawn = figures.styles(["one", "two"], ["one", "two"])
    svg = figures.for_page(figures.learning_curves(curves(3), drawn, {"train_loss": "Loss"}, False), "x")
    assert svg.startswith("<svg")
    assert "var(--run1)" in svg
    assert figures.PALETTE[1] not in svg
    assert 'class="run run-1"' in svg
    assert all(part.startswith("x-") for part in svg.split(' id="')[1:])
    assert all(part.startswith("x-") for part in svg.split("url(#")[1:])


@pytest.mark.parametrize(
    ("number", "expected"), [(60965224, "61 M"), (1.5e9, "1.5 G"), (724406816, "724 M"), (2500, "2.5 k"), (7, "7")]
)
def test_magnitudes_have_three_digits(number: float, expected: str) -> None:
    assert figures.short(number) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(12.4, "12 s"), (83.25, "1 min 23 s"), (3599.7, "1 h 00 min"), (7 * 3600 + 65, "7 h 01 min")],
)
def test_durations_are_for_a_person(seconds: float, expected: str) -> None:
    assert page.duration(seconds).replace("\u00a0", " ") == expected


@pytest.mark.parametrize(("percent", "expected"), [(0.4, 1), (7, 10), (12, 15), (61, 80), (97, 100)])
def test_axes_end_at_a_round_number(percent: float, expected: float) -> None:
    assert page.axis_end(percent) == expected
