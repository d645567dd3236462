"""A trained network in int8: the stage on a few digits."""

import hashlib
import json
from pathlib import Path

import pytest
import small_training
import torch
from safetensors.torch import save_file

from ilsvrc.artifacts import run_files
from ilsvrc.config import registry, specs
from ilsvrc.evaluation.task import MultiLabel
from ilsvrc.profiling import inference, int8_run
from ilsvrc.profiling.cost_files import Int8Costs, TestCosts
from ilsvrc.profiling.timing import Latency
from ilsvrc.stages import int8


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_training.pack_digits(tmp_path_factory.mktemp("packed"), small_training.form())


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(inference, "LATENCY_SECONDS", 0.05)
    monkeypatch.setattr(inference, "WARM_UP_SECONDS", 0.01)
    monkeypatch.setattr(inference, "SEARCH_SECONDS", 0.05)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)


def measured(packed: Path, architecture: str, crop_px: int = 32) -> dict:
    """What the stage says of a network as it starts."""
    run = small_training.run(architecture, crop_px=crop_px)
    folder = run_files.RUNS / run.name
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    network = registry.architecture(architecture)(num_classes=10, input_px=crop_px)
    save_file(network.state_dict(), folder / "weights.safetensors")
    info = {
        "key": specs.key8(run.spec), "spec": json.loads(specs.specification(run.spec)), "crop_px": crop_px,
        "weights_sha256": hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest(),
        "manifest_sha256": "0", "mean": [40.0] * 3, "std": [80.0] * 3,
        "num_classes": 10, "classes": small_training.CLASSES,
    }  # fmt: skip
    (folder / "weights.json").write_text(json.dumps(info))
    given = {
        "run": run.name, "weights": folder / "weights.safetensors", "weights-info": folder / "weights.json",
        "train": packed / "train.beton", "val": packed / "val.beton", "output": "int8.json", "loader": "pillow",
    }  # fmt: skip
    int8.main(int8.arguments().parse_args([f"--{name}={value}" for name, value in given.items()]))
    return json.loads(Path("int8.json").read_text())


def test_a_network_in_int8_has_costs_and_an_error_beside_that_of_float32(packed, capsys):
    found = measured(packed, "resnet20_cifar")
    (tested,) = found["tests"]
    assert (tested["int8_layers"], tested["layers"]) == (20, 20)
    assert tested["num_images"] == 30
    assert tested["protocol"] == "single_crop"
    assert abs(tested["int8_top1_error_percent"] - tested["float32_top1_error_percent"]) <= 20
    assert tested["weight_bytes"] < 0.5 * 4 * 269722
    assert found["device"] == "cpu"
    assert "n = 30" in capsys.readouterr().err


def test_a_network_without_an_int8_form_says_why_and_stops_nothing(packed, capsys):
    found = measured(packed, "fractalnet5_thin_cifar")
    assert found["tests"] == [{"precision": "int8", "why_not": found["tests"][0]["why_not"]}]
    assert "int8 not: " in capsys.readouterr().err


def test_images_are_spread_evenly_over_a_file(packed):
    paths = dict.fromkeys(("weights", "weights_info", "train", "val", "output"), Path())
    job = int8_run.Int8Job(run="r", **paths, threads=1, loader="pillow")
    every, some = (
        torch.cat([labels for _, labels in int8_run.images(job, packed / "val.beton", number, 32)])
        for number in (30, 4)
    )
    assert some.tolist() == every[[0, 10, 19, 29]].tolist()


def test_sets_of_classes_are_judged_by_f2():
    f2 = int8_run.measure_of(MultiLabel(3, ((), (0, 1))))
    logits = torch.tensor([[2.0, -3.0, -3.0], [-3.0, -3.0, -3.0]])
    assert f2.name == "f2"
    assert f2.sum(logits, torch.tensor([1, 0])) == pytest.approx(5 / (8 + 1) + 1)


def test_f2_is_said_in_the_place_of_an_error():
    costs = TestCosts(
        precision="int8", latency=Latency(4.0, 5.0, 6.0, 10), images_per_second=500.0, best_batch=16,
        tried_batches={1: 250.0}, weight_bytes=1, peak_bytes=2, best_batch_peak_bytes=3, joules_an_image=None,
        best_batch_joules_an_image=None,
    )  # fmt: skip
    tested = Int8Costs(
        **dict(costs), int8_layers=2, layers=3, calibration_images=256, int8_f2_percent=77.7, float32_f2_percent=80.0,
        protocol="single_crop", num_images=2,
    )  # fmt: skip
    assert int8_run.text(tested) == "int8 4 ms, 500 images/s in batches of 16, F2 77.7 % (float32 80.0 %), n = 2"
