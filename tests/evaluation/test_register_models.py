"""Trained networks in MLflow's registry: which are there, which is the best, and what one says of a photograph."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import fake_results
import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from ilsvrc.artifacts import run_files
from ilsvrc.config.registry import architecture
from ilsvrc.evaluation import classify, prediction_file, predictions, register_models, served_model
from ilsvrc.runtime.files import read_json
from ilsvrc.stages import report, score
from ilsvrc.tracking import mlflow_runs, mlflow_store, registry

NAME = "digits.resnet20_cifar"
PROTOCOLS = {"single_crop": "0 1", "ten_crop": ""}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of two seeds that MLflow knows, the second the better one."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(mlflow_store, "_CONNECTED", {})
        patch.setattr(mlflow_runs, "_LEFT_ALONE", {"until": 0.0})
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for seed, wrong in enumerate(([0, 1], [0])):
            finished(seed, wrong)
        Image.fromarray(noise()).save("photograph.jpg", quality=90)
        run_report(run_score(0, 1))
        yield folder


@pytest.fixture(autouse=True)
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(mlflow_runs, "_LEFT_ALONE", {"until": 0.0})
    yield
    import mlflow  # not before `tracking` does, which quiets it

    mlflow.set_tracking_uri(None)  # which `load` sets for the process, and for those that it starts


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (100, 133, 3), dtype=np.uint8)


def network(seed: int):
    return fake_results.run("resnet20_cifar", seed)


def finished(seed: int, wrong: list[int]) -> None:
    """A run with true weights, and its run in MLflow."""
    run = network(seed)
    fake_results.write_run(run, wrong={"single_crop": wrong, "ten_crop": []})
    train_anew(seed)
    tracker = mlflow_runs.Tracker(run.name, Path("work") / run_files.run_key(run.name) / "mlflow_run", {}, {})
    tracker.open()
    tracker.finish([], {})


def train_anew(seed: int, torch_seed: int | None = None) -> None:
    """Other weights in the run's folder."""
    torch.manual_seed(seed if torch_seed is None else torch_seed)
    made = architecture("resnet20_cifar")(num_classes=6, input_px=80)
    at = run_files.RUNS / network(seed).name
    safetensors.torch.save_file(made.state_dict(), at / "weights.safetensors")
    sha256 = hashlib.sha256((at / "weights.safetensors").read_bytes()).hexdigest()
    weights = read_json(at / "weights.json") | {"weights_sha256": sha256}
    (at / "weights.json").write_text(json.dumps(weights))
    for protocol in PROTOCOLS:
        path = prediction_file.prediction_file(network(seed).name, protocol)
        found = predictions.read_prediction(path)
        predictions.write_prediction(path, found._replace(spec=found.spec | {"weights_sha256": sha256}))


def run_score(*seeds: int) -> list[str]:
    files = fake_results.at(Path.cwd())
    given = ["--spec", fake_results.data_spec(*map(network, seeds)), "--scores", str(files["scores"])]
    given += ["--curves", str(files["curves"]), "--tables", str(files["tables"])]
    score.main(score.arguments().parse_args([*given, "--metrics", str(files["metrics"])]))
    return given


def run_report(given: list[str]) -> None:
    files = fake_results.at(Path.cwd())
    places = [f"--{name}={files[name]}" for name in ("report", "figures")]
    report.main(report.arguments().parse_args([*given, *places, "--packed", "packed"]))


def versions() -> dict[str, str]:
    """Run of each version."""
    client, _ = mlflow_store.connect()
    return {str(v.version): v.tags["run"] for v in client.search_model_versions(f"name = '{NAME}'")}


def best() -> str:
    client, _ = mlflow_store.connect()
    return client.get_model_version_by_alias(NAME, registry.BEST).tags["run"]


def test_a_version_a_run_and_the_alias_at_the_lowest_error() -> None:
    assert versions() == {"1": network(0).name, "2": network(1).name}
    assert best() == network(1).name  # 1 of 8 wrong by single_crop, the first protocol, not 2
    client, _ = mlflow_store.connect()
    version = client.get_model_version(NAME, "1")
    assert version.description == f"{network(0).name}: Top-1 error 25.00 % by single_crop, n = 8"
    assert version.run_id == register_models.mlflow_run(network(0).name)
    assert (version.tags["value"], version.tags["measure"]) == ("25.0", "top1_error_percent")


def test_scoring_again_registers_nothing_again() -> None:
    before = versions()
    run_score(0, 1)
    assert versions() == before


def test_the_alias_stays_at_a_better_run_of_which_nothing_is_asked_now() -> None:
    run_score(0)
    assert best() == network(1).name


def load(store: Path = Path("mlflow.db")):
    import mlflow.pyfunc

    mlflow.set_tracking_uri(f"sqlite:///{store.absolute()}")
    return mlflow.pyfunc.load_model(f"models:/{NAME}@best")


def test_a_model_has_a_signature_an_example_that_it_takes_and_no_weights() -> None:
    model = load()
    (pictures,) = model.metadata.get_input_schema().inputs
    assert (pictures.type, pictures.shape) == (np.uint8, (-1, -1, -1, 3))
    (outputs,) = model.metadata.get_output_schema().inputs
    assert (outputs.type, outputs.shape) == (np.float32, (-1, 6))
    example = model.input_example
    assert example.shape == (1, 32, 32, 3)
    assert model.predict(example.astype(np.uint8)).sum(axis=1).iloc[0] == pytest.approx(1)
    stored = [path for path in Path("mlartifacts/models").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in stored) < 200_000


def test_one_photograph_is_predicted_as_classify_does_it() -> None:
    model = load()
    pixels = np.asarray(Image.open("photograph.jpg").convert("RGB"))
    found = model.predict(pixels[None])
    assert found.shape == (1, 6)
    run = network(1).name
    (listed,) = classify.as_json(classify.classify(classify.ClassifyJob(run, [Path("photograph.jpg")])))
    first = found.iloc[0].nlargest(5)
    assert list(first.index) == [guess["class"] for guess in listed["guesses"]]
    assert list(first) == pytest.approx([guess["probability"] for guess in listed["guesses"]], rel=1e-5)
    of_path = model.get_raw_model().predict("photograph.jpg")
    assert np.array_equal(of_path, found)


def test_a_protocol_may_be_named() -> None:
    model, pixels = load(), noise()[None]
    assert not np.array_equal(model.predict(pixels), model.predict(pixels, params={"protocol": "ten_crop"}))


def test_it_loads_in_another_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Path("mlflow.db").absolute()
    monkeypatch.chdir(tmp_path)
    assert load(store).predict(np.zeros((2, 90, 120, 3), np.uint8)).shape == (2, 6)


def test_weights_that_are_not_here_are_said_to_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pointer = {"folder": "/nowhere", "run": network(0).name, "weights_sha256": "0a", "protocol": "single_crop"}
    with pytest.raises(ValueError, match=r"weights of digits/.* are not in /nowhere, .*make pull"):
        served_model.Served(pointer)


def test_pictures_that_are_not_uint8_are_refused() -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match="uint8"):
        load().predict(noise()[None] / 255)


def test_the_report_and_its_figures_are_artifacts_of_one_run() -> None:
    client, experiment = mlflow_store.connect()
    (run,) = client.search_runs([experiment], "tags.kind = 'report'")
    assert (run.info.run_name, run.info.status) == ("report", "FINISHED")
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["figures", "report.html"]
    figures = [Path(file.path).name for file in client.list_artifacts(run.info.run_id, "figures")]
    assert figures == sorted(path.name for path in Path("results/figures").glob("*.svg"))
    page = client.download_artifacts(run.info.run_id, "report.html")
    assert Path(page).read_bytes() == Path("results/report.html").read_bytes()


def test_nothing_is_registered_of_a_run_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    fake_results.write_run(network(5))
    run_score(5)
    assert not Path("mlflow.db").exists()
    assert "not logged to MLflow" not in capsys.readouterr().err


def test_weights_trained_anew_are_a_new_version_and_the_old_one_is_never_the_best() -> None:
    """Last here: it changes the project."""
    train_anew(1, torch_seed=7)
    with pytest.raises(ValueError, match="holds other weights than those that were registered"):
        load()
    run_score(0, 1)
    client, _ = mlflow_store.connect()
    assert versions() == {"1": network(0).name, "2": network(1).name, "3": network(1).name}
    assert str(client.get_model_version_by_alias(NAME, registry.BEST).version) == "3"
    load()
