"""Inception-ResNet: Szegedy et al. 2016, "Inception-v4, Inception-ResNet and the Impact of Residual Connections"."""

import torch
import torch.nn.functional as F
from timm.models.inception_resnet_v2 import InceptionResnetV2
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, GlobalAveragePool, check_input_px

SCALES = {"A": 0.17, "B": 0.10, "C": 0.20}  # of the residuals: those of the code released for v2


def inception_resnet_v1(num_classes: int = 1000, input_px: int = 299, dropout: float = 0.2) -> "InceptionResNetV1":
    """The network of Figures 10 to 15, and of Figure 7 with the widths that the paper's table has for it.

    Input 299 px; parameters 22,756,328 (the paper gives none); multiply-adds 6,206,361,696 (the paper: about those of
    Inception-v3).

    The authors released no code of it. The definition that is well known, facenet-pytorch's, has the figures' widths,
    but a sixth module C, without ReLU, and an embedding of 512 values for the classifier: 23,482,624 parameters in all.

    Differs from the paper: nothing that it states. Section 3.3 scales residuals by 0.1 to 0.3; 0.17, 0.10 and 0.20 are
    those of the code released for v2, from which the initialisation and epsilon in batch norm come too.
    """
    return InceptionResNetV1(num_classes, input_px, dropout)


def inception_resnet_v2(num_classes: int = 1000, input_px: int = 299, dropout: float = 0.2) -> "InceptionResNetV2":
    """The network that the authors released: timm's.

    Input 299 px; parameters 55,843,464 (the paper gives none; published by timm: 55.8 million); multiply-adds
    13,155,794,016 (the paper: about those of Inception-v4; published by timm: 13.2 billion).

    Differs from the paper:
    - Figure 15 has 5, 10 and 5 modules A, B and C; the released definition has 10, 20 and 10.
    - The stem is Inception-v3's with one more module, to 320 channels, where Figure 3 has 384; the sums of modules A, B
      and C have 320, 1088 and 2080 channels, where Figures 16, 17 and 19 have 384, 1154 and 2048.
    - The last module C scales its residual by 1 and has no ReLU; a 1x1 convolution to 1536 channels follows.
    - Batch norm has scales, as timm's, of which the paper says nothing; the released code leaves them out (30,272
      parameters).
    - No auxiliary head, as in the paper, where the released code trains with one.

    Unstated, and taken from the released code: the scales 0.17, 0.10 and 0.20 of the residuals (section 3.3: 0.1 to
    0.3), the initialisation.
    """
    return InceptionResNetV2(num_classes, input_px, dropout)


class InceptionResNetV2(Classifier, InceptionResnetV2):
    """Stem, ten modules A, reduction, twenty B, reduction, ten C, 1x1 convolution; average pooling, dropout, linear."""

    def __init__(self, num_classes: int, input_px: int, dropout: float) -> None:
        check_input_px("Inception-ResNet-v2", input_px, smallest=75)
        super().__init__(
            num_classes=num_classes, drop_rate=dropout, norm_layer="batchnorm2d", norm_eps=1e-3, act_layer="relu"
        )

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`."""
        x = self.maxpool_3a(self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(images))))  # N x 64 x 73 x 73
        x = self.maxpool_5a(self.conv2d_4a(self.conv2d_3b(x)))  # N x 192 x 35 x 35
        x = self.repeat(self.mixed_5b(x))  # N x 320 x 35 x 35
        x = self.repeat_1(self.mixed_6a(x))  # N x 1088 x 17 x 17
        x = self.block8(self.repeat_2(self.mixed_7a(x)))  # N x 2080 x 8 x 8
        x = self.global_pool(self.conv2d_7b(x))  # N x 1536
        logits: Tensor = self.classif(self.head_drop(x))  # N x K
        return logits

    def initialize_as_paper(self) -> None:
        """Unstated in the paper; the released code's: Glorot's uniform distribution, biases 0, BN 1 and 0."""
        _initialize(self)


class InceptionResNetV1(Classifier):
    """Stem, five modules A, reduction, ten B, reduction, five C; average pooling, dropout, linear."""

    def __init__(self, num_classes: int, input_px: int, dropout: float) -> None:
        super().__init__()
        check_input_px("Inception-ResNet-v1", input_px, smallest=75)
        self.stem = _stem()
        self.stage_a = nn.Sequential(*(_module_a(256) for _ in range(5)))
        self.reduction_a = _reduction_a(256, k=192, l=192, m=256, n=384)
        self.stage_b = nn.Sequential(*(_module_b(896) for _ in range(10)))
        self.reduction_b = _reduction_b(896)
        self.stage_c = nn.Sequential(*(_module_c(1792) for _ in range(5)))
        self.global_pool = GlobalAveragePool()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(1792, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of the paper's input."""
        x = self.stage_a(self.stem(images))  # N x 256 x 35 x 35
        x = self.stage_b(self.reduction_a(x))  # N x 896 x 17 x 17
        x = self.stage_c(self.reduction_b(x))  # N x 1792 x 8 x 8
        x = self.global_pool(x)  # N x 1792
        logits: Tensor = self.classifier(self.dropout(x))  # N x K
        return logits

    def initialize_as_paper(self) -> None:
        """Unstated in the paper; the code released for v2: Glorot's uniform distribution, biases 0, BN 1 and 0."""
        _initialize(self)


class ConvBNReLU(nn.Sequential):
    """Convolution without bias, BN, ReLU; the paper's "V" is `padding="valid"`."""

    def __init__(
        self, channels: int, width: int, sides: int | tuple[int, int], stride: int = 1, padding: str = "same"
    ) -> None:
        super().__init__(
            nn.Conv2d(channels, width, sides, stride=stride, padding=padding, bias=False),
            nn.BatchNorm2d(width, eps=1e-3),
            nn.ReLU(inplace=True),
        )


class Branches(nn.ModuleList):
    """Modules side by side, their outputs concatenated."""

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, sum of the branches' channels, H', W']`."""
        return torch.cat([branch(x) for branch in self], dim=1)


class ScaledResidual(nn.Module):
    """Branches, linear 1x1 convolution with bias; the input plus `scale` times this; ReLU (Figure 20)."""

    def __init__(self, channels: int, scale: float, widths: int, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = Branches(branches)
        self.expand = nn.Conv2d(widths, channels, 1)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to the same shape."""
        return F.relu(x + self.scale * self.expand(self.branches(x)), inplace=True)


def _stem() -> nn.Sequential:
    """Figure 14: `[N, 3, 299, 299]` to `[N, 256, 35, 35]`."""
    return nn.Sequential(
        ConvBNReLU(3, 32, 3, stride=2, padding="valid"),  # N x 32 x 149 x 149
        ConvBNReLU(32, 32, 3, padding="valid"),  # N x 32 x 147 x 147
        ConvBNReLU(32, 64, 3),  # N x 64 x 147 x 147
        nn.MaxPool2d(3, stride=2),  # N x 64 x 73 x 73
        ConvBNReLU(64, 80, 1),  # N x 80 x 73 x 73
        ConvBNReLU(80, 192, 3, padding="valid"),  # N x 192 x 71 x 71
        ConvBNReLU(192, 256, 3, stride=2, padding="valid"),  # N x 256 x 35 x 35
    )


def _module_a(channels: int) -> ScaledResidual:
    """Figure 10: 1x1; 1x1, 3x3; 1x1, 3x3, 3x3."""
    return ScaledResidual(
        channels,
        SCALES["A"],
        3 * 32,
        ConvBNReLU(channels, 32, 1),
        nn.Sequential(ConvBNReLU(channels, 32, 1), ConvBNReLU(32, 32, 3)),
        nn.Sequential(ConvBNReLU(channels, 32, 1), ConvBNReLU(32, 32, 3), ConvBNReLU(32, 32, 3)),
    )


def _module_b(channels: int) -> ScaledResidual:
    """Figure 11: 1x1; 1x1, 1x7, 7x1."""
    return _factorized(channels, SCALES["B"], width=128, length=7)


def _module_c(channels: int) -> ScaledResidual:
    """Figure 13: 1x1; 1x1, 1x3, 3x1."""
    return _factorized(channels, SCALES["C"], width=192, length=3)


def _factorized(channels: int, scale: float, width: int, length: int) -> ScaledResidual:
    factors = ConvBNReLU(width, width, (1, length)), ConvBNReLU(width, width, (length, 1))
    return ScaledResidual(
        channels,
        scale,
        2 * width,
        ConvBNReLU(channels, width, 1),
        nn.Sequential(ConvBNReLU(channels, width, 1), *factors),
    )


def _reduction_a(channels: int, k: int, l: int, m: int, n: int) -> Branches:  # noqa: E741 (the paper's letters)
    """Figure 7: max pooling; 3x3; 1x1, 3x3, 3x3; the last of each with stride 2."""
    return Branches(
        [
            nn.MaxPool2d(3, stride=2),
            ConvBNReLU(channels, n, 3, stride=2, padding="valid"),
            nn.Sequential(
                ConvBNReLU(channels, k, 1), ConvBNReLU(k, l, 3), ConvBNReLU(l, m, 3, stride=2, padding="valid")
            ),
        ]
    )


def _reduction_b(channels: int) -> Branches:
    """Figure 12: max pooling; 1x1, 3x3; 1x1, 3x3; 1x1, 3x3, 3x3; the last of each with stride 2."""
    return Branches(
        [
            nn.MaxPool2d(3, stride=2),
            nn.Sequential(ConvBNReLU(channels, 256, 1), ConvBNReLU(256, 384, 3, stride=2, padding="valid")),
            nn.Sequential(ConvBNReLU(channels, 256, 1), ConvBNReLU(256, 256, 3, stride=2, padding="valid")),
            nn.Sequential(
                ConvBNReLU(channels, 256, 1),
                ConvBNReLU(256, 256, 3),
                ConvBNReLU(256, 256, 3, stride=2, padding="valid"),
            ),
        ]
    )


def _initialize(network: nn.Module) -> None:
    """The default of TensorFlow's slim, Glorot's uniform distribution; biases 0, batch norm 1 and 0."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
