"""Wide ResNet for CIFAR and SVHN: Zagoruyko and Komodakis 2016, "Wide Residual Networks"."""

import torch.nn.functional as F
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, GlobalAveragePool, check_input_px, named


@named(
    "wrn_{depth}_{widening}_cifar",
    depth=range(10, 5000, 6),
    widening=range(1, 100),
    listed=(
        "wrn_16_4_cifar", "wrn_16_8_cifar", "wrn_16_10_cifar", "wrn_22_8_cifar", "wrn_22_10_cifar", "wrn_28_10_cifar",
        "wrn_28_12_cifar", "wrn_40_1_cifar", "wrn_40_2_cifar", "wrn_40_4_cifar", "wrn_40_8_cifar", "wrn_40_10_cifar",
        "wrn_52_1_cifar",
    ),
)  # fmt: skip
def wide_resnet_cifar(
    depth: int, widening: int, num_classes: int = 10, input_px: int = 32, dropout: float = 0.0
) -> "WideResNet":
    """WRN-n-k with blocks B(3,3): n convolutions that learn features, k times as wide as a ResNet for CIFAR.

    Without dropout as in Tables 4 and 5; Table 6 compares it with `dropout` 0.3 on CIFAR, 0.4 on SVHN. Input 32 px;
    published: parameters in Table 4, no multiply-adds.

    parameters  (published)  multiply-adds
    WRN-16-4    2,748,890                  392,612,352
    WRN-16-8   10,961,370  11.0 million  1,548,145,664
    WRN-16-10  17,116,634  17.1 million  2,412,173,568
    WRN-22-8   17,158,106  17.2 million  2,454,115,328
    WRN-22-10  26,797,914  26.8 million  3,827,751,168
    WRN-28-10  36,479,194  36.5 million  5,243,328,768
    WRN-28-12  52,517,850  52.5 million  7,543,905,792
    WRN-40-1      563,930  0.6 million      83,280,512
    WRN-40-2    2,243,546  2.2 million     327,599,360
    WRN-40-4    8,949,210  8.9 million   1,298,582,016
    WRN-40-8   35,748,314  35.7 million  5,172,024,320
    WRN-40-10  55,841,754                8,074,483,968
    WRN-52-1      758,362                  111,592,064

    Differs from the paper: nothing that it states.
    """
    return WideResNet((depth - 4) // 6, widening, num_classes, input_px, dropout)


class WideResNet(Classifier):
    """3x3 convolution; three stages of pre-activation blocks (Table 1); BN, ReLU; global average pooling, linear."""

    def __init__(self, depth: int, widening: int, num_classes: int, input_px: int, dropout: float) -> None:
        super().__init__()
        check_input_px("Wide ResNet for CIFAR", input_px, smallest=4)
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.stages = nn.Sequential(
            _stage(16, 16 * widening, depth, 1, dropout),
            _stage(16 * widening, 32 * widening, depth, 2, dropout),
            _stage(32 * widening, 64 * widening, depth, 2, dropout),
        )
        self.norm = nn.BatchNorm2d(64 * widening)
        self.global_pool = GlobalAveragePool()
        self.classifier = nn.Linear(64 * widening, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of the paper's input."""
        x = self.conv1(images)  # N x 16 x 32 x 32
        x = self.stages(x)  # N x 64 k x 8 x 8
        x = self.global_pool(F.relu(self.norm(x), inplace=True))  # N x 64 k
        logits: Tensor = self.classifier(x)  # N x K
        return logits

    def initialize_as_paper(self) -> None:
        """The authors' Torch code: He's normal by fan-in, torch's default weights in the classifier, biases 0.

        An earlier release took the fan-out. Batch norms start as Torch 7 starts them: weights uniform from [0, 1).
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
                nn.init.uniform_(module.weight)
        self.classifier.reset_parameters()
        nn.init.zeros_(self.classifier.bias)


class WideBlock(nn.Module):
    """BN, ReLU, 3x3, BN, ReLU, dropout, 3x3; plus shortcut (Figure 1 (d)).

    Where the width changes the shortcut is a 1x1 convolution of what the first BN and ReLU give.
    """

    def __init__(self, channels: int, width: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        projects = channels != width
        self.projection = nn.Conv2d(channels, width, 1, stride=stride, bias=False) if projects else None

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C', H / stride, W / stride]`."""
        activated = F.relu(self.norm1(x), inplace=True)
        residual = F.relu(self.norm2(self.conv1(activated)), inplace=True)
        residual = self.conv2(self.dropout(residual))
        x = residual + (self.projection(activated) if self.projection else x)
        return x


def _stage(channels: int, width: int, depth: int, stride: int, dropout: float) -> nn.Sequential:
    """`depth` blocks, the first of which changes the shape."""
    first = WideBlock(channels, width, stride, dropout)
    return nn.Sequential(first, *(WideBlock(width, width, 1, dropout) for _ in range(depth - 1)))
