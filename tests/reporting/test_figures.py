"""Figures: styles that tell runs apart, and SVG that a page can hold."""

import numpy as np
import pandas as pd
import pytest

from ilsvrc.evaluation.headline_metric import TOP1
from ilsvrc.models.common import reference_counts
from ilsvrc.reporting import (
    error_figures,
    error_rows,
    error_vs_size,
    figures,
    formatting,
    published_results,
    stage_times,
)


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


def test_the_legend_says_what_validation_is_on() -> None:
    drawn, note = figures.styles(["one", "two"], ["one", "two"]), "validation: on the test split"
    assert f">{note}<" in figures.learning_curves(curves(3), drawn, {"train_loss": "Loss"}, True, validated_on=note)
    assert "validation" not in figures.learning_curves(curves(3), drawn, {"train_loss": "Loss"}, True)


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
    assert formatting.duration(seconds).replace("\u00a0", " ") == expected


@pytest.mark.parametrize(("percent", "expected"), [(0.4, 1), (7, 10), (12, 15), (61, 80), (97, 100)])
def test_axes_end_at_a_round_number(percent: float, expected: float) -> None:
    assert error_rows.axis_end(percent) == expected


def errors() -> pd.DataFrame:
    row = {
        "dataset": "digits",
        "recipe": "quick",
        "num_images": 100,
        "parameters": 5e6,
        "top1_low_percent": 1,
        "top1_high_percent": 20,
    }
    rows = [
        {"run": "a/0", "architecture": "alexnet", "protocol": "single_crop", "top1_error_percent": 9.0, "seed": 0},
        {"run": "a/0", "architecture": "alexnet", "protocol": "ten_crop", "top1_error_percent": 8.0, "seed": 0},
        {"run": "a/1", "architecture": "alexnet", "protocol": "single_crop", "top1_error_percent": 7.0, "seed": 1},
        {"run": "r/0", "architecture": "resnet18", "protocol": "single_crop", "top1_error_percent": 6.0, "seed": 0},
        {"run": "ensemble/x", "architecture": "x", "protocol": "single_crop", "top1_error_percent": 5.0, "seed": None},
    ]
    return pd.DataFrame([row | each | {"multiply_adds": 7e8 if "a/" in each["run"] else 2e9} for each in rows])


def test_the_papers_points_are_each_architectures_first_and_the_front_is_of_ours() -> None:
    found = error_vs_size.points(errors(), TOP1, published_results.results(), reference_counts.architectures(), None)
    ours = found[found["whose"] == "ours"]
    # At equal size the lowest error alone is on the front; the ensemble is larger and better.
    assert list(ours["on_front_multiply_adds"]) == [False, False, True, False, True]
    theirs = found[found["architecture"].isin(["alexnet", "googlenet"]) & (found["whose"] != "ours")]
    assert [list(row) for row in theirs[["whose", "dataset", "top1_error_percent", "parameters"]].to_numpy()] == [
        ["Krizhevsky et al. 2012", "ILSVRC-2012 val", 40.7, 60965224],
        ["BVLC Caffe model zoo", "ILSVRC-2012 val", 31.3, 6998552],
    ]
    assert not error_vs_size.together(found)
    assert error_vs_size.together(
        error_vs_size.points(errors().assign(dataset="SVHN"), TOP1, published_results.results(), {}, "SVHN")
    )


def test_the_best_run_of_each_architecture_is_looked_at_by_the_first_protocol() -> None:
    assert list(error_figures.chosen(errors())["run"]) == ["a/1", "r/0"]


def test_many_classes_show_the_eight_hardest_and_the_four_easiest() -> None:
    table = pd.DataFrame(
        {"class": [f"c{i:02d}" for i in range(20)], "top1_error_percent": [5.0 * i for i in range(20)]}
    )
    shown = error_figures.worst_and_best(table)
    assert list(shown["class"]) == [f"c{i:02d}" for i in (19, 18, 17, 16, 15, 14, 13, 12, 3, 2, 1, 0)]
    assert error_figures.shortened("a long name of a class") == "a long name of a …"


def test_times_are_added_up_by_stage() -> None:
    jobs = [("train", 30.0, 60.0, 900.0), ("train", 60.0, 90.0, 800.0), ("predict", 10.0, 5.0, None)]
    keys = ("stage", "seconds", "cpu_seconds", "memory_mb")
    table = stage_times.table(
        {"job": str(i), "run": None, **dict(zip(keys, job, strict=True))} for i, job in enumerate(jobs)
    )
    train, predict = stage_times.by_stage(table)
    assert (train["jobs"], train["seconds"], train["share_percent"], train["memory_mb"]) == (2, 90.0, 90.0, 900.0)
    assert (round(train["cores"], 3), predict["cores"]) == (1.667, 0.5)
