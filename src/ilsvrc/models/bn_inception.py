"""BN-Inception: Ioffe and Szegedy 2015, "Batch Normalization"; with squeeze-and-excitation: Hu, Shen and Sun 2017."""

import torch
import torch.nn.functional as F
from timm.models.senet import SEModule
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, GlobalAveragePool, check_input_px

# Figure 5, as released: channels of 1x1, 3x3 reduce, 3x3, double 3x3 reduce, double 3x3 (twice) and pool proj.
INCEPTION = {
    "3a": (64, 64, 64, 64, 96, 32),
    "3b": (64, 64, 96, 64, 96, 64),
    "3c": (0, 128, 160, 64, 96, 0),
    "4a": (224, 64, 96, 96, 128, 128),
    "4b": (192, 96, 128, 96, 128, 128),
    "4c": (160, 128, 160, 128, 160, 128),
    "4d": (96, 128, 192, 160, 192, 128),
    "4e": (0, 128, 192, 192, 256, 0),
    "5a": (352, 192, 320, 160, 224, 128),
    "5b": (352, 192, 320, 192, 224, 128),
}
MAX_POOLED = "5b"  # the module of stride 1 whose pooling takes the largest value, where the others' average
SE_REDUCTION = 16


def bn_inception(num_classes: int = 1000, input_px: int = 224) -> "BNInception":
    """The network of Figure 5 (Ioffe and Szegedy 2015), as Hu et al. 2017 released it.

    Input 224 px; parameters 11,285,224 (published: 13.6 million, section 4.2; Hu et al.'s definition without its
    squeeze-and-excitation: 11,285,224); multiply-adds 2,032,600,064 (published by Hu et al.: 2.03 billion).

    Differs from the paper:
    - The first convolution is plain, as in Hu et al.'s definition. The paper's is separable with depth multiplier 8, as
      in TensorFlow's Inception-v2 (11.2 million parameters).
    - 4c, 4d and 4e have 608, 608 and 1056 channels, as in Hu et al.'s definition; Figure 5's output sizes are those of
      TensorFlow's Inception-v2, 576, 576 and 1024, whose poolings in 4c and 4d lead to 96 channels and not to 128.
    - No public definition reaches the paper's 13.6 million parameters.

    No side heads and no dropout: the paper's has one linear layer, and leaves dropout out. Unstated, and taken from Hu
    et al.: the initialisation; the pooling's windows at the borders; epsilon 1e-5 in batch norm.
    """
    return BNInception(num_classes, input_px, squeeze=False)


def se_bn_inception(num_classes: int = 1000, input_px: int = 224) -> "BNInception":
    """BN-Inception with squeeze-and-excitation after each module: Hu et al. 2017, Figure 2 and Table 2.

    Input 224 px; parameters 11,931,622 (the paper gives none; the authors' definition: 11,931,622); multiply-adds
    2,033,239,424 (published: 2.04 billion).

    Differs from the paper: nothing that it states; `bn_inception` says how it differs from Ioffe and Szegedy's. The two
    layers of squeeze-and-excitation have biases, as in the authors' definition and not in the paper's equations.
    """
    return BNInception(num_classes, input_px, squeeze=True)


class BNInception(Classifier):
    """Three convolutions with BN and ReLU, ten Inception modules, global average pooling, one linear layer."""

    def __init__(self, num_classes: int, input_px: int, squeeze: bool) -> None:
        super().__init__()
        check_input_px("SE-BN-Inception" if squeeze else "BN-Inception", input_px, smallest=32)
        self.conv1 = ConvBNReLU(3, 64, 7, stride=2, padding=3)
        self.conv2_reduce = ConvBNReLU(64, 64, 1)
        self.conv2 = ConvBNReLU(64, 192, 3, padding=1)
        self.pool = HalvingMaxPool()
        self.inception = nn.Sequential()
        channels = 192
        for name, widths in INCEPTION.items():
            module = _module(name, channels, widths)
            channels = module.channels
            self.inception.add_module(name, module)
            if squeeze:
                self.inception.add_module(f"{name}_se", SEModule(channels, SE_REDUCTION))
        self.global_pool = GlobalAveragePool()
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of the paper's input."""
        x = self.pool(self.conv1(images))  # N x 64 x 56 x 56
        x = self.conv2(self.conv2_reduce(x))  # N x 192 x 56 x 56
        x = self.pool(x)  # N x 192 x 28 x 28
        x = self.inception(x)  # N x 1024 x 7 x 7
        x = self.global_pool(x)  # N x 1024
        logits: Tensor = self.classifier(x)  # N x K
        return logits

    def initialize_as_paper(self) -> None:
        """Unstated by Ioffe and Szegedy; Hu et al. 2017, section 5: He et al. 2015 ("Delving Deep"), by fan-in.

        Biases are 0, BN starts at 1 and 0.
        """
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()


class ConvBNReLU(nn.Module):
    """Convolution without bias, BN, ReLU."""

    def __init__(self, channels: int, width: int, side: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, side, stride=stride, padding=padding, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C', H / stride, W / stride]`, nothing below 0."""
        return F.relu(self.norm(self.conv(x)), inplace=True)


class Inception(nn.Module):
    """1x1; 1x1, 3x3; 1x1, 3x3, 3x3; pooling, 1x1; concatenated."""

    def __init__(
        self,
        channels: int,
        one: int,
        reduce3: int,
        three: int,
        reduce_double: int,
        double: int,
        pooled: int,
        max_pooled: bool,
    ) -> None:
        super().__init__()
        pooling = nn.MaxPool2d if max_pooled else nn.AvgPool2d
        self.branch1 = ConvBNReLU(channels, one, 1)
        self.branch3 = nn.Sequential(ConvBNReLU(channels, reduce3, 1), ConvBNReLU(reduce3, three, 3, padding=1))
        self.branch_double = _double(channels, reduce_double, double, stride=1)
        self.branch_pool = nn.Sequential(pooling(3, stride=1, padding=1), ConvBNReLU(channels, pooled, 1))
        self.channels = one + three + double + pooled

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C', H, W]`, the branches in the paper's order."""
        return torch.cat([self.branch1(x), self.branch3(x), self.branch_double(x), self.branch_pool(x)], dim=1)


class Reduction(nn.Module):
    """1x1, 3x3 by 2; 1x1, 3x3, 3x3 by 2; max pooling by 2; concatenated."""

    def __init__(self, channels: int, reduce3: int, three: int, reduce_double: int, double: int) -> None:
        super().__init__()
        self.branch3 = nn.Sequential(
            ConvBNReLU(channels, reduce3, 1), ConvBNReLU(reduce3, three, 3, stride=2, padding=1)
        )
        self.branch_double = _double(channels, reduce_double, double, stride=2)
        self.pool = HalvingMaxPool()
        self.channels = three + double + channels

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C', H / 2, W / 2]`, odd sides rounded up."""
        return torch.cat([self.branch3(x), self.branch_double(x), self.pool(x)], dim=1)


class HalvingMaxPool(nn.MaxPool2d):
    """3x3 max pooling by 2 as Caffe's, the last windows standing out; for what nothing is below 0.

    Of odd sides, which Caffe would round down and the convolutions by 2 round up, it first pads the beginning.
    """

    def __init__(self) -> None:
        super().__init__(3, stride=2, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C, H / 2, W / 2]`, odd sides rounded up."""
        height, width = x.shape[2:]
        if height % 2 or width % 2:
            x = F.pad(x, (width % 2, 0, height % 2, 0))
        x = super().forward(x)
        return x


def _module(name: str, channels: int, widths: tuple[int, ...]) -> Inception | Reduction:
    """A row of Figure 5; without 1x1 convolutions it is a module of stride 2."""
    one, reduce3, three, reduce_double, double, pooled = widths
    if not one:
        return Reduction(channels, reduce3, three, reduce_double, double)
    return Inception(channels, one, reduce3, three, reduce_double, double, pooled, max_pooled=name == MAX_POOLED)


def _double(channels: int, reduce: int, width: int, stride: int) -> nn.Sequential:
    """1x1 and two 3x3 convolutions, `stride` in the last."""
    return nn.Sequential(
        ConvBNReLU(channels, reduce, 1),
        ConvBNReLU(reduce, width, 3, padding=1),
        ConvBNReLU(width, width, 3, stride=stride, padding=1),
    )
