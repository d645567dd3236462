from pathlib import Path

import pytest
import torch
from torch import nn

from ilsvrc.training import precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx2 avx512f avx512_bf16", "bfloat16"), ("fpu amx_bf16", "bfloat16"), ("fpu avx2 avx512f", "float32")],
)
def test_auto_is_bfloat16_where_the_processor_multiplies_it(flags, expected, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(f"flags\t\t: {flags}\n")
    monkeypatch.setattr(precision, "Path", lambda path: tmp_path / Path(path).name)
    assert precision.choose("auto", CPU) == expected


@pytest.mark.parametrize("asked", precision.PRECISIONS)
def test_what_is_asked_for_is_taken(asked):
    assert precision.choose(asked, CPU) == asked


def test_an_unknown_precision_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match="'half'; it can be auto, float32, bfloat16, float64"):
        precision.choose("half", CPU)


@pytest.mark.parametrize(
    ("asked", "weights", "computed"),
    [
        ("float32", torch.float32, torch.float32),
        ("bfloat16", torch.float32, torch.bfloat16),
        ("float64", torch.float64, torch.float64),
    ],
)
def test_weights_stay_wide_while_the_layers_compute_in_the_precision(asked, weights, computed):
    layer = nn.Linear(2, 2).to(precision.weights_dtype(asked))
    with precision.autocast(asked, CPU)():
        found = layer(torch.zeros(1, 2, dtype=weights))
    assert (layer.weight.dtype, found.dtype) == (weights, computed)
