"""What a loss of power left empty or zeroed is found when jobs are planned, whatever its time says."""

from pathlib import Path

import pytest

from ilsvrc.config import params
from ilsvrc.pipeline import lost_files, wiring

BOOK = """
dataset: digits
architectures: [resnet18]
recipe: quick
protocols: [single_crop]
costs: [float32]
inspect: {nearest_of: 9}
"""
KINDS = {
    "source.json": "data/raw/digits/source.json",
    "index.csv": "data/raw/digits/index.csv",
    "archive": "data/raw/digits/digits.tar",
    "packed file": "data/packed/digits/*/train.beton",
    "manifest": "data/packed/digits/*/val.manifest.json",
    "list of images": "data/packed/digits/*/val.images.csv",
    "mean image": "data/packed/digits/*/train.mean_image.npy",
    "weights": "results/runs/*/*/*/*/weights.safetensors",
    "weights.json": "results/runs/*/*/*/*/weights.json",
    "history.csv": "results/runs/*/*/*/*/history.csv",
    "run.json": "results/runs/*/*/*/*/run.json",
    "costs": "results/costs/*/*.json",
    "inspection": "results/inspect/*/*/*/*/inspect.json",
    "scores": "results/scores.csv",
    "metrics": "results/metrics.json",
    "curves": "results/curves.csv",
    "table": "results/tables/errors.csv",
    "figure": "results/figures/times.svg",
    "report": "results/report.html",
    "record": "work/recorded.json",
}


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> wiring.Pipeline:
    """A pipeline whose files are all there, each with some text."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(BOOK)
    flow = wiring.Pipeline(params.load())
    for path in ("results/tables/errors.csv", "results/figures/times.svg", *lost_files.data(flow), *whole(flow)):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("content of a file\n")
    return flow


def whole(flow: wiring.Pipeline) -> list[str]:
    return [path for path in lost_files.results(flow) if not Path(path).exists()]


def test_whole_files_are_not_lost(flow: wiring.Pipeline) -> None:
    assert lost_files.find(flow) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_an_emptied_or_zeroed_file_of_each_kind_is_found(flow: wiring.Pipeline, kind: str) -> None:
    path = next(Path().glob(KINDS[kind]))

    path.write_bytes(b"")
    assert lost_files.find(flow) == {str(path): "is empty"}

    path.write_bytes(bytes(5000))
    assert lost_files.find(flow) == {str(path): "holds zeros in the place of its content"}


def test_a_lost_record_of_dvc_is_made_again_by_the_rule_whose_marker_tells_of_it(flow: wiring.Pipeline) -> None:
    Path("dvc.lock").write_bytes(b"")
    found = lost_files.find(flow)

    assert found == {"dvc.lock": "is empty", "work/recorded.json": "tells of dvc.lock, which is empty"}
    assert lost_files.repair(found) == ["dvc.lock", "work/recorded.json"]
    assert not Path("dvc.lock").exists()


RUN_KIND, REPORT = "results/runs/*/*/*/*/weights.json", "results/report.html"


@pytest.mark.parametrize(
    ("kind", "asked_for"),
    [
        ("weights", [RUN_KIND]),
        ("history.csv", [RUN_KIND]),
        ("costs", ["results/tables/costs.csv", REPORT]),
        ("inspection", [REPORT]),
        ("metrics", ["results/scores.csv", REPORT]),
        ("table", ["results/scores.csv", REPORT]),
        ("figure", [REPORT]),
        ("record", []),
        ("packed file", []),
    ],
)
def test_with_a_lost_result_goes_what_snakemake_asks_for_so_that_it_is_made_again(
    flow: wiring.Pipeline, kind: str, asked_for: list[str]
) -> None:
    Path("results/tables/costs.csv").write_text("costs\n")
    path = next(Path().glob(KINDS[kind]))
    expected = {path, *(next(Path().glob(pattern)) for pattern in asked_for)}
    there = {each for each in Path().rglob("*") if each.is_file()}
    path.write_bytes(b"")

    removed = lost_files.repair(lost_files.find(flow))

    assert set(map(Path, removed)) == expected
    assert {each for each in Path().rglob("*") if each.is_file()} == there - expected


@pytest.mark.parametrize("end", [".json", ".csv", ".svg", ".html"])
def test_text_whose_end_was_not_written_is_found(end: str, tmp_path: Path) -> None:
    path = tmp_path / f"file{end}"
    path.write_bytes(b"content of the first page" + bytes(4096))

    assert lost_files.fault(str(path)) == "holds zeros in the place of its content"


def test_numbers_may_end_in_zeros(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"\x40\0\0\0\0\0\0\0{}" + bytes(4096))

    assert lost_files.fault(str(path)) == ""


def test_an_inspection_with_a_lost_picture_is_made_again(flow: wiring.Pipeline) -> None:
    inspection = next(Path().glob(KINDS["inspection"]))
    picture = inspection.parent / "pictures" / "val_3.jpg"
    picture.parent.mkdir()
    picture.write_bytes(b"")

    assert lost_files.find(flow) == {str(inspection): f"has a picture, {picture}, that is empty"}


def test_results_are_made_again_at_once_and_data_when_a_job_needs_them() -> None:
    assert lost_files.is_made_at_once("results/scores.csv")
    assert not lost_files.is_made_at_once("data/raw/digits/index.csv")


@pytest.mark.parametrize("path", ["nothing/here.json", "."])
def test_what_is_not_here_or_a_folder_is_not_lost(path: str) -> None:
    assert lost_files.fault(path) == ""
