"""GoogLeNet: Szegedy et al. 2014, "Going Deeper with Convolutions"."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, GlobalAveragePool, LocalResponseNorm, check_input_px

# Table 1: channels of 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5 and pool proj.
INCEPTION = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
AUXILIARY_WEIGHT = 0.3


def googlenet(num_classes: int = 1000, input_px: int = 224, dropout: float | None = None) -> "GoogLeNet":
    """The network of Table 1 and Figure 3, with local response normalisation and two auxiliary heads.

    Input 224 px; parameters 6,998,552, with the heads 13,378,280 (published: 6.8 million, the sum of Table
    1); multiply-adds 1,582,671,872 (published: 1.502 billion, the sum of Table 1).

    Args:
        dropout: one rate for the three heads; None is the paper's, 40 % before the classifier and 70 % in the
            auxiliary heads.

    Differs from the paper: nothing that it states. Its Table 1 counts 2.7 thousand parameters and 34 million
    multiply-adds in the first convolution, which is not the 7 x 7 convolution that it describes (9.4
    thousand, 118 million); but for 3 million too many in its 5a, that is the difference in multiply-adds. Its
    parameters of 4a to 5b are up to 10 % off. Unstated, and taken from BVLC's replication, which has our counts:
    the constants of the normalisation, the initialisation.
    """
    return GoogLeNet(num_classes, input_px, dropout)


class GoogLeNet(Classifier):
    """Three convolutions, nine Inception modules, global average pooling, one linear layer."""

    def __init__(self, num_classes: int, input_px: int, dropout: float | None) -> None:
        super().__init__()
        check_input_px("GoogLeNet", input_px, smallest=79)
        self.conv1 = ConvReLU(3, 64, 7, stride=2, padding=3)
        self.conv2_reduce = ConvReLU(64, 64, 1)
        self.conv2 = ConvReLU(64, 192, 3, padding=1)
        self.norm = LocalResponseNorm(size=5, alpha=1e-4 / 5, k=1.0)  # BVLC's, as a plain sum
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception = nn.ModuleDict()
        channels = 192
        for name, widths in INCEPTION.items():
            self.inception[name] = Inception(channels, *widths)
            channels = widths[0] + widths[2] + widths[4] + widths[5]
        self.global_pool = GlobalAveragePool()
        self.dropout = nn.Dropout(0.4 if dropout is None else dropout)
        self.classifier = nn.Linear(channels, num_classes)
        head = (_stage4_px(input_px), num_classes, 0.7 if dropout is None else dropout)
        self.auxiliary_4a = AuxiliaryHead(512, *head)
        self.auxiliary_4d = AuxiliaryHead(528, *head)

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`."""
        return self._classify(self._after_4d(self._after_4a(images)))

    def outputs(self, images: Tensor) -> list[tuple[float, Tensor]]:
        """The classifier's logits, and those of the heads on 4a and 4d with weight 0.3 (section 5)."""
        after_4a = self._after_4a(images)
        after_4d = self._after_4d(after_4a)
        return [
            (1.0, self._classify(after_4d)),
            (AUXILIARY_WEIGHT, self.auxiliary_4a(after_4a)),
            (AUXILIARY_WEIGHT, self.auxiliary_4d(after_4d)),
        ]

    def auxiliary_heads(self) -> list[nn.Module]:
        """The heads on 4a and 4d."""
        return [self.auxiliary_4a, self.auxiliary_4d]

    def _after_4a(self, images: Tensor) -> Tensor:
        x = self.conv1(images)  # N x 64 x 112 x 112
        x = self.norm(self.pool(x))  # N x 64 x 56 x 56
        x = self.conv2(self.conv2_reduce(x))  # N x 192 x 56 x 56
        x = self.pool(self.norm(x))  # N x 192 x 28 x 28
        x = self.inception["3a"](x)  # N x 256 x 28 x 28
        x = self.inception["3b"](x)  # N x 480 x 28 x 28
        after_4a: Tensor = self.inception["4a"](self.pool(x))  # N x 512 x 14 x 14
        return after_4a

    def _after_4d(self, x: Tensor) -> Tensor:
        x = self.inception["4b"](x)  # N x 512 x 14 x 14
        x = self.inception["4c"](x)  # N x 512 x 14 x 14
        x = self.inception["4d"](x)  # N x 528 x 14 x 14
        return x

    def _classify(self, x: Tensor) -> Tensor:
        x = self.inception["4e"](x)  # N x 832 x 14 x 14
        x = self.inception["5a"](self.pool(x))  # N x 832 x 7 x 7
        x = self.inception["5b"](x)  # N x 1024 x 7 x 7
        x = self.global_pool(x)  # N x 1024
        logits: Tensor = self.classifier(self.dropout(x))  # N x K
        return logits

    def initialize_as_paper(self) -> None:
        """Unstated in the paper; BVLC's: Xavier's uniform by fan-in, biases 0.2, in the classifiers 0."""
        classifiers = {self.classifier, self.auxiliary_4a.classifier, self.auxiliary_4d.classifier}
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                bound = (3 / module.weight[0].numel()) ** 0.5
                nn.init.uniform_(module.weight, -bound, bound)
                if module.bias is not None:
                    nn.init.constant_(module.bias, 0.0 if module in classifiers else 0.2)


class ConvReLU(nn.Conv2d):
    """Convolution, ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C', H', W']`, nothing below 0."""
        return F.relu(super().forward(x), inplace=True)


class Inception(nn.Module):
    """Figure 2 (b): 1x1; 1x1, 3x3; 1x1, 5x5; pooling, 1x1; concatenated."""

    def __init__(self, channels: int, one: int, reduce3: int, three: int, reduce5: int, five: int, pooled: int) -> None:
        super().__init__()
        self.branch1 = ConvReLU(channels, one, 1)
        self.branch3 = nn.Sequential(ConvReLU(channels, reduce3, 1), ConvReLU(reduce3, three, 3, padding=1))
        self.branch5 = nn.Sequential(ConvReLU(channels, reduce5, 1), ConvReLU(reduce5, five, 5, padding=2))
        self.branch_pool = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), ConvReLU(channels, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C', H, W]`, the branches in the paper's order."""
        return torch.cat([self.branch1(x), self.branch3(x), self.branch5(x), self.branch_pool(x)], dim=1)


class AuxiliaryHead(nn.Module):
    """Section 5: 5x5 average pooling with stride 3, 1x1 convolution, ReLU, linear, ReLU, dropout, linear."""

    def __init__(self, channels: int, side: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(5, stride=3)
        self.conv = ConvReLU(channels, 128, 1)
        self.hidden = nn.Linear(128 * ((side - 5) // 3 + 1) ** 2, 1024)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, 14, 14]` (for the paper's input) to logits `[N, K]`."""
        x = self.conv(self.pool(x))  # N x 128 x 4 x 4
        x = self.dropout(F.relu(self.hidden(x.flatten(1))))  # N x 1024
        logits: Tensor = self.classifier(x)  # N x K
        return logits


def _stage4_px(input_px: int) -> int:
    """Side of the feature map in the modules 4a to 4e: 14 for 224."""
    side = (input_px - 1) // 2 + 1
    for _ in range(3):
        side = -(-(side - 3) // 2) + 1
    return side
