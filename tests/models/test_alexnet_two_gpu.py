"""AlexNet on two GPUs: the function of `alexnet`, and who tells whom what."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from ilsvrc.models.alexnet import alexnet
from ilsvrc.models.alexnet_two_gpu import AlexNetTwoGPU, alexnet_two_gpu

FIRST, SECOND = torch.device("cuda:0"), torch.device("cuda:1")


@pytest.fixture(scope="module")
def pair():
    """(alexnet, the same weights in two towers), without dropout, with a last map of 2 x 2."""
    torch.manual_seed(0)
    whole = alexnet(num_classes=5, input_px=99, dropout=0.0)
    for parameter in whole.parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter)
        else:
            nn.init.normal_(parameter)
    divided = alexnet_two_gpu(num_classes=5, input_px=99, dropout=0.0)
    divided.load_state_dict(AlexNetTwoGPU.from_alexnet(whole.state_dict()))
    return whole, divided


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 99, 99, generator=torch.Generator().manual_seed(1)) * 50


@pytest.mark.parametrize("training", [False, True], ids=["testing", "training without dropout"])
def test_the_towers_compute_what_alexnet_does(pair, images, training):
    whole, divided = pair
    with torch.no_grad():
        expected, logits = whole.train(training)(images), divided.train(training)(images)
    assert torch.allclose(logits, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_the_towers_get_alexnets_gradients(pair, images):
    whole, divided = pair
    for network in pair:
        network.train().zero_grad()
        nn.functional.cross_entropy(network(images) / 1e3, torch.tensor([0, 4])).backward()
    expected = {name: parameter.grad for name, parameter in whole.named_parameters()}
    gradients = AlexNetTwoGPU.to_alexnet({name: parameter.grad for name, parameter in divided.named_parameters()})
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        assert (gradient - expected[name]).norm() <= 1e-4 * expected[name].norm()
        assert expected[name].any()


def test_weights_travel_to_the_towers_and_back(pair):
    whole, divided = pair
    back = AlexNetTwoGPU.to_alexnet(divided.state_dict())
    assert back.keys() == whole.state_dict().keys()
    assert all(torch.equal(value, back[name]) for name, value in whole.state_dict().items())


def test_each_tower_has_half_of_the_kernels_and_half_of_the_hidden_units():
    with torch.device("meta"):
        network = alexnet_two_gpu()
    for tower in network.towers:
        assert [m.weight.shape[:2] for m in tower.modules() if isinstance(m, (nn.Conv2d, nn.Linear))] == [
            (48, 3),
            (128, 48),
            (192, 256),
            (192, 192),
            (128, 192),
            (2048, 9216),
            (2048, 4096),
        ]
    assert network.fc8.weight.shape == (1000, 4096)


def test_dropout_of_one_half_acts_on_the_hidden_units_of_each_tower():
    torch.manual_seed(0)
    network = alexnet_two_gpu(num_classes=3, input_px=67).train()
    network.initialize_as_paper()
    seen = []
    for tower in network.towers:
        tower.dropout.register_forward_hook(lambda _, given, output: seen.append((given[0], output)))
    network(torch.randn(8, 3, 67, 67))
    assert [given.shape for given, _ in seen] == [(8, 2048)] * 4
    for given, output in seen:
        assert (output[given > 0] == 0).float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert not torch.equal(seen[0][1] == 0, seen[1][1] == 0)


def test_initialisation_is_section_5s_in_both_towers():
    torch.manual_seed(0)
    network = alexnet_two_gpu(num_classes=3, input_px=67)
    network.initialize_as_paper()
    for tower in network.towers:
        layers = [m for m in tower.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        assert [m.bias.unique().tolist() for m in layers] == [[0.0], [1.0], [0.0], [1.0], [1.0], [1.0], [1.0]]
        for layer in layers:
            assert layer.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not network.fc8.bias.any()
    assert not torch.equal(network.towers[0].conv1.weight, network.towers[1].conv1.weight)


class Crossings(TorchDispatchMode):
    """Notes each tensor that goes from one device to another: (shape, from, to)."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        if function is torch.ops.aten._to_copy.default and output.device != args[0].device:
            self.found.append((tuple(output.shape), args[0].device, output.device))
        return output


def move(module, device):
    """`module.to(device)`, which does not work for fake tensors."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            setattr(part, name, nn.Parameter(torch.empty_like(parameter, device=device)))


@pytest.fixture
def fake_gpus(monkeypatch):
    """Two GPUs on which tensors have shapes and devices and no values; operations on tensors of both raise."""
    monkeypatch.setattr(nn.Module, "to", move)
    with FakeTensorMode(), torch.device(FIRST):
        yield


@pytest.mark.usefixtures("fake_gpus")
def test_only_what_conv3_and_the_linear_layers_see_crosses_between_the_gpus():
    network = alexnet_two_gpu().eval()
    network.spread(FIRST, SECOND)
    with torch.no_grad(), Crossings() as crossings:
        logits = network(torch.empty(2, 3, 227, 227))
    assert logits.device == FIRST
    assert crossings.found == [
        ((2, 3, 227, 227), FIRST, SECOND),  # the pictures
        ((2, 128, 13, 13), SECOND, FIRST),  # to conv3
        ((2, 128, 13, 13), FIRST, SECOND),
        ((2, 128 * 6 * 6), SECOND, FIRST),  # to fc6
        ((2, 128 * 6 * 6), FIRST, SECOND),
        ((2, 2048), SECOND, FIRST),  # to fc7
        ((2, 2048), FIRST, SECOND),
        ((2, 2048), SECOND, FIRST),  # to fc8
    ]


@pytest.mark.usefixtures("fake_gpus")
def test_training_computes_on_both_gpus_and_mixes_them_nowhere():
    network = alexnet_two_gpu(num_classes=10, input_px=67).train()
    network.spread(FIRST, SECOND)
    at_work = {}
    for name, module in network.named_modules():
        module.register_forward_hook(lambda _, __, output, name=name: at_work.update({name: output.device}))
    network(torch.empty(2, 3, 67, 67))
    assert {device for name, device in at_work.items() if name.startswith("towers.0")} == {FIRST}
    assert {device for name, device in at_work.items() if name.startswith("towers.1")} == {SECOND}
    assert {name: p.device for name, p in network.named_parameters() if "fc8" in name} == {
        "fc8.weight": FIRST,
        "fc8.bias": FIRST,
    }


@pytest.mark.usefixtures("fake_gpus")
def test_fake_gpus_tell_when_devices_are_mixed():
    network = alexnet_two_gpu(num_classes=10, input_px=67).eval()
    network.spread(FIRST, SECOND)
    move(network.towers[0].conv4, SECOND)
    with pytest.raises(RuntimeError, match="device"):
        network(torch.empty(2, 3, 67, 67))


def test_spreading_moves_the_second_tower_alone():
    network = alexnet_two_gpu(num_classes=10, input_px=67)
    network.spread(torch.device("cpu"), torch.device("meta"))
    assert {name.split(".")[1] for name, p in network.named_parameters() if p.is_meta} == {"1"}
    assert all(p.is_meta for p in network.towers[1].parameters())


def test_on_one_device_nothing_crosses():
    network = alexnet_two_gpu(num_classes=10, input_px=67).eval()
    with torch.no_grad(), Crossings() as crossings:
        network(torch.randn(1, 3, 67, 67))
    assert crossings.found == []
