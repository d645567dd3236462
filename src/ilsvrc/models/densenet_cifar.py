"""DenseNet for CIFAR and SVHN: Huang et al. 2016, "Densely Connected Convolutional Networks"."""

from collections import OrderedDict
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, GlobalAveragePool, check_input_px, named


@named(
    "densenet{depth}_{growth}_cifar",
    depth=range(7, 1000, 3),
    growth=range(1, 1000),
    listed=("densenet40_12_cifar", "densenet100_12_cifar", "densenet100_24_cifar"),
)
def densenet_cifar(
    depth: int, growth: int, num_classes: int = 10, input_px: int = 32, dropout: float = 0.0
) -> "DenseNetCifar":
    """DenseNet of any depth L = 3n + 4 and growth rate k: section 3; Table 2 has those of the following table.

    Input 32 px (the paper prints no multiply-adds):

    | L, k    | parameters |    published | multiply-adds |
    |---------|-----------:|-------------:|--------------:|
    | 40, 12  |  1,019,722 |  1.0 million |   264,812,928 |
    | 100, 12 |  6,979,642 |  7.0 million | 1,769,516,448 |
    | 100, 24 | 27,249,082 | 27.2 million | 6,889,347,744 |

    Args:
        dropout: after each convolution but the first. The paper has 0.2 where it trains without augmentation (and on
            SVHN), and none, the default, with it.

    Differs from the paper: nothing that it states.
    """
    return DenseNetCifar(_plain, (depth - 4) // 3, 16, growth, 1.0, num_classes, input_px, dropout)


@named(
    "densenet_bc_{depth}_{growth}_cifar",
    depth=range(10, 1000, 6),
    growth=range(1, 1000),
    listed=("densenet_bc_100_12_cifar", "densenet_bc_190_40_cifar", "densenet_bc_250_24_cifar"),
)
def densenet_bc_cifar(
    depth: int, growth: int, num_classes: int = 10, input_px: int = 32, dropout: float = 0.0
) -> "DenseNetCifar":
    """DenseNet-BC of any depth L = 6n + 4 and growth rate k: section 3; Table 2 has those of the following table.

    Input 32 px (the paper prints no multiply-adds):

    | L, k    | parameters |    published | multiply-adds |
    |---------|-----------:|-------------:|--------------:|
    | 100, 12 |    769,162 |  0.8 million |   287,929,692 |
    | 190, 40 | 25,624,430 | 25.6 million | 9,301,945,740 |
    | 250, 24 | 15,324,406 | 15.3 million | 5,418,785,724 |

    Args:
        dropout: as for the DenseNets without bottlenecks.

    Differs from the paper: nothing that it states.
    """
    return DenseNetCifar(_bottleneck, (depth - 4) // 6, 2 * growth, growth, 0.5, num_classes, input_px, dropout)


class DenseLayer(nn.Sequential):
    """BN, ReLU, 3x3 to k, dropout; a bottleneck has BN, ReLU, 1x1 to 4k, dropout before: new maps behind the given."""

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C + k, H, W]`, whose first C maps are `x`."""
        new: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return torch.cat([x, new], dim=1)


class Transition(nn.Sequential):
    """BN, ReLU, 1x1 convolution, dropout, 2x2 average pooling."""

    def __init__(self, channels: int, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(channels, width, 1, bias=False)
        self.drop = nn.Dropout(dropout)
        self.pool = nn.AvgPool2d(2)


class DenseNetCifar(Classifier):
    """3x3 convolution; three dense blocks with transitions between them; BN, ReLU, average, linear.

    Dropout in transitions and after bottlenecks is the authors' densenet.lua's. Parameters have torchvision's names;
    `norm_final` is that of the technical report's code (gpleiss/efficient_densenet_pytorch).
    """

    def __init__(
        self,
        layer: "Layer",
        num_layers: int,
        channels: int,
        growth: int,
        compression: float,
        num_classes: int,
        input_px: int,
        dropout: float,
    ) -> None:
        super().__init__()
        check_input_px("DenseNet for CIFAR", input_px, smallest=4)
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(3, channels, 3, padding=1, bias=False))
        for block in (1, 2, 3):
            self.features.add_module(f"denseblock{block}", _dense_block(layer, num_layers, channels, growth, dropout))
            channels += num_layers * growth
            if block < 3:
                width = int(channels * compression)
                self.features.add_module(f"transition{block}", Transition(channels, width, dropout))
                channels = width
        self.features.add_module("norm_final", nn.BatchNorm2d(channels))
        self.global_pool = GlobalAveragePool()
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of L = 40, k = 12 and the paper's input."""
        x = F.relu(self.features(images), inplace=True)  # N x 448 x 8 x 8
        x = self.global_pool(x)  # N x 448
        logits: Tensor = self.classifier(x)  # N x K
        return logits

    def initialize_as_paper(self) -> None:
        """Section 4.2: the normal distribution of He et al. 2015 ("Delving Deep").

        Unstated, and taken from the authors' densenet.lua: by fan-out; BN 1 and 0; uniform weights in the classifier
        (torch's default), its biases 0.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
        self.classifier.reset_parameters()
        nn.init.zeros_(self.classifier.bias)


Layer = Callable[[int, int, float], DenseLayer]


def _plain(channels: int, growth: int, dropout: float) -> DenseLayer:
    return DenseLayer(_composite(1, channels, growth, 3, dropout))


def _bottleneck(channels: int, growth: int, dropout: float) -> DenseLayer:
    narrow = _composite(1, channels, 4 * growth, 1, dropout)
    return DenseLayer(narrow | _composite(2, 4 * growth, growth, 3, dropout))


def _composite(index: int, channels: int, width: int, kernel: int, dropout: float) -> OrderedDict[str, nn.Module]:
    """BN, ReLU, convolution, dropout, by torchvision's names."""
    convolution = nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False)
    return OrderedDict(
        {
            f"norm{index}": nn.BatchNorm2d(channels),
            f"relu{index}": nn.ReLU(inplace=True),
            f"conv{index}": convolution,
            f"drop{index}": nn.Dropout(dropout),
        }
    )


def _dense_block(layer: Layer, num_layers: int, channels: int, growth: int, dropout: float) -> nn.Sequential:
    block = nn.Sequential()
    for i in range(num_layers):
        block.add_module(f"denselayer{i + 1}", layer(channels + i * growth, growth, dropout))
    return block
