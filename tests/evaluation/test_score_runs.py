"""Scores from predictions whose errors are known."""

import csv
import json
from pathlib import Path

import fake_results
import pytest

from ilsvrc.artifacts import run_files
from ilsvrc.evaluation import prediction_file, predictions, score_runs
from ilsvrc.runtime.files import read_json
from ilsvrc.stages import score

TABLES = ("per_class", "confusion", "confused_classes", "calibration", "hardest", "mcnemar")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(score_runs.mlflow_runs, "open_ensemble", lambda *given: None)  # a database takes seconds
    monkeypatch.setattr(score_runs.register_models.registry, "register", lambda *given: None)


def run_score(*members, partial: bool = False, **spec) -> list[dict[str, str]]:
    files = fake_results.at(Path.cwd())
    given = ["--spec", fake_results.data_spec(*members, **spec), "--scores", str(files["scores"])]
    given += ["--metrics", str(files["metrics"]), "--curves", str(files["curves"]), "--tables", "results/tables"]
    score.main(score.arguments().parse_args([*given, *(["--partial"] if partial else [])]))
    return read(files["scores"])


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_a_run_and_protocol() -> None:
    run = fake_results.run()
    fake_results.write_run(run, wrong={"single_crop": [0, 7], "ten_crop": [3]})
    rows = run_score(run)
    assert list(rows[0]) == [
        "run", "dataset", "architecture", "recipe", "seed", "protocol", "networks", "members", "num_images",
        "top1_error_percent", "top5_error_percent", "negative_log_likelihood", "expected_calibration_error_percent",
        "brier_score", "parameters", "multiply_adds", "train_seconds", "images_per_second", "source",
    ]  # fmt: skip
    assert [(row["protocol"], row["top1_error_percent"]) for row in rows] == [
        ("single_crop", "25.0"),
        ("ten_crop", "12.5"),
    ]
    # The label is the least probable of six classes where it is wrong.
    assert rows[0]["top5_error_percent"] == "25.0"
    assert rows[0]["run"] == run.name
    assert (rows[0]["num_images"], rows[0]["members"], rows[0]["parameters"]) == ("8", "1", "11181642")


def test_swept_keys_are_columns() -> None:
    members = [fake_results.run(swept={"label_smoothing": value}) for value in (0.1, 0.2)]
    for run in members:
        fake_results.write_run(run)
    rows = run_score(*members, swept=["label_smoothing"])
    assert [row["label_smoothing"] for row in rows] == ["0.1", "0.1", "0.2", "0.2"]


def test_metrics_are_numbers_by_data_set_run_and_protocol() -> None:
    run = fake_results.run(seed=3)
    fake_results.write_run(run, wrong={"single_crop": [0], "ten_crop": []})
    run_score(run)
    assert json.loads(Path("results/metrics.json").read_text()) == {
        "digits": {
            "resnet18,seed=3": {
                "single_crop": {"top1_error_percent": 12.5, "top5_error_percent": 12.5},
                "ten_crop": {"top1_error_percent": 0.0, "top5_error_percent": 0.0},
            }
        }
    }


def test_curves_hold_a_row_a_run_and_epoch() -> None:
    run = fake_results.run()
    fake_results.write_run(run)
    run_score(run)
    rows = read(Path("results/curves.csv"))
    assert list(rows[0])[:8] == [
        "run", "dataset", "architecture", "recipe", "seed", "epoch", "learning_rate", "train_loss",
    ]  # fmt: skip
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["validation_loss"] == ""


def test_scoring_twice_gives_the_same_bytes() -> None:
    run = fake_results.run()
    fake_results.write_run(run)
    run_score(run)
    names = ("scores.csv", "metrics.json", "curves.csv", *(f"tables/{name}.csv" for name in TABLES))
    files = [Path("results") / name for name in names]
    first = [file.read_bytes() for file in files]
    run_score(run)
    assert [file.read_bytes() for file in files] == first


def test_a_line_for_a_person_gives_the_interval_and_n(capsys: pytest.CaptureFixture) -> None:
    members = [fake_results.run(), fake_results.run("alexnet")]
    for run in members:
        fake_results.write_run(run, wrong={"single_crop": [0, 1], "ten_crop": []})
    run_score(*members)
    # Wilson for 2 of 8: 7.15 to 59.07; for 0 of 8: 0 to 32.44.
    expected = [
        "digits  resnet18  single_crop  top-1 25.0 % [7.1, 59.1]  top-5 25.0 % [7.1, 59.1]  n = 8",
        "digits  resnet18  ten_crop     top-1  0.0 % [0.0, 32.4]  top-5  0.0 % [0.0, 32.4]  n = 8",
        "digits  alexnet   single_crop  top-1 25.0 % [7.1, 59.1]  top-5 25.0 % [7.1, 59.1]  n = 8",
        "digits  alexnet   ten_crop     top-1  0.0 % [0.0, 32.4]  top-5  0.0 % [0.0, 32.4]  n = 8",
    ]
    assert capsys.readouterr().err.splitlines()[-4:] == expected


def test_an_incomplete_run_stops_the_scores_by_name() -> None:
    done, running = fake_results.run(), fake_results.run("alexnet")
    fake_results.write_run(done)
    with pytest.raises(ValueError, match=f"{running.name} is not complete"):
        run_score(done, running)
    assert not Path("results/scores.csv").exists()


def test_partial_scores_leave_incomplete_runs_out_and_name_them(capsys: pytest.CaptureFixture) -> None:
    done, running = fake_results.run(), fake_results.run("alexnet")
    fake_results.write_run(done)
    rows = run_score(done, running, partial=True)
    assert {row["run"] for row in rows} == {done.name}
    assert f"left out, not complete: {running.name}" in capsys.readouterr().err


def test_no_complete_run_is_an_error_even_for_partial_scores() -> None:
    with pytest.raises(ValueError, match="none of the 1 runs"):
        run_score(fake_results.run(), partial=True)


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("file", ["weights.json", "run.json"])
def test_a_run_of_another_specification_stops_the_scores_by_name(file: str, partial: bool) -> None:
    run = fake_results.run()
    fake_results.write_run(run)
    path = run_files.RUNS / run.name / file
    info = json.loads(path.read_text())
    info["spec"]["seed"] = 99
    path.write_text(json.dumps(info))
    with pytest.raises(ValueError, match=f"{run.name}.*{file}.*of another run"):
        run_score(run, partial=partial)


def test_a_prediction_by_other_weights_stops_the_scores_by_name() -> None:
    run = fake_results.run()
    fake_results.write_run(run)
    fake_results.write_prediction(run, "ten_crop", "0" * 64, fake_results.probabilities())
    with pytest.raises(ValueError, match=rf"{run.name}.*ten_crop\.npz was made with weights_sha256 = 0"):
        run_score(run)


def test_five_classes_have_no_top_5_error() -> None:
    run = fake_results.run()
    fake_results.write_run(run)
    sha256 = read_json(run_files.RUNS / run.name / "weights.json")["weights_sha256"]
    for protocol in ("single_crop", "ten_crop"):
        fake_results.write_prediction(run, protocol, sha256, fake_results.probabilities([0], num_classes=5))
    rows = run_score(run)
    assert [row["top5_error_percent"] for row in rows] == ["", ""]
    found = json.loads(Path("results/metrics.json").read_text())
    assert found["digits"]["resnet18,seed=0"]["ten_crop"] == {"top1_error_percent": 12.5}


def test_networks_are_counted_where_run_json_does_not_say() -> None:
    run = fake_results.run("alexnet")
    fake_results.write_run(run)
    path = run_files.RUNS / run.name / "run.json"
    info = {key: value for key, value in json.loads(path.read_text()).items() if key != "parameters"}
    path.write_text(json.dumps(info))
    rows = run_score(run)
    # conv1 to conv5 as at 227 (34,944 + 307,456 + 885,120 + 663,936 + 442,624); fc6 1 x 1 x 256 at 80 px, 6 classes.
    assert int(rows[0]["parameters"]) == 2334080 + (256 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 6


def test_each_protocol_is_logged_under_its_trainings_run(monkeypatch: pytest.MonkeyPatch) -> None:
    logged = []
    monkeypatch.setattr(score_runs.mlflow_runs, "log_protocol", lambda *given: logged.append(given))
    run = fake_results.run()
    fake_results.write_run(run, wrong={"single_crop": [0], "ten_crop": []})
    id_file = Path("work") / run_files.run_key(run.name) / "mlflow_run"
    id_file.parent.mkdir(parents=True)
    id_file.write_text("abc\n")
    run_score(run)
    assert [(parent, protocol) for parent, protocol, _, _ in logged] == [("abc", "single_crop"), ("abc", "ten_crop")]
    # Seven at 0.7, one at 0.01: -ln; confidences of 0.7 (but one), right seven times of eight.
    assert logged[0][2]["negative_log_likelihood"] == pytest.approx(0.8877373, rel=1e-5)
    assert logged[0][2]["top1_error_percent"] == 12.5
    # Wilson's interval of 1 in 8; six classes have a top-5 error.
    assert logged[0][2]["top1_low_percent"] == pytest.approx(2.24175, abs=1e-4)
    assert logged[0][2]["top1_high_percent"] == pytest.approx(47.08882, abs=1e-4)
    (row, _) = read(fake_results.at(Path.cwd())["scores"])
    assert {key: float(row[key]) for key in score_runs.scores.MEASURED} == {
        key: logged[0][2][key] for key in score_runs.scores.MEASURED
    }


def test_a_damaged_prediction_is_named_and_removed(capsys: pytest.CaptureFixture) -> None:
    run = fake_results.run()
    fake_results.write_run(run)
    path = prediction_file.prediction_file(run.name, "ten_crop")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=rf"{path} is no complete prediction .* it is removed: run snakemake again"):
        run_score(run)
    assert not path.exists()
    assert prediction_file.prediction_file(run.name, "single_crop").exists()


def two_seeds() -> list:
    """Both wrong about image 0, one about 1 too, the other about 2; ten crops are right but for image 3 of the one."""
    members = [fake_results.run(seed=seed) for seed in (0, 1)]
    fake_results.write_run(members[0], wrong={"single_crop": [0, 1], "ten_crop": [3]})
    fake_results.write_run(members[1], wrong={"single_crop": [0, 2], "ten_crop": []})
    return members


def test_an_ensemble_is_a_row_for_each_protocol() -> None:
    members = two_seeds()
    *_, single, ten = run_score(*members, ensembles=[fake_results.ensemble("both", *members)])
    assert (single["run"], single["architecture"], single["seed"]) == ("ensemble/both", "both", "")
    assert (single["networks"], single["members"], single["recipe"]) == ("2 resnet18", "2", "quick")
    assert (single["protocol"], ten["protocol"]) == ("single_crop", "ten_crop")
    # 0.7 and 0.01: the mean of the label, 0.355, is the largest; only image 0 stays wrong.
    assert (single["top1_error_percent"], ten["top1_error_percent"]) == ("12.5", "0.0")
    assert (single["parameters"], single["train_seconds"]) == (str(2 * 11181642), "166.5")
    found = json.loads(Path("results/metrics.json").read_text())["digits"]
    assert found["both"]["single_crop"] == {"top1_error_percent": 12.5, "top5_error_percent": 12.5}


def test_protocols_of_one_network_can_be_averaged_together() -> None:
    run, _ = two_seeds()
    *_, row = run_score(run, ensembles=[fake_results.ensemble("all_crops", run, together=True)])
    assert (row["protocol"], row["members"], row["networks"]) == ("single_crop+ten_crop", "1", "resnet18")
    assert row["top1_error_percent"] == "0.0"


def test_an_ensembles_line_names_its_networks_beside_the_others_seeds(capsys: pytest.CaptureFixture) -> None:
    members = two_seeds()
    run_score(*members, ensembles=[fake_results.ensemble("both", *members)])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("digits  resnet18  seed=0      single_crop  top-1 25.0 %")
    assert lines[-2].startswith("digits  both      2 resnet18  single_crop  top-1 12.5 % [2.2, 47.1]")


def test_an_ensemble_of_other_images_stops_the_scores_by_name() -> None:
    members = two_seeds()
    path = prediction_file.prediction_file(members[1].name, "ten_crop")
    found = predictions.read_prediction(path)
    predictions.write_prediction(path, found._replace(images=found.images[::-1]))
    with pytest.raises(ValueError, match=r"ensembles\.both: .* cannot be averaged: their images differ \(8 of 8; num"):
        run_score(*members, ensembles=[fake_results.ensemble("both", *members)])


def test_partial_scores_leave_an_ensemble_out_whose_members_are_not_complete(capsys: pytest.CaptureFixture) -> None:
    members = [*two_seeds(), fake_results.run(seed=2)]
    rows = run_score(*members, partial=True, ensembles=[fake_results.ensemble("three", *members)])
    assert not any(row["run"].startswith("ensemble") for row in rows)
    assert "left out, not complete: ensemble three" in capsys.readouterr().err


def test_an_ensemble_is_logged_as_a_run_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, logged = [], []
    monkeypatch.setattr(score_runs.mlflow_runs, "open_ensemble", lambda *given: opened.append(given) or "abc")
    monkeypatch.setattr(score_runs.mlflow_runs, "log_protocol", lambda *given: logged.append(given))
    members = two_seeds()
    run_score(*members, ensembles=[fake_results.ensemble("both", *members, together=True)])
    ((name, tags),) = opened
    assert (name, tags["kind"], tags["networks"]) == ("ensemble/both", "ensemble", "2 resnet18")
    assert logged[-1][:2] == ("abc", "single_crop+ten_crop")


def test_tables_behind_the_errors_are_written() -> None:
    members = two_seeds()
    run_score(*members)
    classes = read(Path("results/tables/per_class.csv"))
    assert len(classes) == 2 * 2 * 6
    # Images 0 and 1 are all of class 0; classes 4 and 5 have no image.
    of_first = classes[:6]
    assert [row["class"] for row in of_first] == list("012345")
    assert [row["top1_error_percent"] for row in of_first] == ["100.0", "0.0", "0.0", "0.0", "", ""]
    assert [row["num_images"] for row in of_first] == ["2", "2", "2", "2", "0", "0"]
    confused = read(Path("results/tables/confusion.csv"))
    assert [list(row.values())[2:] for row in confused[:1]] == [["0", "1", "2", "100.0"]]
    bins = read(Path("results/tables/calibration.csv"))
    assert len(bins) == 2 * 2 * 15
    assert sum(int(row["num_images"]) for row in bins[:15]) == 8
    matrix = read(Path("results/tables/confused_classes.csv"))[:36]
    assert [row["num_images"] for row in matrix[:12]] == [*"020000", *"020000"]
    assert matrix[1]["share_percent"] == "100.0"
    single, ten = read(Path("results/tables/mcnemar.csv"))
    assert (single["first"], single["second"]) == tuple(run.name for run in members)
    assert (single["only_first"], single["only_second"], single["p_value"]) == ("1", "1", "1.0")
    assert (ten["only_first"], ten["only_second"], ten["test"]) == ("1", "0", "exact")
