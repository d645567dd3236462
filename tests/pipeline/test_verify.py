"""After a pull: what is not what params.yaml asks for goes, the rest stays."""

import hashlib
import json
from pathlib import Path

import fake_results
import pytest
import records

from ilsvrc.artifacts import run_files
from ilsvrc.config import packed_formats, params, runs, specs
from ilsvrc.evaluation import prediction_file, predictions
from ilsvrc.pipeline import verify, wiring

BOOK = """
dataset: digits
architectures: [alexnet, resnet18]
recipe: quick
protocols: [single_crop, ten_crop]
"""
BYTES = b"packed"


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[runs.Run]:
    """Two complete runs and the packed data they were trained and tested on."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(BOOK)
    named = runs.expand(params.load())
    content = hashlib.sha256(BYTES).hexdigest()
    monkeypatch.setattr(fake_results, "MANIFEST_SHA256", content)
    for run in named:
        fake_results.write_run(run)
        edit(run_files.RUNS / run.name / "weights.json", manifest_sha256=content)
    form = named[0].spec.form
    folder = run_files.PACKED / "digits" / packed_formats.form_name(form)
    folder.mkdir(parents=True)
    for split in ("train", "val"):
        manifest = records.manifest(spec=form, split=split, content_sha256=content)
        manifest.write(folder / f"{split}.manifest.json")
        (folder / f"{split}.beton").write_bytes(BYTES)
        (folder / f"{split}.images.csv").write_text("index,name\n")
    return named


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def run_verify() -> list[str]:
    """Runs it; a line for each file that it removed, and its text."""
    result = verify.verify(verify.VerifyJob())
    return [*(f"removed {path}: {why}" for path, why in result.removed), verify.as_text(result)]


def everything() -> set[Path]:
    return {path for path in Path().rglob("*") if path.is_file() and "work" not in path.parts}


def test_what_is_as_it_should_be_stays(named: list) -> None:
    before = everything()
    assert run_verify()[-1].startswith("verified: 2 of 2 runs of params.yaml are here")
    assert everything() == before


def test_runs_that_were_never_made_are_no_fault(named: list) -> None:
    Path("params.yaml").write_text(BOOK.replace("[alexnet, ", "[vgg_a, alexnet, "))
    assert run_verify()[-1].startswith("verified: 2 of 3 runs")


@pytest.mark.parametrize("file", ["weights.json", "run.json"])
def test_a_run_of_another_specification_goes_with_its_predictions(file: str, named: list) -> None:
    folder = run_files.RUNS / named[0].name
    edit(folder / file, spec={"seed": 99})
    lines = run_verify()
    assert lines[0] == f"removed {folder}: {file} was made from another specification"
    assert not folder.exists()
    assert predictions.missing(named[0].name, ["single_crop", "ten_crop"])[-2:] == [
        str(prediction_file.prediction_file(named[0].name, protocol)) for protocol in ("single_crop", "ten_crop")
    ]
    assert predictions.missing(named[1].name, ["single_crop", "ten_crop"]) == []


def test_weights_with_other_bytes_go(named: list) -> None:
    (run_files.RUNS / named[0].name / "weights.safetensors").write_bytes(b"other")
    assert "the weights' bytes" in run_verify()[0]
    assert not (run_files.RUNS / named[0].name).exists()


@pytest.mark.parametrize("file", run_files.RUN_FILES)
def test_a_run_with_a_missing_file_goes(file: str, named: list) -> None:
    (run_files.RUNS / named[0].name / file).unlink()
    assert f"{file}" in run_verify()[0]
    assert not (run_files.RUNS / named[0].name).exists()


def test_a_run_trained_on_other_data_goes(named: list) -> None:
    edit(run_files.RUNS / named[1].name / "weights.json", manifest_sha256="0" * 64)
    assert "trained on other data" in run_verify()[0]
    assert not (run_files.RUNS / named[1].name).exists()


def test_damaged_packed_data_goes_with_its_small_files(named: list) -> None:
    folder = run_files.PACKED / "digits" / packed_formats.form_name(named[0].spec.form)
    (folder / "train.beton").write_bytes(b"damaged")
    run_verify()
    assert sorted(path.name for path in folder.iterdir()) == ["val.beton", "val.images.csv", "val.manifest.json"]
    assert (run_files.RUNS / named[0].name).exists()


def test_a_prediction_by_other_weights_goes_alone(named: list) -> None:
    fake_results.write_prediction(named[0], "ten_crop", "0" * 64, fake_results.probabilities())
    before, gone = everything(), prediction_file.prediction_file(named[0].name, "ten_crop")
    assert "weights_sha256" in run_verify()[0]
    assert everything() == before - {gone}


def test_half_a_prediction_goes(named: list) -> None:
    path = prediction_file.prediction_file(named[0].name, "ten_crop")
    path.write_bytes(path.read_bytes()[:300])
    assert "no complete prediction" in run_verify()[0]
    assert not path.exists()


def test_costs_of_another_specification_or_of_other_weights_go(named: list) -> None:
    Path("params.yaml").write_text(f"{BOOK}costs: [float32, int8]\n")
    measured = wiring.Pipeline(params.load()).costs
    for path, spec in measured.forms.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps({"spec": json.loads(specs.specification(spec))}))
    for run, path in measured.quantized.items():
        weights = json.loads((run_files.RUNS / run / "weights.json").read_text())
        Path(path).parent.mkdir(parents=True)
        Path(path).write_text(json.dumps({"weights_sha256": weights["weights_sha256"]}))
    assert run_verify()[0].startswith("verified: 2 of 2")
    form, int8 = Path(next(iter(measured.forms))), Path(next(iter(measured.quantized.values())))
    edit(form, spec={"architecture": "other"})
    edit(int8, weights_sha256="0" * 64)
    lines = run_verify()
    assert lines[:2] == [
        f"removed {form}: measured of something else",
        f"removed {int8}: measured with other weights than the run's",
    ]
    assert [Path(path).exists() for path in measured.files] == [False, True, False, True]


def test_what_looked_into_networks_with_other_weights_goes_with_its_pictures(named: list) -> None:
    weights = json.loads((run_files.RUNS / named[0].name / "weights.json").read_text())
    folder = run_files.INSPECTED / named[0].name
    (folder / "pictures").mkdir(parents=True)
    found = {"weights_sha256": weights["weights_sha256"], "nearest_of": 2000}
    (folder / "inspect.json").write_text(json.dumps(found))
    assert run_verify()[0].startswith("verified: 2 of 2")
    edit(folder / "inspect.json", nearest_of=7)
    assert run_verify()[0] == f"removed {folder}: nearest_of is 7, and params.yaml asks for 2000"
    assert not folder.exists()


@pytest.mark.parametrize("same", [True, False])
def test_scores_of_other_runs_go_with_all_that_is_made_from_them(same: bool, named: list) -> None:
    scored = [f"{run.name},{protocol}" for run in named for protocol in ("single_crop", "ten_crop")]
    Path("results/scores.csv").write_text("\n".join(["run,protocol", *(scored if same else scored[:-1]), ""]))
    Path("results/report.html").write_text("report")
    Path("results/tables").mkdir()
    Path("results/tables/errors.csv").write_text("table")
    run_verify()
    made = [Path("results") / name for name in ("scores.csv", "report.html", "tables/errors.csv")]
    assert [path.exists() for path in made] == [same] * 3


def test_scores_of_the_ensembles_that_params_yaml_names_stay(named: list) -> None:
    Path("params.yaml").write_text(BOOK + "ensembles: {both: ['*'], all: {members: ['*'], together: true}}\n")
    scored = [f"{run.name},{protocol}" for run in named for protocol in ("single_crop", "ten_crop")]
    scored += ["ensemble/both,single_crop", "ensemble/both,ten_crop", "ensemble/all,single_crop+ten_crop"]
    Path("results/scores.csv").write_text("\n".join(["run,protocol", *scored, ""]))
    run_verify()
    assert Path("results/scores.csv").exists()


def test_a_removal_is_said_at_once_also_where_a_later_check_fails(
    named: list, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(flow: object) -> None:
        raise KeyboardInterrupt

    gone = run_files.RUNS / named[0].name
    edit(gone / "run.json", spec={"seed": 99})
    monkeypatch.setattr(verify, "inspection_faults", fail)
    with pytest.raises(KeyboardInterrupt):
        verify.verify(verify.VerifyJob())
    assert f"removed {gone}: run.json was made from another specification" in capsys.readouterr().err.splitlines()


def test_removed_files_are_listed_for_programs(named: list) -> None:
    edit(run_files.RUNS / named[0].name / "run.json", spec={"seed": 99})
    told = verify.as_json(verify.verify(verify.VerifyJob()))
    assert (told["params"], told["present"], told["named"]) == ("params.yaml", 1, 2)
    assert told["removed"][0] == {
        "path": str(run_files.RUNS / named[0].name),
        "why": "run.json was made from another specification",
    }


def test_what_params_yaml_does_not_name_is_left_alone(named: list) -> None:
    other = fake_results.run("googlenet")
    fake_results.write_run(other)
    edit(run_files.RUNS / other.name / "weights.json", spec={})
    run_verify()
    assert (run_files.RUNS / other.name).exists()
