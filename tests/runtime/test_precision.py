from pathlib import Path

import pytest
import torch
from torch import nn

from ilsvrc.runtime import precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx2 avx512f avx512_bf16", "bfloat16"), ("fpu amx_bf16", "bfloat16"), ("fpu avx2 avx512f", "float32")],
)
def test_auto_is_bfloat16_where_the_processor_multiplies_it(flags, expected, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(f"flags\t\t: {flags}\n")
    monkeypatch.setattr(precision, "Path", lambda path: tmp_path / Path(path).name)
    assert precision.choose("auto", CPU) == expected


@pytest.mark.parametrize(
    ("asked", "device"), [*((name, "cuda") for name in precision.PRECISIONS), ("bfloat16", "cpu"), ("float64", "cpu")]
)
def test_what_is_asked_for_is_taken(asked, device):
    assert precision.choose(asked, torch.device(device)) == asked


def test_float16_is_refused_on_a_processor_with_what_it_has():
    with pytest.raises(ValueError, match="precision = float16 wants a GPU; set precision: bfloat16"):
        precision.choose("float16", CPU)


def test_an_unknown_precision_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match="'half'; it can be auto, float32, bfloat16, float16, float64"):
        precision.choose("half", CPU)


@pytest.mark.parametrize(
    ("asked", "weights", "computed"),
    [
        ("float32", torch.float32, torch.float32),
        ("bfloat16", torch.float32, torch.bfloat16),
        ("float16", torch.float32, torch.float16),
        ("float64", torch.float64, torch.float64),
    ],
)
def test_weights_stay_wide_while_the_layers_compute_in_the_precision(asked, weights, computed):
    layer = nn.Linear(2, 2).to(precision.weights_dtype(asked))
    with precision.autocast(asked, CPU)():
        found = layer(torch.zeros(1, 2, dtype=weights))
    assert (layer.weight.dtype, found.dtype) == (weights, computed)


class Scaled:
    """A weight whose gradient is given, under a loss scale."""

    def __init__(self) -> None:
        self.weight = nn.Parameter(torch.tensor([1.0]))
        self.optimizer = torch.optim.SGD([self.weight], lr=0.5)
        self.scale = precision.LossScale("cpu")

    def step(self, gradient: float) -> tuple[float, float]:
        """The gradient as it is clipped, and the weight after the step."""
        self.scale((self.weight * gradient).sum()).backward()
        self.scale.unscale(self.optimizer)
        found = self.weight.grad.item()
        self.scale.step(self.optimizer)
        self.optimizer.zero_grad()
        return found, self.weight.item()

    @property
    def factor(self) -> float:
        return self.scale(torch.tensor([1.0])).item()


def test_the_scale_is_taken_off_before_the_step():
    assert Scaled().step(3.0) == (3.0, -0.5)


def test_a_step_whose_gradients_are_not_finite_is_left_out_and_halves_the_scale():
    made = Scaled()
    assert made.factor == 65536
    assert made.step(float("inf"))[1] == 1.0
    assert made.factor == 32768
    assert made.step(1.0)[1] == 0.5


def test_the_scale_doubles_after_2000_steps_that_were_finite():
    made = Scaled()
    for _ in range(1999):
        made.step(0.0)
    assert made.factor == 65536
    made.step(0.0)
    assert made.factor == 131072


def test_a_scale_goes_on_exactly_as_if_it_had_not_stopped(tmp_path):
    made, resumed = Scaled(), Scaled()
    made.step(float("nan"))
    for _ in range(1500):
        made.step(0.0)
    torch.save(made.scale.state_dict(), tmp_path / "state.pt")
    resumed.scale.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for _ in range(499):
        made.step(0.0), resumed.step(0.0)
    assert made.factor == resumed.factor == 32768
    made.step(0.0), resumed.step(0.0)
    assert made.factor == resumed.factor == 65536
