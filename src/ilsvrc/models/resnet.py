"""ResNet: He, Zhang, Ren and Sun 2015, "Deep Residual Learning for Image Recognition"."""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, GlobalAveragePool, check_input_px, named

# Table 1: blocks in conv2_x, conv3_x, conv4_x and conv5_x.
DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}

STEM = partial(nn.Conv2d, 3, 64, 7, stride=2, padding=3, bias=False)

Make = Callable[[int, int, int], nn.Module]  # takes the channels that come in, those that go out, and the stride


@named("resnet{depth}", depth=(18, 34))
def resnet_a(depth: int, num_classes: int = 1000, input_px: int = 224) -> "ResNet":
    """Basic blocks with option A, parameter-free shortcuts: Table 1, and the results of Table 2.

    Input 224 px. The paper gives no parameters; its multiply-adds are Table 1's.

        resnet18   11,515,688 parameters   1,794,805,760 multiply-adds (published: 1.8 billion)
        resnet34   21,623,848 parameters   3,644,493,824 multiply-adds (published: 3.6 billion)

    Differs from the paper: at test, batch norm uses running averages, where the authors averaged the statistics of a
    large training batch once training was over. So do all networks of this file.
    """
    return ResNet(partial(BasicBlock, OPTION_A), 64, DEPTHS[depth], num_classes, input_px)


@named("resnet{depth}_b", depth=(18, 34))
def resnet_b(depth: int, num_classes: int = 1000, input_px: int = 224) -> "ResNet":
    """Basic blocks with option B, projections where the shape changes: Table 3, "ResNet-34 B"; torchvision's.

    Input 224 px. The published figures are torchvision's, for its resnet18 and resnet34.

        resnet18_b   11,689,512 parameters (11.7 M)   1,814,073,344 multiply-adds (1.814 billion)
        resnet34_b   21,797,672 parameters (21.8 M)   3,663,761,408 multiply-adds (3.664 billion)

    Differs from the paper: as `resnet_a`. The paper's own 18-layer results are option A's.
    """
    return ResNet(partial(BasicBlock, OPTION_B), 64, DEPTHS[depth], num_classes, input_px)


def resnet34_c(num_classes: int = 1000, input_px: int = 224) -> "ResNet":
    """34 layers with option C, where every shortcut is a projection: Table 3, "ResNet-34 C".

    Input 224 px; parameters 22,716,840 and multiply-adds 3,830,747,136 (the paper gives neither).

    Differs from the paper: as `resnet_a`.
    """
    return ResNet(partial(BasicBlock, OPTION_C), 64, DEPTHS[34], num_classes, input_px)


@named("resnet{depth}", depth=(50, 101, 152))
def resnet_bottleneck(depth: int, num_classes: int = 1000, input_px: int = 224) -> "ResNet":
    """Bottlenecks with option B and the stride in the first 1x1: Tables 1, 3 and 4.

    Input 224 px. The paper gives no parameters; its multiply-adds are Table 1's.

        resnet50    25,557,032 parameters    3,857,973,248 multiply-adds (published: 3.8 billion)
        resnet101   44,549,160 parameters    7,570,194,432 multiply-adds (published: 7.6 billion)
        resnet152   60,192,808 parameters   11,282,415,616 multiply-adds (published: 11.3 billion)

    The networks with the stride in the 3x3, torchvision's "v1.5", are `resnet50_b`, `resnet101_b`, `resnet152_b`.

    Differs from the paper: as `resnet_a`; and the released ResNet-50 has biases in its first convolution (64
    parameters more), which the batch norm behind it takes away again.
    """
    return ResNet(partial(Bottleneck, OPTION_B), 256, DEPTHS[depth], num_classes, input_px)


@named("plain{depth}", depth=(18, 34))
def plain(depth: int, num_classes: int = 1000, input_px: int = 224) -> "ResNet":
    """The networks without shortcuts: Figure 3, middle, Table 1, and the results of Table 2.

    Input 224 px. Parameters and multiply-adds are those of `resnet_a`, whose shortcuts have neither.

        plain18   11,515,688 parameters   1,794,805,760 multiply-adds (published: 1.8 billion)
        plain34   21,623,848 parameters   3,644,493,824 multiply-adds (published: 3.6 billion)

    Differs from the paper: as `resnet_a`.
    """
    return ResNet(PlainBlock, 64, DEPTHS[depth], num_classes, input_px)


class FromHe(Classifier):
    """A network that ends in the linear layer `fc` and starts as the paper's."""

    fc: nn.Linear
    fan: Literal["fan_in", "fan_out"] = "fan_out"

    def initialize_as_paper(self) -> None:
        """Section 3.4: the normal distribution of He et al. 2015 ("Delving Deep"), BN 1 and 0.

        Unstated, and taken from fb.resnet.torch: by fan-out; uniform weights in `fc` (torch's default), its biases 0.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode=self.fan, nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
        self.fc.reset_parameters()
        nn.init.zeros_(self.fc.bias)


class ResNet(FromHe):
    """Stem, BN, ReLU, 3x3 pooling; four stages of blocks; global average pooling, linear.

    Serves ImageNet networks of other papers too. `width` is what the first stage puts out, each other twice as much
    as the one before; `stem` makes the first convolution, or several. Names are torchvision's.
    """

    def __init__(
        self,
        block: Make,
        width: int,
        depths: tuple[int, ...],
        num_classes: int,
        input_px: int,
        stem: Callable[[], nn.Module] = STEM,
    ) -> None:
        super().__init__()
        check_input_px("ResNet", input_px, smallest=32)
        self.conv1 = stem()
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = Stage(block, 64, width, depths[0], stride=1)
        self.layer2 = Stage(block, width, 2 * width, depths[1], stride=2)
        self.layer3 = Stage(block, 2 * width, 4 * width, depths[2], stride=2)
        self.layer4 = Stage(block, 4 * width, 8 * width, depths[3], stride=2)
        self.global_pool = GlobalAveragePool()
        self.fc = nn.Linear(8 * width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of bottlenecks at 224 px, with basic blocks C / 4."""
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)  # N x 64 x 112 x 112
        x = self.layer1(self.maxpool(x))  # N x 256 x 56 x 56
        x = self.layer2(x)  # N x 512 x 28 x 28
        x = self.layer3(x)  # N x 1024 x 14 x 14
        x = self.layer4(x)  # N x 2048 x 7 x 7
        logits: Tensor = self.fc(self.global_pool(x))  # N x K
        return logits


class Stage(nn.Sequential):
    """`depth` blocks, the first of which changes the shape."""

    def __init__(self, block: Make, channels: int, width: int, depth: int, stride: int) -> None:
        super().__init__(block(channels, width, stride), *(block(width, width, 1) for _ in range(depth - 1)))


class PlainBlock(nn.Module):
    """3x3, BN, ReLU, 3x3, BN, ReLU (Figure 3, middle)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def residual(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C', H / stride, W / stride]`, up to the last ReLU."""
        x = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True)))
        return x

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C', H / stride, W / stride]`."""
        return F.relu(self.residual(x), inplace=True)


class BasicBlock(PlainBlock):
    """3x3, BN, ReLU, 3x3, BN; plus shortcut; ReLU (Figure 5, left)."""

    def __init__(self, shortcuts: "Shortcuts", channels: int, width: int, stride: int) -> None:
        super().__init__(channels, width, stride)
        self.downsample = shortcuts.make(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C', H / stride, W / stride]`."""
        return F.relu(self.residual(x) + self.downsample(x), inplace=True)


class Bottleneck(nn.Module):
    """1x1, BN, ReLU, 3x3, BN, ReLU, 1x1, BN; plus shortcut; ReLU (Figure 5, right).

    The paper strides in the first 1x1, later networks in the 3x3. A width of 256 has `groups` times `base_width`
    channels inside, the paper 1 x 64.
    """

    def __init__(
        self,
        shortcuts: "Shortcuts",
        channels: int,
        width: int,
        stride: int,
        stride_in_3x3: bool = False,
        groups: int = 1,
        base_width: int = 64,
    ) -> None:
        super().__init__()
        inner = width * groups * base_width // 256
        strides = (1, stride) if stride_in_3x3 else (stride, 1)
        self.conv1 = nn.Conv2d(channels, inner, 1, stride=strides[0], bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=strides[1], padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.downsample = shortcuts.make(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C', H / stride, W / stride]`."""
        residual = F.relu(self.bn1(self.conv1(x)), inplace=True)
        residual = F.relu(self.bn2(self.conv2(residual)), inplace=True)
        residual = self.bn3(self.conv3(residual))
        return F.relu(residual + self.downsample(x), inplace=True)


class ZeroPaddedShortcut(nn.Module):
    """Every second pixel of each side, channels of zeros behind, or half of them before where they are `split`."""

    def __init__(self, channels: int, width: int, stride: int, split: bool = False) -> None:
        super().__init__()
        self.new_channels, self.stride = width - channels, stride
        self.channels_before = self.new_channels // 2 if split else 0

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C + new, H / stride, W / stride]`."""
        channels = (self.channels_before, self.new_channels - self.channels_before)
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, *channels))


class ProjectionShortcut(nn.Sequential):
    """1x1 convolution with stride, BN."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__(nn.Conv2d(channels, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width))


class Shortcuts(NamedTuple):
    """Builders of the shortcut of a block that keeps its input's shape, and of one that changes it."""

    keeping: Make
    changing: Make

    def make(self, channels: int, width: int, stride: int) -> nn.Module:
        """The shortcut of one block."""
        keeps = stride == 1 and channels == width
        return (self.keeping if keeps else self.changing)(channels, width, stride)


# Section 3.3, "Identity vs. projection shortcuts".
OPTION_A = Shortcuts(nn.Identity, ZeroPaddedShortcut)
OPTION_A_SPLIT = Shortcuts(nn.Identity, partial(ZeroPaddedShortcut, split=True))
OPTION_B = Shortcuts(nn.Identity, ProjectionShortcut)
OPTION_C = Shortcuts(ProjectionShortcut, ProjectionShortcut)
