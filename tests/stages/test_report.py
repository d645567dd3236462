"""The report's stage: from scores and curves to a page that opens by itself."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import fake_results
import pytest

from ilsvrc.card import Card
from ilsvrc.stages import report, score


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def members() -> list:
    return [fake_results.run(name, seed) for name in ("alexnet", "resnet18") for seed in (0, 1)]


@pytest.fixture(scope="module")
def files(folder: Path, members: list) -> dict[str, Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for run in members:
            fake_results.write_run(run, commit="<b>&", wrong={"single_crop": [0, run.spec.seed], "ten_crop": []})
        return make(folder, fake_results.data_spec(*members))


def make(folder: Path, spec: str, *more: str) -> dict[str, Path]:
    files = fake_results.at(folder)
    given = ["--spec", spec, "--scores", str(files["scores"]), "--curves", str(files["curves"]), *more]
    tables = ["--tables", str(files["table"].parent)]
    score.main(score.arguments().parse_args([*given, "--metrics", str(files["metrics"]), *tables]))
    names = [f"--{name}={files[name]}" for name in ("report", "table", "figure")]
    report.main(report.arguments().parse_args([*given, *names]))
    return files


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class Tags(HTMLParser):
    """Checks nesting, and keeps every attribute that may name another file."""

    VOID = frozenset({"meta", "br", "link", "img", "path", "use"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.references += [value for key, value in attrs if key in ("src", "href", "xlink:href", "data", "action")]
        self.ids += [value for key, value in attrs if key == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_needs_no_other_file_and_no_network(files: dict[str, Path]) -> None:
    tags = Tags()
    html = files["report"].read_text(encoding="utf-8")
    tags.feed(html)
    assert tags.open == []
    assert all(reference.startswith("#") for reference in tags.references)
    assert not re.search(r"@import|url\((?!#)|fetch\(|<link", html)


def test_ids_in_the_page_are_unique(files: dict[str, Path]) -> None:
    tags = Tags()
    tags.feed(files["report"].read_text(encoding="utf-8"))
    assert tags.ids
    assert len(set(tags.ids)) == len(tags.ids)


def test_values_in_the_page_are_escaped(files: dict[str, Path]) -> None:
    html = files["report"].read_text(encoding="utf-8")
    assert "<b>&amp;" not in html
    assert "&lt;b&gt;&amp;" in html


def test_the_page_gives_errors_with_intervals_and_the_seeds_mean(files: dict[str, Path]) -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", files["report"].read_text(encoding="utf-8")))
    assert "12.5 [2.2, 47.1]" in text  # seed 0: 1 of 8
    assert "25.0 [7.1, 59.1]" in text  # seed 1: 2 of 8
    assert "18.75 ± 8.84" in text  # their mean, and the deviation of 12.5 and 25
    assert "11.2 M" in text
    assert "1 min 23 s" in text.replace("\u00a0", " ")


def test_a_papers_error_on_other_data_is_marked_as_not_comparable(files: dict[str, Path]) -> None:
    text = re.sub(r"<[^>]+>", "", files["report"].read_text(encoding="utf-8"))
    assert "40.7 / 18.2" in text
    assert (
        "Krizhevsky et al. 2012, Table 2: AlexNet, 1 CNN, ILSVRC-2012 val, ten crop. Not comparable: other data."
        in text
    )
    row = next(
        row for row in read(files["table"]) if row["architecture"] == "alexnet" and row["protocol"] == "ten_crop"
    )
    assert row["paper_top1_error_percent"] == "40.7"
    assert row["paper_comparable"] == "False"


def published(monkeypatch: pytest.MonkeyPatch, protocol: str, networks: str = "alexnet"):
    card = Card(title="ImageNet", licence="", address="", papers_data="ILSVRC-2012 val")
    monkeypatch.setattr(report, "data_card", lambda label: card)
    row = {"networks": networks, "dataset": "imagenet", "protocol": protocol}
    return report.published(row)


def test_a_papers_error_on_its_data_by_its_protocol_is_comparable(monkeypatch: pytest.MonkeyPatch) -> None:
    found = published(monkeypatch, "ten_crop")
    assert (found.top1_error_percent, found.top5_error_percent) == (40.7, 18.2)
    assert found.comparable
    assert found.why == ""


def test_a_papers_error_by_another_protocol_is_not_comparable(monkeypatch: pytest.MonkeyPatch) -> None:
    found = published(monkeypatch, "single_crop")
    assert found.top1_error_percent == 40.7
    assert not found.comparable
    assert found.why == "other test protocol"


def test_an_ensembles_error_is_compared_with_that_of_as_many_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    five = published(monkeypatch, "ten_crop", "5 alexnet")
    assert (five.top1_error_percent, five.comparable, five.why) == (38.1, True, "")
    two = published(monkeypatch, "ten_crop", "2 alexnet")
    assert (two.comparable, two.why) == (False, "another number of networks")
    assert published(monkeypatch, "ten_crop", "alexnet + googlenet") is None


def test_a_persons_own_pictures_have_no_card() -> None:
    assert report.data_card("my_pictures") is None


def test_the_table_holds_intervals_beside_errors(files: dict[str, Path]) -> None:
    row = read(files["table"])[0]
    assert list(row)[9:15] == [
        "top1_error_percent", "top1_low_percent", "top1_high_percent",
        "top5_error_percent", "top5_low_percent", "top5_high_percent",
    ]  # fmt: skip
    assert (row["top1_error_percent"], row["top1_low_percent"], row["top1_high_percent"]) == (
        "12.5",
        "2.2417",
        "47.0888",
    )


def test_the_reports_bytes_depend_on_its_inputs_alone(
    files: dict[str, Path], folder: Path, members: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("report", "table", "figure")
    first = [files[name].read_bytes() for name in names]
    monkeypatch.chdir(folder)
    make(folder, fake_results.data_spec(*members))
    assert [files[name].read_bytes() for name in names] == first


def test_runs_that_have_no_scores_stop_the_report_by_name(
    files: dict[str, Path], folder: Path, members: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    spec = fake_results.data_spec(*members, fake_results.run("googlenet"))
    names = [f"--{name}={files[name]}" for name in ("scores", "curves", "report", "table", "figure")]
    with pytest.raises(ValueError, match=r"scores\.csv lacks digits/googlenet/"):
        report.main(report.arguments().parse_args(["--spec", spec, *names]))


def test_a_partial_report_names_the_missing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done, running = fake_results.run(swept={"learning_rate": 0.1}), fake_results.run(swept={"learning_rate": 0.2})
    fake_results.write_run(done)
    found = make(tmp_path, fake_results.data_spec(done, running, swept=["learning_rate"]), "--partial")
    html = found["report"].read_text(encoding="utf-8")
    assert "Not in this report" in html
    assert running.name in html


def test_classes_too_few_for_top_5_leave_a_dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = fake_results.run()
    fake_results.write_run(run)
    sha256 = json.loads((Path("results/runs") / run.name / "weights.json").read_text())["weights_sha256"]
    for protocol in ("single_crop", "ten_crop"):
        fake_results.write_prediction(run, protocol, sha256, fake_results.probabilities(num_classes=3 + 1))
    found = make(tmp_path, fake_results.data_spec(run))
    assert "nan" not in found["report"].read_text(encoding="utf-8")
    assert {row["top5_error_percent"] for row in read(found["table"])} == {""}


def test_ensembles_stand_in_the_page_and_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(score.tracking, "open_ensemble", lambda *given: None)
    members = [fake_results.run("alexnet", seed) for seed in (0, 1)]
    for run in members:
        fake_results.write_run(run)
    found = make(tmp_path, fake_results.data_spec(*members, ensembles=[fake_results.ensemble("both", *members)]))
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", found["report"].read_text(encoding="utf-8")))
    assert "2 runs and 1 ensemble by recipe quick" in text
    assert "both 2 alexnet" in text
    assert "Training, all runs 2 min 46 s" in text.replace("\u00a0", " ")  # 2 x 83.25 s: an ensemble trains nothing
    assert [row["seed"] for row in read(found["table"])] == ["0", "0", "1", "1", "", ""]


def test_a_run_that_reports_its_best_epoch_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    best = fake_results.run("alexnet", swept={"report_epoch": "best", "validation_fraction": 0.1})
    plain = fake_results.run("resnet18")
    for run in (best, plain):
        fake_results.write_run(run)
    path = Path("results/runs") / best.name / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"reported_epoch": 7, "epochs": 12}))
    html = make(tmp_path, fake_results.data_spec(best, plain))["report"].read_text(encoding="utf-8")
    assert "(report_epoch: best): alexnet (epoch 7 of 12).</p>" in html
    assert "report_epoch" not in make(tmp_path, fake_results.data_spec(plain))["report"].read_text(encoding="utf-8")


def test_a_recipe_that_watched_the_test_pictures_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    watched = fake_results.run("alexnet", swept={"schedule": "plateau", "monitor": "test"})
    plain = fake_results.run("resnet18")
    for run in (watched, plain):
        fake_results.write_run(run)
    html = make(tmp_path, fake_results.data_spec(watched, plain))["report"].read_text(encoding="utf-8")
    assert "Chosen by test pictures: alexnet.</strong>" in html
    assert "Chosen by" not in make(tmp_path, fake_results.data_spec(plain))["report"].read_text(encoding="utf-8")
