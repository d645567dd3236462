"""Networks that slide over larger pictures: against the network on crops, and against numbers by hand."""

import re
from functools import cache

import pytest
import torch
from torch import nn

from ilsvrc.config import registry
from ilsvrc.models.common import reference_counts
from ilsvrc.models.common.fully_convolutional import SlidingLinear, fully_convolutional
from ilsvrc.models.common.layers import Classifier, FixedFlatten, GlobalAveragePool
from ilsvrc.training import initialization

# Their layers know one size of map only.
WITHOUT = {"ilsvrc.models.cuda_convnet", "ilsvrc.models.levit"}


@cache
def smallest_of_each_file():
    """The network with the fewest parameters of each file of `models` that has a form, so also of a new one."""
    table, by_file = reference_counts.architectures(), {}
    names = set(registry.names("models")) & set(table)
    for name in sorted(names, key=lambda name: (-int(table[name]["parameters"]), name)):
        build = registry.architecture(name)
        by_file[getattr(build, "func", build).__module__] = name
    return sorted(name for file, name in by_file.items() if file not in WITHOUT)


def built(name, input_px, num_classes=10):
    torch.manual_seed(0)
    return registry.architecture(name)(num_classes=num_classes, input_px=input_px)


def crop_px(name):
    """A side that leaves more than a pixel at the end of most networks: their least, 64 px, or 99 for AlexNet."""
    with pytest.raises(ValueError, match="px or more") as error:
        registry.architecture(name)(input_px=3)
    smallest = int(re.search(r"(\d+) px or more", str(error.value)).group(1))
    return max(smallest, min(99 if "alexnet" in name else 64, registry.input_px(name)))


@torch.no_grad()
def settled(network, images):
    """`network` in evaluation, so that pictures leave a trace: batch norm by what `images` give, or He's weights."""
    batch_norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if not batch_norms:
        initialization.initialize(network, "he_normal", seed=0)
    for module in batch_norms:
        module.momentum = None  # the plain average
    network.train()(images)
    return network.eval()


class Unpadded(Classifier):
    """Convolutions by steps of 4 px and without padding, and an end: what a crop gives, it gives in a picture too."""

    def __init__(self, end):
        super().__init__()
        self.conv1, self.pool, self.conv2 = nn.Conv2d(3, 4, 3, stride=2), nn.MaxPool2d(2), nn.Conv2d(4, 6, 2)
        self.end = end

    def forward(self, images):
        return self.end(self.conv2(self.pool(torch.tanh(self.conv1(images)))))


def ends(input_px=17):
    return {
        "linear layers": nn.Sequential(
            FixedFlatten(3, input_px), nn.Linear(54, 7), nn.ReLU(), nn.Dropout(), nn.Linear(7, 5)
        ),
        "average pooling": nn.Sequential(GlobalAveragePool(), nn.Dropout(), nn.Linear(6, 5, bias=False)),
        "average pooling alone": GlobalAveragePool(),
    }


ONE_OF_EACH_END = {  # flattened maps, pooled ones, pooled by timm, maps of scores
    "alexnet_one_gpu", "vgg_a_lrn", "googlenet", "resnet20_cifar", "shufflenet_g1_0_25x", "ghostnet_0_5x", "nin_cifar",
}  # fmt: skip


def slow_unless_fast():
    fast = ONE_OF_EACH_END.__contains__
    return [pytest.param(name, marks=() if fast(name) else pytest.mark.slow) for name in smallest_of_each_file()]


@pytest.fixture(scope="module", params=slow_unless_fast())
def sliding(request):
    """(network in evaluation, its form that slides, two crops) for the smallest network of each file."""
    side = crop_px(request.param)
    images = torch.randn(2, 3, side, side)
    network = settled(built(request.param, side), images)
    return network, fully_convolutional(network, side), images


def test_of_a_crop_the_map_is_one_pixel_with_the_networks_logits(sliding):
    network, dense, images = sliding
    with torch.no_grad():
        logits, scores = network(images), dense(images)
    assert scores.shape == (2, 10, 1, 1)
    difference_of_pictures = (logits[0] - logits[1]).abs().max().item()
    assert torch.allclose(scores[:, :, 0, 0], logits, rtol=0.0, atol=0.001 * difference_of_pictures)


def test_a_wider_picture_gives_a_wider_map(sliding):
    _, dense, images = sliding
    with torch.no_grad():
        scores = dense(nn.functional.pad(images[:1], (0, 32)))
    assert scores.shape[:3] == (1, 10, 1) and scores.shape[3] > 1


@pytest.mark.parametrize("end", ends())
def test_each_score_is_that_of_the_crop_at_its_place_where_nothing_is_padded(end):
    network = Unpadded(ends()[end]).eval()
    picture = torch.randn(2, 3, 17 + 2 * 4, 17 + 4 + 3)
    with torch.no_grad():
        scores = fully_convolutional(network, 17)(picture)
        assert scores.shape[2:] == (3, 2)
        for i in range(3):
            for j in range(2):
                crop = picture[:, :, 4 * i : 4 * i + 17, 4 * j : 4 * j + 17]
                assert torch.allclose(scores[:, :, i, j], network(crop), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "crop_px", "picture", "scores"),
    [
        ("vgg_d", 224, (256, 256), (2, 2)),
        ("vgg_d", 224, (384, 512), (6, 10)),
        ("alexnet", 227, (256, 291), (1, 3)),
        ("zfnet", 224, (256, 320), (2, 4)),
        ("resnet50", 224, (320, 480), (4, 9)),
        ("googlenet", 224, (256, 352), (2, 5)),
        ("inception_v3", 299, (299, 363), (1, 3)),
    ],
)
def test_the_papers_networks_step_by_32_px(name, crop_px, picture, scores):
    with torch.device("meta"):
        network = built(name, crop_px, num_classes=1000)
        assert fully_convolutional(network, crop_px)(torch.empty(1, 3, *picture)).shape == (1, 1000, *scores)


def test_a_linear_layer_slides_by_its_rows_of_channels_and_pixels():
    linear = nn.Linear(8, 1)
    nn.init.ones_(linear.bias)
    linear.weight.data = torch.tensor([[1.0, 0, 0, 0, 0, 0, 0, 10]])  # the first channel's first pixel, the last's last
    maps = torch.arange(12.0).reshape(1, 2, 2, 3)
    assert SlidingLinear(linear)(maps).tolist() == [[[[1 + 0 + 100, 1 + 1 + 110]]]]


def test_weights_are_the_networks_own_and_the_network_stays_as_it_was():
    network = built("alexnet_two_gpu", 99).train()
    names, kinds = set(network.state_dict()), [type(module) for module in network.modules()]
    dense = fully_convolutional(network, 99)
    assert {parameter.data_ptr() for parameter in dense.parameters()} == {p.data_ptr() for p in network.parameters()}
    assert set(dense.network.state_dict()) == names
    assert network.training and not any(module.training for module in dense.modules())
    assert [type(module) for module in network.modules()] == kinds
    assert network(torch.randn(1, 3, 99, 99)).shape == (1, 10)


def test_precision_and_memory_format_are_the_networks():
    network = built("resnet18", 64).to(torch.float64, memory_format=torch.channels_last).eval()
    images = torch.randn(2, 3, 64, 96, dtype=torch.float64).to(memory_format=torch.channels_last)
    dense = fully_convolutional(network, 64)
    assert dense.network.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert dense(images).dtype == torch.float64


@pytest.mark.parametrize("name", ["cuda_convnet_cifar", "levit_128s"])
def test_layers_that_know_one_size_only_have_no_such_form(name):
    side = registry.input_px(name)
    with pytest.raises(ValueError, match=r"no fully convolutional form: .*one size of map only.*protocols"):
        fully_convolutional(built(name, side), side)


def test_a_network_that_leaves_its_map_in_its_own_way_is_told_what_to_use():
    with pytest.raises(ValueError, match=r"Unpadded .*layers\.FixedFlatten or layers\.GlobalAveragePool"):
        fully_convolutional(Unpadded(nn.Sequential(nn.Flatten(), nn.Linear(54, 5))), 17)


def test_another_crop_than_the_linear_layers_is_refused():
    with pytest.raises(ValueError, match="built for images of 17 x 17 px"):
        fully_convolutional(Unpadded(ends()["linear layers"]), 21)


def test_a_picture_smaller_than_the_crop_is_refused():
    dense = fully_convolutional(Unpadded(ends()["average pooling"]), 17)
    with pytest.raises(ValueError, match=r"17 px or more, not 17 x 16; .*crop_px"):
        dense(torch.zeros(1, 3, 17, 16))
