"""What a network costs: the stage on a small network, and the table of what it leaves."""

import json
from collections.abc import Iterator
from pathlib import Path

import fake_results
import pandas as pd
import pytest
import torch

from ilsvrc.config import specs
from ilsvrc.config.cost_specs import CostSpec, Step
from ilsvrc.profiling import inference, network, quiet, timing, training_memory
from ilsvrc.stages import cost, cost_table

PRECISIONS = ("float32", "bfloat16")


@pytest.fixture(scope="module", autouse=True)
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Measured in a moment, on one thread, without bfloat16."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("costs"))
        patch.setattr(inference, "LATENCY_SECONDS", 0.05)
        patch.setattr(inference, "WARM_UP_SECONDS", 0.01)
        patch.setattr(inference, "SEARCH_SECONDS", 0.05)
        patch.setattr(training_memory, "STEP_SECONDS", 1e-9)
        patch.setattr(timing, "MAX_SPREAD", float("inf"))  # whatever else runs beside the tests
        patch.setattr(quiet, "is_busy", lambda other_cores: False)
        patch.setattr(network.precision, "has_bfloat16", lambda device: False)
        patch.setattr(torch, "set_num_threads", lambda number: None)
        Path("source.json").write_text(json.dumps({"classes": list("0123456789")}))
        yield


@pytest.fixture(scope="module")
def resnet20(quick: None) -> dict:
    """The file of costs of a small network."""
    return measured()


def measured(**changes):
    step = Step(**{"batch_size": 16, **changes.pop("step", {})})
    spec = CostSpec(
        **{"architecture": "resnet20_cifar", "crop_px": 32, "precisions": PRECISIONS, "step": step} | changes
    )
    words = ["--spec", specs.specification(spec), "--source", "source.json", "--output", "costs/it.json"]
    cost.main(cost.arguments().parse_args(words))
    return json.loads(Path("costs/it.json").read_text())


def test_a_network_is_counted_and_measured_and_the_machine_named(resnet20):
    found = resnet20
    assert (found["parameters"], found["multiply_adds"]) == (269722, 40551040)
    assert found["num_classes"] == 10
    floats, brains = found["tests"]
    assert floats["latency"]["median_ms"] > 0
    assert floats["weight_bytes"] == 4 * (269722 + 2 * 688) + 8 * 19  # parameters; of norms means, variances, counts
    assert floats["peak_bytes"] > floats["weight_bytes"]
    assert floats["spread"] >= 0
    assert floats["other_cores"] >= 0
    assert "busy_machine" not in floats  # is written where it is true
    assert brains == {"precision": "bfloat16", "why_not": "this cpu has no bfloat16 arithmetic: it would be emulated"}
    assert found["training"]["precision"] == "float32"
    assert found["training"]["peak_bytes"] > 3 * floats["weight_bytes"]
    assert found["training"]["extended_from"] == [2, 4]
    assert "cores of" in found["hardware"]
    assert found["spec"]["architecture"] == "resnet20_cifar"


def test_adam_holds_one_state_more_than_momentum(resnet20):
    sgd = resnet20["training"]["peak_bytes"]
    adam = measured(precisions=(), step={"optimizer": "adamw"})["training"]["peak_bytes"]
    assert adam - sgd == pytest.approx(4 * 269722, rel=0.01)


def test_a_network_that_cannot_be_trained_here_says_why_and_stops_nothing(capsys):
    found = measured(precisions=(), step={"precision": "float16"})
    assert "float16 wants a GPU" in found["training"]["why_not"]
    assert found["tests"] == []
    assert "measured resnet20_cifar at 32 px: " in capsys.readouterr().err


def test_the_table_joins_costs_and_errors(resnet20, capsys):
    run = fake_results.run("resnet20_cifar")
    file = Path("results/costs/digits/resnet20_cifar,32px-0a1b2c3d.json")
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(resnet20))
    row = {"run": run.name, "architecture": "resnet20_cifar", "recipe": "quick", "seed": 0, "top1_error_percent": 7.0}
    pd.DataFrame([{**row, "protocol": name} for name in ("ten_crop", "single_crop")]).to_csv("scores.csv")
    spec = {"runs": {run.name: str(file)}, "int8": {}, "protocols": ["ten_crop", "single_crop"]}
    at = {name: f"results/{name}.out" for name in ("table", "points", "figure")}
    words = [f"--{name}={path}" for name, path in at.items()]
    cost_table.main(cost_table.arguments().parse_args(["--spec", json.dumps(spec), "--scores", "scores.csv", *words]))
    table, points = pd.read_csv(at["table"]), pd.read_csv(at["points"])
    assert table["precision"].tolist() == list(PRECISIONS)
    assert points[["precision", "protocol", "top1_error_percent"]].values.tolist() == [["float32", "single_crop", 7.0]]
    assert points["on_front_latency_ms"].tolist() == [True]
    assert Path(at["figure"]).read_text().startswith("<?xml")
    assert "costs of 1 networks" in capsys.readouterr().err
