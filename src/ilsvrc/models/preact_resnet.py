"""Pre-activation ResNet: He, Zhang, Ren and Sun 2016, "Identity Mappings in Deep Residual Networks"."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, GlobalAveragePool, check_input_px


def preact_resnet110_cifar(num_classes: int = 10, input_px: int = 32) -> "PreActResNet":
    """110 layers of basic units with full pre-activation: Table 2, Figure 4 (e).

    Input 32 px; parameters 1,727,962 (published: 1.7 million, by Zagoruyko and Komodakis 2016, Table 5); multiply-adds
    252,887,680 (the paper gives none).

    Differs from the paper: nothing that it states. Its appendix projects in bottleneck networks only and refers to He
    et al. 2015 for the rest, whose CIFAR networks have option A: shortcuts without parameters, here too. The authors
    released the bottleneck networks only.
    """
    return _cifar(basic, (16, 32, 64), (110 - 2) // 6, num_classes, input_px)


def preact_resnet164_cifar(num_classes: int = 10, input_px: int = 32) -> "PreActResNet":
    """164 layers of bottleneck units: Tables 2 and 3.

    Input 32 px; parameters 1,703,258 (published: 1.7 million, Table 4); multiply-adds 244,500,992 (the paper
    gives none).

    Differs from the paper: nothing that it states; as in the network that the authors released, also the first unit
    projects, and the first 1x1 convolution of a unit has the stride.
    """
    return _cifar(bottleneck, (64, 128, 256), (164 - 2) // 9, num_classes, input_px)


def preact_resnet1001_cifar(num_classes: int = 10, input_px: int = 32) -> "PreActResNet":
    """1001 layers of bottleneck units: Tables 3 and 4.

    Input 32 px; parameters 10,327,706 (published: 10.2 million, Table 4); multiply-adds 1,487,849,984 (the paper
    gives none).

    Differs from the paper: as `preact_resnet164_cifar`. The network that the authors released counts as ours.
    """
    return _cifar(bottleneck, (64, 128, 256), (1001 - 2) // 9, num_classes, input_px)


def preact_resnet152(num_classes: int = 1000, input_px: int = 224) -> "PreActResNet":
    """ResNet-152 with full pre-activation: Table 5.

    Input 224 px; parameters 60,185,128 (the paper gives none); multiply-adds 11,282,415,616 (the paper gives none).

    Differs from the paper: as `preact_resnet200`.
    """
    return _imagenet((3, 8, 36, 3), num_classes, input_px)


def preact_resnet200(num_classes: int = 1000, input_px: int = 224) -> "PreActResNet":
    """ResNet-200, which is ResNet-152 and 16 units at 28 x 28: Table 5.

    Input 224 px; parameters 64,666,152 (the paper gives none); multiply-adds 14,776,270,848 (the paper gives none).

    Differs from the paper: nothing that it states. The authors released no network for ImageNet; as in their CIFAR
    networks and in He et al. 2015 the first 1x1 convolution of a unit has the stride. fb.resnet.torch, which trained
    a ResNet-200, has it in the 3x3; its first version also projected what is not activated, added BN to the
    projections and left the pre-activation out of all three units of the first stage. It is another network.
    """
    return _imagenet((3, 24, 36, 3), num_classes, input_px)


class PreActResNet(Classifier):
    """Stem; stages of units, each halving the image but the first; BN, ReLU; global average pooling, linear."""

    def __init__(self, stem: nn.Sequential, stages: nn.Sequential, channels: int, num_classes: int) -> None:
        super().__init__()
        self.stem = stem
        self.stages = stages
        self.last = PreActivation(channels)
        self.global_pool = GlobalAveragePool()
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of ResNet-200."""
        x = self.stem(images)  # N x 64 x 56 x 56
        x = self.stages(x)  # N x 2048 x 7 x 7
        x = self.global_pool(self.last(x))  # N x 2048
        logits: Tensor = self.classifier(x)  # N x K
        return logits

    def initialize_as_paper(self) -> None:
        """He's normal distribution, BN 1 and 0 (appendix: the details are those of He et al. 2015).

        Unstated, and taken from the authors' CIFAR network: by fan-out; uniform weights in the classifier (torch's
        default), its biases 0.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
        self.classifier.reset_parameters()
        nn.init.zeros_(self.classifier.bias)


class PreActivation(nn.Sequential):
    """BN, ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


class Unit(nn.Module):
    """BN, ReLU, branch; plus shortcut (Figure 4 (e)).

    A projection sees what BN and ReLU give, another shortcut what was there before. The first unit stands behind
    conv1's own BN and ReLU and has none: "before splitting into two paths" (appendix).
    """

    def __init__(self, branch: nn.Sequential, shortcut: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation
        self.branch = branch
        self.shortcut = shortcut
        self.projects = isinstance(shortcut, nn.Conv2d)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C', H / stride, W / stride]`."""
        activated = self.activation(x)
        x = self.branch(activated) + self.shortcut(activated if self.projects else x)
        return x


class ZeroPaddedShortcut(nn.Module):
    """Option A of He et al. 2015: every second pixel of each side, channels of zeros behind."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.new_channels, self.stride = width - channels, stride

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C + new, H / stride, W / stride]`."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))


MakeUnit = Callable[[int, int, int, nn.Module], Unit]


def basic(channels: int, width: int, stride: int, activation: nn.Module) -> Unit:
    """A unit of two 3x3 convolutions, with option A."""
    branch = nn.Sequential(
        nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False),
        *PreActivation(width), nn.Conv2d(width, width, 3, padding=1, bias=False),
    )  # fmt: skip
    same_shape = stride == 1 and channels == width
    return Unit(branch, nn.Identity() if same_shape else ZeroPaddedShortcut(channels, width, stride), activation)


def bottleneck(channels: int, width: int, stride: int, activation: nn.Module) -> Unit:
    """A unit of 1x1, 3x3 and 1x1 convolutions, the first two a quarter as wide; projects where the width changes."""
    branch = nn.Sequential(
        nn.Conv2d(channels, width // 4, 1, stride=stride, bias=False),
        *PreActivation(width // 4), nn.Conv2d(width // 4, width // 4, 3, padding=1, bias=False),
        *PreActivation(width // 4), nn.Conv2d(width // 4, width, 1, bias=False),
    )  # fmt: skip
    projection = nn.Conv2d(channels, width, 1, stride=stride, bias=False)
    return Unit(branch, nn.Identity() if channels == width else projection, activation)


def _cifar(unit: MakeUnit, widths: tuple[int, ...], depth: int, num_classes: int, input_px: int) -> PreActResNet:
    check_input_px("The pre-activation ResNet for CIFAR", input_px, smallest=4)
    stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), *PreActivation(16))  # N x 16 x 32 x 32
    return PreActResNet(stem, _stages(unit, 16, widths, (depth,) * 3), widths[-1], num_classes)


def _imagenet(depths: tuple[int, ...], num_classes: int, input_px: int) -> PreActResNet:
    check_input_px("The pre-activation ResNet", input_px, smallest=32)
    stem = nn.Sequential(
        nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),  # N x 64 x 112 x 112
        *PreActivation(64),
        nn.MaxPool2d(3, stride=2, padding=1),  # N x 64 x 56 x 56
    )
    widths = (256, 512, 1024, 2048)
    return PreActResNet(stem, _stages(bottleneck, 64, widths, depths), widths[-1], num_classes)


def _stages(unit: MakeUnit, channels: int, widths: tuple[int, ...], depths: tuple[int, ...]) -> nn.Sequential:
    """A stage for each width, of `depths` units, the first of which changes the shape."""
    stages = nn.Sequential()
    for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        activation = PreActivation(channels) if index else nn.Identity()
        first = unit(channels, width, 2 if index else 1, activation)
        rest = (unit(width, width, 1, PreActivation(width)) for _ in range(depth - 1))
        stages.append(nn.Sequential(first, *rest))
        channels = width
    return stages
