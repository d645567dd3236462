"""What is easily wrong where parts of training meet."""

from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import save_file
from torch import nn

from ilsvrc.config import registry
from ilsvrc.config.recipe import Recipe
from ilsvrc.models.pretrained import read_weights
from ilsvrc.training import build, loop, outputs, transfer
from ilsvrc.training.weight_averaging import WeightAverage


def vgg(name: str) -> nn.Module:
    torch.manual_seed(len(name))
    network = registry.architecture(name)(num_classes=4, input_px=32)
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    return network


@pytest.mark.parametrize("name", ["vgg_b", "vgg_d"])
def test_deeper_vggs_take_the_first_convolutions_of_a_file_whose_names_are_in_another_order(name: str, tmp_path: Path):
    a, deeper = vgg("vgg_a"), vgg(name)
    save_file({key: value.contiguous() for key, value in a.state_dict().items()}, tmp_path / "a.safetensors")
    given = read_weights.read_weights(tmp_path / "a.safetensors").state
    assert list(given) != list(a.state_dict())
    transfer.take_over(deeper, given, "vgg", set())
    first, taken = ([m for m in net.modules() if isinstance(m, nn.Conv2d)] for net in (a, deeper))
    at = [[i for i, conv in enumerate(taken) if conv.weight.equal(own.weight)] for own in first[:5]]
    assert at == [[0], [2], [4], [5], []]


@pytest.mark.parametrize("kind", ["exponential", "polyak"])
def test_recomputed_statistics_are_those_of_the_weights_that_are_tested(kind: str):
    training = tiny.training(rate=1.0)
    training.weight_average = WeightAverage(training.network, kind)
    loop.in_training_mode(training)
    for step in range(3):
        loop.train_step(training, tiny.batch(step), step)
    last = training.network.linear.weight.detach().clone()
    recipe = Recipe(epochs=1, batch_size=tiny.BATCH, learning_rate=1.0, batch_norm_recomputed_over=8)
    build.recompute_statistics(recipe, training, tiny.Batches())
    written = outputs.weights_of(training)
    assert not torch.allclose(written["linear.weight"], last)
    assert torch.equal(training.network.linear.weight, last)
    pictures = [training.objective.normalization(tiny.batch(number).images).flatten(1) for number in range(2)]
    seen = [x @ written["linear.weight"].T + written["linear.bias"] for x in pictures]
    assert torch.allclose(written["norm.running_mean"], torch.stack([x.mean(0) for x in seen]).mean(0), atol=1e-5)
    assert torch.allclose(written["norm.running_var"], torch.stack([x.var(0) for x in seen]).mean(0), atol=1e-4)


@pytest.mark.parametrize(("new", "old"), [("resnet18", "vgg_a"), ("vgg_a", "resnet18"), ("levit_128s", "vgg_a")])
def test_networks_that_are_no_vggs_share_no_layers_as_vggs_do(new: str, old: str):
    made = {name: registry.architecture(name)(num_classes=4) for name in {new, old} - {"vgg_a"}} | {
        "vgg_a": vgg("vgg_a")
    }
    with pytest.raises(ValueError, match=r"start_layers: vgg .* start_layers: but_classifier"):
        transfer.take_over(made[new], made[old].state_dict(), "vgg", set())
