"""The table of costs, the points and their fronts, and the figure."""

from pathlib import Path

import pandas as pd
import pytest

from ilsvrc.profiling.cost_files import CostFile, Int8File
from ilsvrc.reporting import error_vs_cost, figures

MACHINE = {
    "device": "cpu", "threads": 2, "energy": "not measured", "hardware": "2 cores", "versions": {}, "commit": None,
    "dirty": None,
}  # fmt: skip


def passes(precision, milliseconds, rate, **more):
    return {
        "precision": precision,
        "latency": {"median_ms": milliseconds, "p95_ms": 2 * milliseconds, "p99_ms": 3 * milliseconds, "passes": 40},
        "images_per_second": rate, "best_batch": 8, "tried_batches": {"1": 1.0}, "weight_bytes": 400,
        "peak_bytes": 500, "best_batch_peak_bytes": 900, "joules_an_image": None, "best_batch_joules_an_image": None,
        **more,
    }  # fmt: skip


def network(name, multiply_adds, *tests):
    content = {
        "architecture": name, "crop_px": 80, "num_classes": 10, "parameters": 100, "multiply_adds": multiply_adds,
        "activations": 7, "training": {"batch_size": 32, "optimizer": "sgd", "precision": "float32",
        "peak_bytes": 4000, "extended_from": [2, 4]}, "tests": list(tests), "spec": {}, **MACHINE,
    }  # fmt: skip
    return CostFile.parse(content, Path("costs.json"))


def int8(run, **more):
    more = more or {"int8_top1_error_percent": 4.0, "float32_top1_error_percent": 3.0}
    tested = passes(
        "int8", 1.0, 2000.0, int8_layers=2, layers=2, calibration_images=8, protocol="single_crop", num_images=9, **more
    )
    content = {
        "run": run, "weights_sha256": "", "architecture": "slow", "crop_px": 80, "num_classes": 10, "tests": [tested],
        **MACHINE,
    }  # fmt: skip
    return Int8File.parse(content, Path("int8.json"))


@pytest.fixture
def table() -> pd.DataFrame:
    quick = network("quick", 10, passes("float32", 2.0, 500.0), {"precision": "bfloat16", "why_not": "no hardware"})
    slow = network("slow", 90, passes("float32", 8.0, 125.0))
    rows = [*error_vs_cost.rows("q", quick), *error_vs_cost.rows("s", slow), *error_vs_cost.rows("s", int8("slow/0"))]
    return error_vs_cost.table(rows)


@pytest.fixture
def scores() -> pd.DataFrame:
    errors = {"quick/0": 5.0, "slow/0": 3.0, "slow/1": 2.0}
    return pd.DataFrame(
        [
            {"run": run, "architecture": run.split("/")[0], "protocol": protocol, "top1_error_percent": error + more}
            for run, error in errors.items()
            for protocol, more in (("single_crop", 0), ("ten_crop", -1))
        ]
    )


NETWORKS = {"quick/0": "q", "slow/0": "s", "slow/1": "s"}


def test_the_table_has_a_row_a_network_and_precision_and_says_why_one_is_missing(table):
    assert list(zip(table["network"], table["precision"], strict=True)) == [
        ("q", "float32"), ("q", "bfloat16"), ("s", "float32"), ("s", "int8"),
    ]  # fmt: skip
    assert table["why_not"].fillna("").tolist() == ["", "no hardware", "", ""]
    assert table["ms_an_image"].tolist()[::2] == [2.0, 8.0]
    assert table.loc[0, ["latency_ms", "latency_p95_ms", "latency_p99_ms"]].tolist() == [2.0, 4.0, 6.0]
    assert (table.loc[0, "training_bytes"], table.loc[0, "training_extended_from"]) == (4000, "2 4")


def test_int8_has_its_own_error_and_its_networks_counts(table):
    row = table.loc[3]
    assert (row["top1_error_percent"], row["float32_top1_error_percent"]) == (4.0, 3.0)
    assert (row["multiply_adds"], row["training_bytes"]) == (90, 4000)


def test_points_are_runs_and_precisions_with_the_front_of_each_cost(table, scores):
    found = error_vs_cost.points(table, scores, NETWORKS, "single_crop")
    seen = found[["run", "precision", "top1_error_percent", "latency_ms"]].values.tolist()
    assert seen == [
        ["quick/0", "float32", 5.0, 2.0],
        ["slow/0", "float32", 3.0, 8.0],
        ["slow/0", "int8", 4.0, 1.0],
        ["slow/1", "float32", 2.0, 8.0],
    ]
    assert found["on_front_latency_ms"].tolist() == [False, False, True, True]  # int8 beats the quick network
    assert found["on_front_multiply_adds"].tolist() == [True, False, False, True]  # where precisions are one point


def test_runs_whose_costs_were_not_measured_are_left_out(table, scores):
    found = error_vs_cost.points(table, scores, {"quick/0": "q"}, "ten_crop")
    assert found["run"].unique().tolist() == ["quick/0"]
    assert found["top1_error_percent"].tolist() == [4.0]


def drawn(found):
    runs = list(found["run"].unique())
    return figures.styles(runs, [run.split("/")[0] for run in runs])


def test_the_figure_has_a_panel_a_measured_cost_and_fills_the_front(table, scores):
    found = error_vs_cost.points(table, scores, NETWORKS, "single_crop")
    svg = error_vs_cost.error_against(found, drawn(found))
    assert svg == error_vs_cost.error_against(found, drawn(found))
    assert "latency at batch 1, ms" in svg
    assert "energy" not in svg  # was not measured
    assert svg.count('id="run-') == 4 * 3 + 3 * 4  # of the network: a run once; of a precision: each
    assert ">int8<" in svg


@pytest.fixture
def disturbed() -> pd.DataFrame:
    """A table whose quick network was measured on a busy machine."""
    busy = passes("float32", 2.0, 500.0, busy_machine=True, other_cores=1.5, spread=0.34)
    quick, slow = network("quick", 10, busy), network("slow", 90, passes("float32", 8.0, 125.0))
    return error_vs_cost.table([*error_vs_cost.rows("q", quick), *error_vs_cost.rows("s", slow)])


def test_costs_of_a_busy_machine_are_marked_and_on_no_front_of_times(disturbed, table, scores):
    assert list(disturbed.columns)[-3:] == ["busy_machine", "other_cores", "spread"]
    assert not {"busy_machine", "other_cores", "spread"} & set(table.columns)  # where none was, as before
    found = error_vs_cost.points(disturbed, scores, NETWORKS, "single_crop")
    assert found["on_front_latency_ms"].tolist() == [False, False, True]
    assert found["on_front_multiply_adds"].tolist() == [True, False, True]  # counts hold on any machine
    svg = error_vs_cost.error_against(found, drawn(found))
    assert ">busy machine<" in svg
    assert [f'id="busy-{cost}"' in svg for cost in ("latency_ms", "ms_an_image", "multiply_adds")] == [
        True,
        True,
        False,
    ]


def test_marks_survive_the_files_between_table_and_report(disturbed, scores, tmp_path):
    disturbed.to_csv(tmp_path / "costs.csv", index=False)
    points = error_vs_cost.points(pd.read_csv(tmp_path / "costs.csv"), scores, NETWORKS, "single_crop")
    points.to_csv(tmp_path / "points.csv", index=False)
    read = pd.read_csv(tmp_path / "points.csv")
    assert error_vs_cost.disturbed(read, "latency_ms").tolist() == [True, False, False]


def test_in_a_page_a_panel_stands_alone_in_the_pages_colours(table, scores):
    found = error_vs_cost.points(table, scores, NETWORKS, "single_crop")
    one = {"latency_ms": error_vs_cost.COSTS["latency_ms"]}
    svg = figures.for_page(error_vs_cost.error_against(found, drawn(found), one, legend=False), "cost")
    assert 'class="run run-2"' in svg
    assert "var(--run1)" in svg
    assert ">int8<" not in svg


def test_a_table_of_nothing_but_counts_can_be_drawn(scores):
    table = error_vs_cost.table(error_vs_cost.rows("q", network("quick", 10)))
    assert table["precision"].tolist() == [None]
    found = error_vs_cost.points(table, scores, {"quick/0": "q"}, "single_crop")
    assert "multiply-adds an image" in error_vs_cost.error_against(found, drawn(found))


def test_of_sets_of_classes_the_highest_f2_is_on_the_front(scores):
    quick, slow = (network(name, n, passes("float32", ms, 1.0)) for name, n, ms in (("quick", 10, 2), ("slow", 90, 8)))
    file = int8("slow/0", int8_f2_percent=80.0, float32_f2_percent=81.0)
    table = error_vs_cost.table(
        [*error_vs_cost.rows("q", quick), *error_vs_cost.rows("s", slow), *error_vs_cost.rows("s", file)]
    )
    assert table.loc[2, ["f2_percent", "float32_f2_percent"]].tolist() == [80.0, 81.0]
    of_sets = scores.assign(f2_percent=100 - scores["top1_error_percent"], top1_error_percent=float("nan"))
    found = error_vs_cost.points(table, of_sets, {"quick/0": "q", "slow/0": "s"}, "single_crop")
    assert found["f2_percent"].tolist() == [95.0, 97.0, 80.0]
    assert found["on_front_latency_ms"].tolist() == [True, True, True]
    assert found["on_front_multiply_adds"].tolist() == [True, True, False]
    worse = of_sets.assign(f2_percent=of_sets["f2_percent"].where(of_sets["run"] != "slow/0", 90.0))
    found = error_vs_cost.points(table, worse, {"quick/0": "q", "slow/0": "s"}, "single_crop")
    assert found["on_front_latency_ms"].tolist() == [True, False, True]
    svg = error_vs_cost.error_against(found, drawn(found))
    assert "F2, %" in svg and "Top-1" not in svg
