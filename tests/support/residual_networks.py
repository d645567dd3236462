"""What the tests of residual networks share: building them, and comparing them with a library's."""

import torch
from torch import nn

from ilsvrc.config import registry


def build(name, **options):
    return registry.architecture(name)(**options)


def weightless(name, **options):
    """The network on the meta device."""
    with torch.device("meta"):
        return build(name, **options)


def shapes(network):
    """State-dict name -> shape."""
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def initialized(name):
    """The network for 4 classes as its paper starts it, built without a first, idle initialisation."""
    network = weightless(name, num_classes=4).to_empty(device="cpu")
    torch.manual_seed(0)
    network.initialize_as_paper()
    return network


def agree(ours, theirs, height=64, width=75):
    """Whether two networks give the same logits with the same weights and statistics, none of which is 0 or 1."""
    torch.manual_seed(0)
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(std=0.1)
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, height, width)
    with torch.no_grad():
        found, expected = ours.eval()(images), theirs.eval()(images)
    return torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
