"""G-Ghost RegNet: Han et al. 2022, "GhostNets on Heterogeneous Devices via Cheap Operations"."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, GlobalAveragePool, check_input_px, named

STEM_CHANNELS = 32
# RegNetX (Radosavovic et al. 2020, Figure 16): blocks and channels of the stages, channels of a group.
REGNETX = {
    "3_2": ((2, 6, 15, 2), (96, 192, 432, 1008), 48),
    "4": ((2, 5, 14, 2), (80, 240, 560, 1360), 40),
    "8": ((2, 5, 15, 1), (80, 240, 720, 1920), 120),
    "16": ((2, 6, 13, 1), (256, 512, 896, 2048), 128),
}


@named("g_ghost_regnetx_{size}gf", size=("3_2", "4", "8", "16"))
def g_ghost_regnetx(size: str, num_classes: int = 1000, input_px: int = 224, dropout: float = 0.2) -> "GGhostRegNet":
    """RegNetX with G-Ghost stages, named by the multiply-adds of the RegNetX that it starts from.

    Input 224 px; parameters and multiply-adds, ours and those that the authors' README prints:

        g_ghost_regnetx_3_2gf  10,511,000  (10.5 million)  1,801,746,240  (1.8 billion)
        g_ghost_regnetx_4gf    15,726,268  (15.7 million)  2,228,368,516  (2.2 billion)
        g_ghost_regnetx_8gf    24,586,928  (24.6 million)  4,149,668,216  (4.2 billion)
        g_ghost_regnetx_16gf   32,381,704  (32.4 million)  8,997,384,192  (9.0 billion)

    Differs from the paper: held against the authors' released code, not against the text. That code keeps a
    stage's first and last block whole, groups three quarters as many channels in the others, aggregates by two
    1x1 convolutions with BN, and adds dropout.
    """
    depths, widths, group_channels = REGNETX[size]
    return GGhostRegNet(depths, widths, group_channels, num_classes, input_px, dropout)


class GGhostRegNet(Classifier):
    """3x3 convolution, BN, ReLU; four stages, with ghosts where there are blocks between; pooling, dropout, linear."""

    def __init__(
        self,
        depths: tuple[int, ...],
        widths: tuple[int, ...],
        group_channels: int,
        num_classes: int,
        input_px: int,
        dropout: float,
    ) -> None:
        super().__init__()
        check_input_px("G-Ghost RegNet", input_px, smallest=32)
        self.conv1 = nn.Conv2d(3, STEM_CHANNELS, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        channels = (STEM_CHANNELS, *widths)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(channels[i], channels[i + 1], depth, group_channels) for i, depth in enumerate(depths)
        )
        self.global_pool = GlobalAveragePool()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(widths[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of 3.2GF."""
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)  # N x 32 x 112 x 112
        x = self.layer1(x)  # N x 96 x 56 x 56
        x = self.layer2(x)  # N x 192 x 28 x 28
        x = self.layer3(x)  # N x 432 x 14 x 14
        x = self.layer4(x)  # N x 1008 x 7 x 7
        x = self.dropout(self.global_pool(x))  # N x 1008
        logits: Tensor = self.fc(x)  # N x K
        return logits

    def initialize_as_paper(self) -> None:
        """The authors' released code's: He's normal by fan-out, BN 1 and 0, torch's default in the classifier."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.BatchNorm2d)):
                module.reset_parameters()
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class Block(nn.Module):
    """RegNet's X block: 1x1, BN, ReLU, grouped 3x3, BN, ReLU, 1x1, BN; plus shortcut; ReLU."""

    def __init__(self, channels: int, width: int, stride: int, group_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        groups = width // min(width, group_channels)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        projection = nn.Conv2d(channels, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width)
        self.downsample = nn.Sequential(*projection) if stride != 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C', H / stride, W / stride]`."""
        residual = F.relu(self.bn1(self.conv1(x)), inplace=True)
        residual = F.relu(self.bn2(self.conv2(residual)), inplace=True)
        residual = self.bn3(self.conv3(residual))
        return F.relu(residual + self.downsample(x), inplace=True)


class GhostStage(nn.Module):
    """A whole block; some of its channels through thin blocks, the rest by a cheap operation; a whole block.

    `cheap` is a 1x1 convolution with BN; what it puts out is mixed with what `merge` makes of the features before:
    averages over the image of the first block's and every thin block's, 1x1, BN, ReLU, 1x1, BN; ReLU.
    """

    def __init__(self, channels: int, width: int, depth: int, group_channels: int) -> None:
        super().__init__()
        thin_group = group_channels * 3 // 4
        self.thin = width // 2 // thin_group * thin_group
        ghosts = width - self.thin
        self.base = Block(channels, width, 2, group_channels)
        self.layers = nn.Sequential(*(Block(self.thin, self.thin, 1, thin_group) for _ in range(depth - 2)))
        self.cheap = nn.Sequential(nn.Conv2d(ghosts, ghosts, 1, bias=False), nn.BatchNorm2d(ghosts))
        self.merge = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width + self.thin * (depth - 2), ghosts, 1, bias=False), nn.BatchNorm2d(ghosts),
            nn.ReLU(inplace=True),
            nn.Conv2d(ghosts, ghosts, 1, bias=False), nn.BatchNorm2d(ghosts),
        )  # fmt: skip
        self.end = Block(width, width, 1, group_channels)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C', H / 2, W / 2]`."""
        first = self.base(x)
        features = [first]
        thin = first[:, : self.thin]
        for block in self.layers:
            thin = block(thin)
            features.append(thin)
        mixed = self.merge(torch.cat(features, dim=1))
        ghosts = F.relu(self.cheap(first[:, self.thin :]) + mixed)
        x = self.end(torch.cat([thin, ghosts], dim=1))
        return x


def _stage(channels: int, width: int, depth: int, group_channels: int) -> nn.Module:
    """`depth` blocks that halve the image, with ghosts where there are blocks between the first and the last."""
    if depth > 2:
        return GhostStage(channels, width, depth, group_channels)
    first = Block(channels, width, 2, group_channels)
    return nn.Sequential(first, *(Block(width, width, 1, group_channels) for _ in range(depth - 1)))
