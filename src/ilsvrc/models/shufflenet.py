"""ShuffleNet: Zhang et al. 2017, "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices".

Counts for 224 px, and those that Tables 1, 2 and 5 and the README of the authors' released code print (Table 1
leaves the classifier out, Table 2 prints one figure for all numbers of groups; empty where nobody prints one):

    name                 parameters    published  multiply-adds    published
    shufflenet_g1_0_25x     208,908                  13,162,320   13 million
    shufflenet_g2_0_25x     266,224                  13,386,292   13 million
    shufflenet_g3_0_25x     305,124                  13,300,656   13 million
    shufflenet_g4_0_25x     337,700                  13,357,352   13 million
    shufflenet_g8_0_25x     453,888                  15,719,040   13 million
    shufflenet_g1_0_5x      533,484                  38,517,408   38 million
    shufflenet_g2_0_5x      642,932                  38,570,608   38 million
    shufflenet_g3_0_5x      717,324  0.7 million     37,589,856   38 million
    shufflenet_g4_0_5x      777,040                  37,468,832   38 million
    shufflenet_g8_0_5x    1,010,448  1.0 million     40,469,760   40 million
    shufflenet_g1_1x      1,530,936                 143,078,976  143 million
    shufflenet_g2_1x      1,732,848                 140,836,512  140 million
    shufflenet_g3_1x      1,864,728  1.9 million    137,460,672  137 million
    shufflenet_g4_1x      1,967,344                 134,339,776  133 million
    shufflenet_g8_1x      2,433,768  2.4 million    138,365,952  137 million
    shufflenet_g1_1_5x    2,992,032                 308,096,352
    shufflenet_g2_1_5x    3,271,312                 302,187,792
    shufflenet_g3_1_5x    3,441,168  3.4 million    292,443,552  292 million
    shufflenet_g4_1_5x    3,573,032                 285,767,712
    shufflenet_g8_1_5x    4,268,952  4.3 million    290,188,800  290 million
    shufflenet_g1_2x      4,917,744                 550,334,592
    shufflenet_g2_2x      5,256,896                 539,138,624
    shufflenet_g3_2x      5,449,776  5.4 million    524,045,184  524 million
    shufflenet_g4_2x      5,592,528                 510,289,536
    shufflenet_g8_2x      6,521,232  6.5 million    521,942,016  522 million
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, GlobalAveragePool, check_input_px, named

DEPTHS = (4, 8, 4)  # units of stages 2, 3 and 4 (Table 1)
CHANNELS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}  # Table 1: groups -> channels of stage 2; each later stage doubles
STEM_CHANNELS = {"0_25": 12, "0_5": 12, "1": 24, "1_5": 24, "2": 48}


@named("shufflenet_g{groups}_{width}x", groups=(1, 2, 3, 4, 8), width=("0_25", "0_5", "1", "1_5", "2"))
def shufflenet(groups: int, width: str, num_classes: int = 1000, input_px: int = 224) -> "ShuffleNet":
    """The network of Table 1 with `groups` groups in its 1x1 convolutions, its channels scaled by `width`.

    Input 224 px; the module's docstring holds the counts of each name.

    Differs from the paper: nothing that it states. Unstated, and taken from the authors' released code, which
    has 3 and 8 groups at 0.5x to 2x: the stem's channels (12, 24, 24 and 48 at 0.5x, 1x, 1.5x and 2x, rounded up
    to a multiple of the groups), the classifier without biases, the initialisation. What it leaves open is chosen
    to meet Table 2: 0.25x has 0.5x's stem, for it prints 13 million multiply-adds (with a stem of 6 channels 11
    million), and bottleneck channels that the groups do not divide are rounded to the nearest multiple (2 groups
    at 0.25x, 0.5x and 1.5x; 4 at 0.25x, 0.5x and 1.5x). The released code shuffles by the inverse permutation and
    behind the depthwise convolution, so its weights do not fit as they are.
    """
    return ShuffleNet(groups, width, num_classes, input_px)


class ShuffleNet(Classifier):
    """3x3 convolution, BN, ReLU, 3x3 pooling; three stages of units; global average pooling, linear."""

    def __init__(self, groups: int, width: str, num_classes: int, input_px: int) -> None:
        super().__init__()
        check_input_px("ShuffleNet", input_px, smallest=32)
        channels = -(-STEM_CHANNELS[width] // groups) * groups
        self.stem = nn.Conv2d(3, channels, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stages = nn.Sequential()
        for i, depth in enumerate(DEPTHS):
            out_channels = round(CHANNELS[groups] * float(width.replace("_", "."))) * 2**i
            self.stages.append(_stage(channels, out_channels, depth, groups, first=i == 0))
            channels = out_channels
        self.global_pool = GlobalAveragePool()
        self.classifier = nn.Linear(channels, num_classes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of 3 groups at 1x."""
        x = F.relu(self.norm(self.stem(images)), inplace=True)  # N x 24 x 112 x 112
        x = self.pool(x)  # N x 24 x 56 x 56
        x = self.stages(x)  # N x 960 x 7 x 7
        x = self.global_pool(x)  # N x 960
        logits: Tensor = self.classifier(x)  # N x K
        return logits

    def initialize_as_paper(self) -> None:
        """Unstated in the paper; the authors' released code's.

        Weights are normal: those of the stem and the classifier with deviation 0.01, those of the units with 1 / (the
        input channels of a group). BN weights 1, biases 0.0001.
        """
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
                nn.init.constant_(module.bias, 1e-4)
            elif isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=1 / module.weight.shape[1])
        for module in (self.stem, self.classifier):
            nn.init.normal_(module.weight, std=0.01)


class Unit(nn.Module):
    """Figure 2 (b): grouped 1x1, BN, ReLU, shuffle, depthwise 3x3, BN, grouped 1x1, BN; plus input; ReLU.

    `stride` 2 is Figure 2 (c): the input is average-pooled and concatenated. `first_groups` are the groups of the
    first convolution.
    """

    def __init__(self, channels: int, out_channels: int, stride: int, groups: int, first_groups: int) -> None:
        super().__init__()
        width = _nearest_multiple(out_channels // 4, groups)
        residual = out_channels - channels if stride == 2 else out_channels
        self.reduce = nn.Conv2d(channels, width, 1, groups=first_groups, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.shuffle = nn.ChannelShuffle(groups)
        self.depthwise = nn.Conv2d(width, width, 3, stride=stride, padding=1, groups=width, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.expand = nn.Conv2d(width, residual, 1, groups=groups, bias=False)
        self.norm3 = nn.BatchNorm2d(residual)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1) if stride == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C', H / stride, W / stride]`."""
        residual = F.relu(self.norm1(self.reduce(x)), inplace=True)
        residual = self.norm2(self.depthwise(self.shuffle(residual)))
        residual = self.norm3(self.expand(residual))
        joined = x + residual if self.pool is None else torch.cat([self.pool(x), residual], dim=1)
        return F.relu(joined, inplace=True)


def _stage(channels: int, out_channels: int, depth: int, groups: int, first: bool) -> nn.Sequential:
    """`depth` units, the first with stride 2; the `first` stage's first convolution has too few channels to group."""
    start = Unit(channels, out_channels, stride=2, groups=groups, first_groups=1 if first else groups)
    return nn.Sequential(start, *(Unit(out_channels, out_channels, 1, groups, groups) for _ in range(depth - 1)))


def _nearest_multiple(number: int, of: int) -> int:
    """The multiple nearest to `number`, the greater of two."""
    return (2 * number + of) // (2 * of) * of
