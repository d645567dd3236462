"""Specifications of measurements: each network at a size once."""

from ilsvrc.config.cost_specs import CostSpec, Step
from ilsvrc.config.params import Params
from ilsvrc.pipeline import wiring


def plan(**changes):
    book = {"dataset": "digits", "architectures": ["resnet18"], "recipe": "quick", "protocols": ["single_crop"]}
    return wiring.Pipeline(Params(**book | changes)).costs


def test_a_network_is_measured_once_whatever_its_runs():
    found = plan(sweep={"learning_rate": [0.1, 0.2], "batch_size": [32, 64]}, seeds=[0, 1])
    (path,) = found.forms
    assert path.startswith("results/costs/digits/resnet18,80px-")
    assert list(found.by_run.values()) == [path] * 8
    step = Step(batch_size=32, batch_norm_group=32)  # the first run's
    assert found.forms[path] == CostSpec(
        architecture="resnet18", crop_px=80, precisions=("float32", "bfloat16"), step=step
    )


def test_what_settles_no_cost_changes_no_file():
    assert plan().forms == plan(training={"epochs": 2, "label_smoothing": 0.1, "learning_rate": 0.3}, seeds=[5]).forms
    assert plan().forms.keys() != plan(training={"optimizer": "adamw"}).forms.keys()
    assert plan().forms.keys() != plan(training={"batch_size": 64}).forms.keys()


def test_sizes_and_architectures_multiply_what_is_measured():
    found = plan(architectures=["resnet18", "alexnet"], sweep={"crop_px": [64, 80]})
    assert sorted(path.split("/")[-1].split("-")[0] for path in found.forms) == [
        "alexnet,64px", "alexnet,80px", "resnet18,64px", "resnet18,80px",
    ]  # fmt: skip


def test_int8_is_measured_with_the_weights_of_a_networks_first_run():
    found = plan(seeds=[3, 4], costs=["int8", "float32"])
    (run,) = found.quantized
    assert "/seed=3-" in run
    assert found.quantized[run] == f"results/costs/{run}/int8.json"
    assert [spec.precisions for spec in found.forms.values()] == [("float32",)]


def test_networks_that_were_not_trained_here_are_measured_at_the_size_that_their_weights_say():
    found = plan(architectures=[], weights={"resnet18_b": ["timm/a1_in1k", "torchvision/DEFAULT"]})
    assert [(spec.crop_px, spec.step) for spec in found.forms.values()] == [(None, None)] * 2
    assert [path.rsplit("-", 1)[0] for path in found.forms] == [
        "results/costs/digits/resnet18_b,timm-a1_in1k",
        "results/costs/digits/resnet18_b,torchvision-IMAGENET1K_V1",
    ]
    assert [name.split("/")[-1] for name in found.weights.values()] == ["weights.json"] * 2
    assert list(found.weights) == list(found.forms)


def test_nothing_is_measured_where_nothing_is_asked_for():
    assert plan(costs=False) == ({}, {}, {}, {})
    assert wiring.Pipeline(Params(dataset="digits", architectures=["resnet18"], recipe="quick",
                                    protocols=["single_crop"], costs=False)).cost_results() == []  # fmt: skip
