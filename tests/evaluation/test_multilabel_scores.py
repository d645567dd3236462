"""Scores and report of pictures that have several classes."""

import io

import fake_results
import numpy as np
import pandas as pd
import pytest
import records

from ilsvrc.evaluation import breakdown, ensembles, headline_metric, multilabel_scores, predictions, scores
from ilsvrc.reporting import error_table, error_vs_size, page, stage_times, summary
from ilsvrc.reporting.report_data import DataSet, ReportData

TARGETS = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1]], np.uint8)
PROBABILITIES = np.array([[0.9, 0.8, 0.1], [0.1, 0.9, 0.3], [0.1, 0.1, 0.1], [0.1, 0.1, 0.7]], np.float32)
CLASSES = ["clear", "primary", "road"]
COUNTS = {"parameters": 11181642, "multiply_adds": 300000000}


def kept(probabilities: np.ndarray = PROBABILITIES) -> predictions.Prediction:
    return predictions.keep(probabilities, TARGETS, np.array(list("abcd")), {"classes": CLASSES})


def row(seed: int = 0, probabilities: np.ndarray = PROBABILITIES) -> scores.Row:
    run = records.run_info(**fake_results.facts(fake_results.run(seed=seed)))
    return scores.score(run, "single_crop", kept(probabilities), COUNTS)


def test_a_row_has_f2_with_its_interval_in_the_place_of_errors():
    found = row()
    # 1, 5 / (4 + 2), 1 and 5 / (8 + 1)
    assert found["f2_percent"] == pytest.approx(100 * (1 + 5 / 6 + 1 + 5 / 9) / 4)
    assert 55.5 < found["f2_low_percent"] < found["f2_percent"] < found["f2_high_percent"] <= 100
    assert found["hamming_error_percent"] == pytest.approx(100 * 2 / 12)
    # class 0: right, then one of four; classes 1 and 2 in the right order
    assert found["mean_average_precision_percent"] == pytest.approx(100 * ((1 + 2 / 4) / 2 + 1 + 1) / 3)
    assert np.isnan([found["top1_error_percent"], found["top5_error_percent"]]).all()
    text = scores.as_csv([found], [*scores.COLUMNS, *multilabel_scores.columns([found])])
    assert text.splitlines()[0].endswith(
        "f2_percent,f2_low_percent,f2_high_percent,hamming_error_percent,mean_average_precision_percent"
    )


def test_likelihood_brier_and_calibration_are_over_all_classes():
    found = row()
    likelihood = -np.log([0.9, 0.8, 0.9, 0.9, 0.9, 0.7, 0.9, 0.9, 0.9, 0.1, 0.9, 0.7]).sum() / 4
    assert found["negative_log_likelihood"] == pytest.approx(likelihood, rel=1e-5)
    squares = 8 * 0.01 + 0.04 + 2 * 0.09 + 0.81
    assert found["brier_score"] == pytest.approx(squares / 4, rel=1e-5)
    # 7 answers of 0.1, one of which was there; 0.3 and 0.7, 0.8 and 0.9 twice, all as they should be
    gaps = [7 * abs(1 / 7 - 0.1), 0.3, 0.3, 0.2, 2 * 0.1]
    assert found["expected_calibration_error_percent"] == pytest.approx(100 * sum(gaps) / 12, rel=1e-4)


def test_behind_the_scores_each_class_has_precision_recall_and_f2():
    behind = breakdown.Breakdown()
    behind.add({"run": "r", "protocol": "p"}, kept())
    text = behind.tables()
    assert text["per_class"].splitlines() == [
        "run,protocol,class,num_images,precision_percent,recall_percent,f2_percent,average_precision_percent",
        "r,p,clear,2,100.0,50.0,55.55555555555556,75.0",
        "r,p,primary,2,100.0,100.0,100.0,100.0",
        "r,p,road,1,50.0,100.0,83.33333333333334,100.0",
    ]
    assert len(text["confusion"].splitlines()) == len(text["mcnemar"].splitlines()) == 1


def test_predictions_of_sets_are_kept_and_averaged(tmp_path):
    first, second = kept(), kept(np.full((4, 3), 0.5, np.float32))
    for name, each in (("a", first), ("b", second)):
        predictions.write_prediction(tmp_path / f"{name}.npz", each)
    files = [tmp_path / "a.npz", tmp_path / "b.npz"]
    again = predictions.read_for_scores(files[0])
    assert np.array_equal(again.labels, TARGETS) and np.array_equal(again.probabilities, PROBABILITIES)
    mean = ensembles.combine(files)
    np.testing.assert_allclose(mean.probabilities, (PROBABILITIES + 0.5) / 2, rtol=1e-6)
    # of each class's two outcomes: odds 9 and 1 make odds of 3
    geometric = ensembles.combine(files, "log_probabilities")
    assert geometric.probabilities[0, 0] == pytest.approx(0.75) and geometric.probabilities[0, 2] == pytest.approx(0.25)
    other = predictions.keep(PROBABILITIES, 1 - TARGETS, first.images, first.spec)
    predictions.write_prediction(files[1], other)
    with pytest.raises(ValueError, match=r"their labels differ \(4 of 4; number 0: \[1 1 0\] and \[0 0 1\]"):
        ensembles.combine(files)


def test_a_table_for_people_names_what_is_there_and_what_is_said():
    columns, rows = multilabel_scores.readable(kept(), CLASSES, [1, 3])
    assert columns == ["image", "labels", "said", "p(clear)", "p(primary)", "p(road)"]
    assert scores.as_csv(rows, columns).splitlines()[1:] == [
        "b,primary,primary;road,0.1,0.9,0.3",
        "d,clear;road,road,0.1,0.1,0.7",
    ]


def test_metrics_and_lines_speak_of_f2():
    found = row()
    (of_run,) = scores.tree([found], [])["digits"].values()
    assert set(of_run["single_crop"]) == {"f2_percent", "hamming_error_percent", "mean_average_precision_percent"}
    (line,) = scores.result_lines([found], [])
    assert "F2 84.7 % [" in line and "Hamming error 16.7 %" in line and "mean average precision 91.7 %" in line
    assert "top-1" not in line


def test_rows_of_one_class_a_picture_have_no_columns_of_sets():
    assert multilabel_scores.columns([{"top1_error_percent": 3.0}]) == ()


def content(*rows: scores.Row) -> ReportData:
    table = error_table.errors(pd.DataFrame(rows), lambda row: None)
    curves = pd.DataFrame([{"dataset": "digits", "run": name, "epoch": 1, "train_loss": 1.0} for name in table["run"]])
    behind = breakdown.Breakdown()
    for each in rows:
        behind.add(each, kept())
    files = {name: pd.read_csv(io.StringIO(text)) for name, text in behind.tables().items()}
    return ReportData(
        data_set=DataSet("digits", "Digits"), errors=table, curves=curves, run_infos={}, swept=[], breakdown=files,
        published=[], training={},
        size=error_vs_size.points(table, headline_metric.F2, [], {}, None), times=stage_times.table([]),
    )  # fmt: skip


def test_the_page_calls_the_highest_f2_the_best():
    given = content(row(), row(seed=1, probabilities=np.full((4, 3), 0.1, np.float32)))
    shown = summary.summarize(given)
    assert shown.by is headline_metric.F2
    assert shown.best["at"] == pytest.approx(84.72, abs=0.01)
    html = page.render(given)
    assert "Highest F2" in html and "Mean average precision, %" in html and "F2 against size" in html
    assert "the Hamming error" in html
    assert "Top-1" not in html and "Paper," not in html and "Wilson" not in html
    # 84.72 and 25 (of the picture that has no class): a mean of 54.86
    assert "54.86" in html


def test_the_figure_against_size_shows_f2_and_its_front_is_of_the_highest():
    given = content(row(), row(seed=1, probabilities=np.full((4, 3), 0.1, np.float32)))
    assert list(given.size["on_front_parameters"]) == [True, False]
    assert "F2, %" in error_vs_size.error_against(given.size, given.drawn, headline_metric.F2)
