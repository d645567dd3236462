"""FractalNet against its paper and the authors' generator and Caffe layer."""

import pytest
import torch
from torch import nn

from ilsvrc.config import registry
from ilsvrc.models.common import flops
from ilsvrc.models.fractalnet import FractalBlock, FractalLayer, FractalNet, Join, fractalnet20_cifar, fractalnet34
from ilsvrc.runtime.batch_rng import seed_batch_rng


@pytest.fixture(scope="module")
def at_32():
    with torch.device("meta"):
        return fractalnet20_cifar()


@pytest.fixture
def block():
    torch.manual_seed(0)
    return FractalBlock(2, 4, num_columns=3, dropout=0.0, drop_path=0.5)


@pytest.fixture
def tiny():
    """Two blocks of three columns for pictures of 4 px and more."""
    torch.manual_seed(0)
    blocks = nn.ModuleList([FractalBlock(3, 4, 3, 0.0, 0.15), FractalBlock(4, 4, 3, 0.0, 0.15)])
    return FractalNet(nn.Identity(), blocks, 4, num_classes=5, drop_path=0.15)


def plain(network, x, column):
    """The network of one column."""
    for block in network.blocks:
        x = block.pool(block.columns[column](x))
    return network.classifier(x.mean(dim=(2, 3)))


def counts(join, steps):
    """How often each of the inputs 1, 10 and 100 of a join survives, and the least number that did."""
    survived, least = [0, 0, 0], 3
    for _ in range(steps):
        inputs = [torch.tensor(v, requires_grad=True) for v in (1.0, 10.0, 100.0)]
        gradients = torch.autograd.grad(join(inputs), inputs)
        assert sum(gradients).item() == pytest.approx(1.0)  # a mean, whatever survives
        alive = [gradient.item() > 0 for gradient in gradients]
        survived, least = [a + b for a, b in zip(survived, alive, strict=True)], min(least, sum(alive))
    return survived, least


def test_the_columns_of_a_block_have_1_2_and_4_layers(at_32):
    assert [[len(column) for column in block.columns] for block in at_32.blocks] == [[1, 2, 4]] * 5


@pytest.mark.parametrize(("depth", "columns"), [(5, 1), (10, 2), (20, 3), (40, 4), (80, 5), (160, 6)])
def test_the_deepest_columns_make_the_depth(depth, columns):
    with torch.device("meta"):
        network = registry.architecture(f"fractalnet{depth}_thin_cifar")()
    assert sum(len(block.columns[-1]) for block in network.blocks) == depth
    assert {len(block.columns) for block in network.blocks} == {columns}


@pytest.mark.parametrize(
    ("depth", "printed"), [(5, "0.3M"), (10, "0.8M"), (20, "2.1M"), (40, "4.8M"), (80, "10.2M"), (160, "21.1M")]
)
def test_thin_networks_for_100_classes_have_table_3s_parameters(depth, printed):
    with torch.device("meta"):
        network = registry.architecture(f"fractalnet{depth}_thin_cifar")(num_classes=100)
    assert f"{sum(p.numel() for p in network.parameters()) / 1e6:.1f}M" == printed


def test_pooling_halves_the_picture_five_times(at_32):
    layers = [layer for layer in flops.layers(at_32, 32) if layer.kind == "Conv2d"]
    sizes = dict.fromkeys(layer.output_shape for layer in layers)
    assert list(sizes) == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)]


def test_fractalnet_34_has_34_layers_and_ends_on_7_x_7_pixels():
    with torch.device("meta"):
        network = fractalnet34()
    assert 1 + sum(len(block.columns[-1]) for block in network.blocks) + 1 == 34
    convolutions = [layer for layer in flops.layers(network, 224) if layer.kind == "Conv2d"]
    assert convolutions[-1].output_shape == (1024, 7, 7)


def test_a_join_is_the_mean_of_its_inputs():
    inputs = [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 6.0]), torch.tensor([5.0, -2.0])]
    assert Join(0.9).eval()(inputs).tolist() == pytest.approx([3.0, 2.0])
    assert Join(0.0)(inputs).tolist() == pytest.approx([3.0, 2.0])


def test_a_join_drops_each_input_as_often_as_the_rate_says():
    seed_batch_rng(0)
    survived, _ = counts(Join(0.15), steps=2000)
    # 0.85, and a third of the 0.15 ** 3 in which all were dropped
    assert [number / 2000 for number in survived] == pytest.approx([0.8511] * 3, abs=0.03)


def test_one_input_of_a_join_survives_where_all_are_dropped():
    seed_batch_rng(0)
    survived, least = counts(Join(1.0), steps=600)
    assert least == 1
    assert sum(survived) == 600
    assert min(survived) > 150


def test_columns_are_joined_wherever_they_end_together(block):
    block.eval()
    z = torch.randn(2, 2, 6, 6)
    (c0,), (b0, b1), (a0, a1, a2, a3) = block.columns
    first = (b0(z) + a1(a0(z))) / 2
    expected = (block.pool(c0(z)) + block.pool(b1(first)) + block.pool(a3(a2(first)))) / 3
    assert torch.allclose(block(z), expected, atol=1e-6)


def test_half_of_the_steps_are_one_column_through_all_blocks(tiny):
    seed_batch_rng(0)
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        alone = torch.stack([plain(tiny, images, column) for column in range(3)])
        matches = torch.stack([(tiny(images) - alone).abs().amax(dim=(1, 2)) < 1e-6 for _ in range(400)]).sum(dim=0)
    assert matches.sum().item() == pytest.approx(200, abs=40)
    assert min(matches.tolist()) > 40


def test_local_steps_hardly_ever_are_a_single_column(tiny, monkeypatch):
    monkeypatch.setattr("ilsvrc.models.fractalnet.GLOBAL_SHARE", 0.0)
    seed_batch_rng(0)
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        outputs = torch.stack([tiny(images) for _ in range(40)])
        alone = torch.stack([plain(tiny, images, column) for column in range(3)])
    assert len(outputs.unique(dim=0)) > 10
    assert sum(torch.allclose(output, column) for output in outputs for column in alone) < 5


def test_testing_takes_all_columns_and_draws_nothing(tiny):
    tiny.eval()
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        x = images
        for block in tiny.blocks:
            x = block(x)
        assert torch.equal(tiny(images), tiny.classifier(x.mean(dim=(2, 3))))
        assert torch.equal(tiny(images), tiny(images))


def test_equal_draws_take_equal_paths(tiny):
    images = torch.randn(2, 3, 8, 8)
    outputs = []
    with torch.no_grad():
        for _ in range(2):
            seed_batch_rng(5)
            outputs.append(torch.stack([tiny(images) for _ in range(6)]))
    assert torch.equal(*outputs)


@pytest.mark.parametrize("share", [0.0, 1.0], ids=["local", "global"])
def test_what_is_dropped_has_gradients_of_zero(tiny, share, monkeypatch):
    monkeypatch.setattr("ilsvrc.models.fractalnet.GLOBAL_SHARE", share)
    seed_batch_rng(0)
    for _ in range(6):
        tiny.zero_grad()
        tiny(torch.randn(2, 3, 8, 8)).sum().backward()
        assert all(p.grad is not None for p in tiny.parameters())
        idle = [sum(not p.grad.any() for p in layer.parameters()) for layer in _layers(tiny)]
        assert share == 0.0 or idle.count(2) >= 2 * (7 - 4)  # all but a column of four layers at most


def _layers(network):
    return [layer for layer in network.modules() if isinstance(layer, FractalLayer)]


def test_the_rates_of_dropout_rise_from_block_to_block(at_32):
    rates = [{m.p for m in block.modules() if isinstance(m, nn.Dropout)} for block in at_32.blocks]
    assert rates == [{0.0}, {0.1}, {0.2}, {0.3}, {0.4}]


def test_a_layer_drops_before_it_normalises():
    assert [type(module) for module in FractalLayer(1, 2, 0.1)] == [nn.Conv2d, nn.Dropout, nn.BatchNorm2d, nn.ReLU]


def test_initialisation_is_caffes_xavier():
    torch.manual_seed(0)
    network = registry.architecture("fractalnet20_thin_cifar")()
    network.initialize_as_paper()
    conv = network.blocks[3].columns[0][0][0]  # 64 to 128 channels
    bound = (3 / (9 * 64)) ** 0.5
    assert 0.99 * bound < conv.weight.abs().max().item() <= bound
    assert conv.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert not any(m.bias.any() for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear)))
