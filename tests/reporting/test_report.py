"""The report's stage: from scores and curves to a page that opens by itself."""

import csv
import io
import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import fake_results
import pytest
from PIL import Image

from ilsvrc.artifacts import run_files
from ilsvrc.artifacts.run_info import RunInfo
from ilsvrc.config import specs
from ilsvrc.config.recipe_files import resolve_recipe
from ilsvrc.datasets._card import Card, Sample
from ilsvrc.evaluation import score_runs
from ilsvrc.packing.writer import pack
from ilsvrc.reporting import figures, inputs, papers
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
    given += ["--tables", str(files["tables"])]
    score.main(score.arguments().parse_args([*given, "--metrics", str(files["metrics"])]))
    places = [f"--{name}={files[name]}" for name in ("report", "figures")]
    report.main(report.arguments().parse_args([*given, *places, "--packed", str(folder / "packed")]))
    return files


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of the page's text: figures, most of a report's time, are empty."""
    monkeypatch.setattr(figures, "as_svg", lambda figure: '<?xml version="1.0"?><svg width="1" height="1"></svg>')


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


BY_QUICK = "recipe quick, not the paper's, 3 epochs for its 90 epochs"


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


def test_figures_need_no_other_file_either(files: dict[str, Path]) -> None:
    for path in files["figures"].iterdir():
        found = re.findall(r'(?:href|src)="([^"]*)"', path.read_text(encoding="utf-8"))
        assert all(reference.startswith(("#", "data:image/jpeg;base64,")) for reference in found)


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
    text = re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", "", files["report"].read_text(encoding="utf-8"))))
    assert "Krizhevsky et al. 2012, Table 2" in text
    # None of 8 is wrong.
    assert "AlexNet, 1 CNN ILSVRC-2012 val · ten crop 40.70.0 [0.0, 32.4] 18.20.0 [0.0, 32.4]" in text
    assert "alexnet, mean of 2 seeds not comparable: other data, other training" in text
    assert "Datanot the papers', which report on ILSVRC-2012." in text
    row = next(
        row
        for row in read(files["tables"] / "errors.csv")
        if row["architecture"] == "alexnet" and row["protocol"] == "ten_crop"
    )
    assert row["paper_top1_error_percent"] == "40.7"
    assert (row["paper_comparable"], row["paper_why"]) == ("False", f"other data, {BY_QUICK}")


def published(monkeypatch: pytest.MonkeyPatch, protocol: str, networks: str = "alexnet", training: str = ""):
    card = Card(title="ImageNet", licence="", address="", papers_data="ILSVRC-2012 val")
    monkeypatch.setattr(papers, "data_card", lambda label: card)
    return papers.published({"networks": networks, "dataset": "imagenet", "protocol": protocol}, training)


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


def test_a_papers_error_of_another_training_is_not_comparable(monkeypatch: pytest.MonkeyPatch) -> None:
    found = published(monkeypatch, "ten_crop", training=BY_QUICK)
    assert (found.comparable, found.why) == (False, BY_QUICK)


def test_an_ensembles_error_is_compared_with_that_of_as_many_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    five = published(monkeypatch, "ten_crop", "5 alexnet")
    assert (five.top1_error_percent, five.comparable, five.why) == (38.1, True, "")
    two = published(monkeypatch, "ten_crop", "2 alexnet")
    assert (two.comparable, two.why) == (False, "another number of networks")
    assert published(monkeypatch, "ten_crop", "alexnet + googlenet") is None


def test_a_persons_own_images_have_no_card() -> None:
    assert papers.data_card("my_images") is None


def test_the_summary_names_the_terms_of_the_data(files: dict[str, Path]) -> None:
    html = files["report"].read_text(encoding="utf-8")
    assert "Terms of the data: CC BY 4.0 (https://archive.ics.uci.edu/dataset/80)." in html


def test_the_table_holds_intervals_beside_errors(files: dict[str, Path]) -> None:
    row = read(files["tables"] / "errors.csv")[0]
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
    written = [files["report"], *sorted(files["tables"].iterdir()), *sorted(files["figures"].iterdir())]
    assert len(written) == 1 + 10 + 7
    first = [path.read_bytes() for path in written]
    monkeypatch.chdir(folder)
    make(folder, fake_results.data_spec(*members))
    assert [path.read_bytes() for path in written] == first


def test_runs_that_have_no_scores_stop_the_report_by_name(
    files: dict[str, Path], folder: Path, members: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    spec = fake_results.data_spec(*members, fake_results.run("googlenet"))
    names = [f"--{name}={files[name]}" for name in ("scores", "curves", "report", "tables", "figures")]
    with pytest.raises(ValueError, match=r"scores\.csv lacks digits/googlenet/"):
        report.main(report.arguments().parse_args(["--spec", spec, "--packed=none", *names]))


@pytest.mark.usefixtures("no_figures")
def test_a_partial_report_names_the_missing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done, running = fake_results.run(swept={"learning_rate": 0.1}), fake_results.run(swept={"learning_rate": 0.2})
    fake_results.write_run(done)
    found = make(tmp_path, fake_results.data_spec(done, running, swept=["learning_rate"]), "--partial")
    html = found["report"].read_text(encoding="utf-8")
    assert "Not in this report" in html
    assert running.name in html


@pytest.mark.usefixtures("no_figures")
def test_classes_too_few_for_top_5_leave_a_dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = fake_results.run()
    fake_results.write_run(run)
    sha256 = json.loads((Path("results/runs") / run.name / "weights.json").read_text())["weights_sha256"]
    for protocol in ("single_crop", "ten_crop"):
        fake_results.write_prediction(run, protocol, sha256, fake_results.probabilities(num_classes=3 + 1))
    found = make(tmp_path, fake_results.data_spec(run))
    assert "nan" not in found["report"].read_text(encoding="utf-8")
    assert {row["top5_error_percent"] for row in read(found["tables"] / "errors.csv")} == {""}


@pytest.mark.usefixtures("no_figures")
def test_ensembles_stand_in_the_page_and_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(score_runs.mlflow_runs, "open_ensemble", lambda *given: None)
    members = [fake_results.run("alexnet", seed) for seed in (0, 1)]
    for run in members:
        fake_results.write_run(run)
    found = make(tmp_path, fake_results.data_spec(*members, ensembles=[fake_results.ensemble("both", *members)]))
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", found["report"].read_text(encoding="utf-8")))
    assert "2 runs and 1 ensemble by recipe quick" in text
    assert "both 2 alexnet" in text
    assert "Training, all runs 2 min 46 s" in text.replace("\u00a0", " ")  # 2 x 83.25 s: an ensemble trains nothing
    assert [row["seed"] for row in read(found["tables"] / "errors.csv")] == ["0", "0", "1", "1", "", ""]


@pytest.mark.usefixtures("no_figures")
def test_a_run_that_reports_its_best_epoch_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    best = fake_results.run("alexnet", swept={"report_epoch": "best", "validation_fraction": 0.1})
    plain = fake_results.run("resnet18")
    for run in (best, plain):
        fake_results.write_run(run)
    path = Path("results/runs") / best.name / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"reported_epoch": 2}))
    html = make(tmp_path, fake_results.data_spec(best, plain))["report"].read_text(encoding="utf-8")
    assert "(report_epoch: best): alexnet (epoch 2 of 3).</p>" in html
    assert "report_epoch" not in make(tmp_path, fake_results.data_spec(plain))["report"].read_text(encoding="utf-8")


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("fractions", "said"),
    [
        ((0.0, 0.0), "<strong>Validation: on the test split</strong>, where the recipe holds out no training images"),
        ((0.1, 0.0), "<strong>Validation of resnet18: on the test split</strong>"),
        ((0.1, 0.1), ""),
    ],
)
def test_curves_of_the_test_split_are_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fractions: tuple[float, float], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    given = zip(("alexnet", "resnet18"), fractions, strict=True)
    runs = [fake_results.run(name, swept={"validation_fraction": part} if part else {}) for name, part in given]
    for run in runs:
        fake_results.write_run(run)
    html = make(tmp_path, fake_results.data_spec(*runs))["report"].read_text(encoding="utf-8")
    assert said in html
    assert ("on the test split" in html) is bool(said)


@pytest.mark.usefixtures("no_figures")
def test_a_recipe_that_watched_the_test_images_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    watched = fake_results.run("alexnet", swept={"schedule": "plateau", "monitor": "test"})
    plain = fake_results.run("resnet18")
    for run in (watched, plain):
        fake_results.write_run(run)
    html = make(tmp_path, fake_results.data_spec(watched, plain))["report"].read_text(encoding="utf-8")
    assert "<dt>Chosen by test images</dt><dd>alexnet: the recipe lowers" in html
    assert "Chosen by" not in make(tmp_path, fake_results.data_spec(plain))["report"].read_text(encoding="utf-8")


def test_a_trainings_difference_from_its_papers_is_told_in_a_line() -> None:
    assert papers.training_differs(info_of(fake_results.run("alexnet"))) == BY_QUICK
    by_paper = resolve_recipe("paper", "alexnet", {}, "digits").model_dump(exclude_defaults=True)
    assert papers.training_differs(info_of(fake_results.run("alexnet", swept=by_paper), "paper")) == ""
    shorter = by_paper | {"epochs": 3, "flip": False}
    expected = "the paper's recipe but for epochs, flip"
    assert papers.training_differs(info_of(fake_results.run("alexnet", swept=shorter), "alexnet")) == expected


def info_of(run, recipe_name: str = "quick") -> RunInfo:
    identity = {"key": specs.key8(run.spec), "spec": json.loads(specs.specification(run.spec))}
    return RunInfo.model_validate(identity | fake_results.facts(run) | {"recipe_name": recipe_name})


@pytest.mark.usefixtures("no_figures")
def test_the_hardest_images_stand_in_the_page_with_their_guesses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = fake_results.run("alexnet")
    fake_results.write_run(run, wrong={"single_crop": [5, 2], "ten_crop": []})
    pack_images(tmp_path / "packed")
    found = make(tmp_path, fake_results.data_spec(run))
    rows = read(found["tables"] / "hardest.csv")
    assert [row["image"] for row in rows[:3]] == ["1/2.png", "2/5.png", "0/0.png"]
    assert [rows[0][key] for key in ("label", "probability", "guess1", "probability1")] == ["1", "0.01", "0", "0.06"]
    for text in (found["report"].read_text(encoding="utf-8"), (found["figures"] / "hardest.svg").read_text()):
        assert text.count("data:image/jpeg;base64,") == 8
        assert text.index("1/2.png") < text.index("2/5.png") < text.index("0/0.png")
    (found["report"].parents[1] / "packed/val.beton").unlink()
    html = make(tmp_path, fake_results.data_spec(run))["report"].read_text(encoding="utf-8")
    assert "data:image" not in html
    assert "The hardest images are not shown" in html


def pack_images(folder: Path) -> None:
    """Eight grey images of 300 x 200, the test split's names."""
    samples = []
    for i, label in enumerate(fake_results.LABELS):
        content = io.BytesIO()
        Image.new("RGB", (300, 200), (30 * i, 30 * i, 30 * i)).save(content, "JPEG")
        path = folder / f"{label}/{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.getvalue())
        samples.append(Sample("val", str(label), f"{label}/{i}.png", f"{label}/{i}.png", 0, len(content.getvalue())))
    labels = {str(i): i for i in range(4)}
    pack(samples, labels, folder, specs.FormSpec(data="t"), folder / "val.beton", 1)
    lines = [f"{i},{sample.name},{sample.label_name},,300,200" for i, sample in enumerate(samples)]
    (folder / "val.images.csv").write_text("\n".join(["index,name,label,label_name,width,height", *lines]) + "\n")


def test_times_are_of_the_runs_that_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = "s\th:m:s\tmax_rss\tcpu_time\n{}\t0:00:01\t{}\t{}\n"
    for name, values in {
        "score": (1.5, 80.0, 1.2), "train/digits/a/quick/seed=0-0a": (60.0, 900.25, 90.0), "acquire": (0.1, "NA", "NA"),
        "train/digits/b/quick/seed=0-0b": (5, 5, 5), "predict/digits/a/quick/seed=0-0a/ten_crop": (3.0, 700, 4),
        "report": (9, 9, 9),
    }.items():  # fmt: skip
        path = inputs.BENCHMARKS / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(line.format(*values))
    found = list(inputs.find_times(["digits/a/quick/seed=0-0a"]))
    assert [(job["stage"], job["seconds"], job["cpu_seconds"], job["memory_mb"]) for job in found] == [
        ("acquire", 0.1, None, None), ("train", 60.0, 90.0, 900.25), ("predict", 3.0, 4.0, 700.0),
        ("score", 1.5, 1.2, 80.0),
    ]  # fmt: skip
    assert [job["run"] for job in found] == [None, *["digits/a/quick/seed=0-0a"] * 2, None]


@pytest.mark.usefixtures("no_figures")
def test_inspections_of_networks_are_shown_as_they_were_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = fake_results.run("alexnet")
    fake_results.write_run(run)
    folder = run_files.INSPECTED / run.name
    folder.mkdir(parents=True)
    for name in ("kernels.png", "t0.jpg", "n0.jpg"):
        (folder / name).write_bytes(name.encode())
    near = {"test": "t0.jpg", "label": "a <rose>", "neighbours": [{"image": "n0.jpg", "label": "tulip"}]}
    row = {"image": "t0.jpg", "map": "kernels.png", "label": "a rose", "lowest_percent": 2.4, "highest_percent": 98.6}
    found = {"kernels": "kernels.png", "nearest": [near], "nearest_images": 2000, "occlusion": [row]}
    (folder / "inspect.json").write_text(json.dumps(found))
    html = make(tmp_path, fake_results.data_spec(run))["report"].read_text(encoding="utf-8")
    assert '<img src="data:image/png;base64,a2VybmVscy5wbmc=" alt="first-layer kernels">' in html
    assert '<img src="data:image/jpeg;base64,dDAuanBn" alt=""><figcaption>a &lt;rose&gt;</figcaption>' in html
    assert '<img src="data:image/jpeg;base64,bjAuanBn" alt=""><figcaption>tulip</figcaption>' in html
    assert "Nearest of 2,000 training images" in html
    assert 'base64,a2VybmVscy5wbmc=" alt=""><figcaption>a rose: 2 to 99 %</figcaption>' in html
    assert "Saliency of pixels" not in html  # nothing is left of it
