"""What is easily wrong where parts of training meet."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ilsvrc import plugins
from ilsvrc.training import start


def vgg(name: str) -> nn.Module:
    torch.manual_seed(len(name))
    network = plugins.architecture(name)(num_classes=4, input_px=32)
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    return network


@pytest.mark.parametrize("name", ["vgg_b", "vgg_d"])
def test_deeper_vggs_take_the_first_convolutions_of_a_file_whose_names_are_in_another_order(name: str, tmp_path: Path):
    a, deeper = vgg("vgg_a"), vgg(name)
    save_file({key: value.contiguous() for key, value in a.state_dict().items()}, tmp_path / "a.safetensors")
    given = start.read_weights(tmp_path / "a.safetensors")
    assert list(given) != list(a.state_dict())
    start.take_over(deeper, given, "vgg", set())
    first, taken = ([m for m in net.modules() if isinstance(m, nn.Conv2d)] for net in (a, deeper))
    at = [[i for i, conv in enumerate(taken) if conv.weight.equal(own.weight)] for own in first[:5]]
    assert at == [[0], [2], [4], [5], []]
