"""ResNet: He, Zhang, Ren and Sun 2015, "Deep Residual Learning for Image Recognition"."""

import torch.nn.functional as F
from torch import Tensor, nn

from ilsvrc.layers import Classifier, check_input_px

WIDTHS = (64, 128, 256, 512)


def resnet18(num_classes: int = 1000, input_px: int = 224) -> "ResNet":
    """18 layers with option A, parameter-free shortcuts: Table 1, and the results of Table 2.

    Input 224 px; parameters 11,515,688 (the paper gives none); multiply-adds 1,794,805,760 (published: 1.8
    billion, Table 1).

    Differs from the paper: at test, batch norm uses running averages, where the authors averaged the
    statistics of a large training batch once training was over.
    """
    return ResNet((2, 2, 2, 2), ZeroPaddedShortcut, num_classes, input_px)


def resnet18_b(num_classes: int = 1000, input_px: int = 224) -> "ResNet":
    """18 layers with option B, projections where the shape changes: Table 1; the network that libraries ship.

    Input 224 px; parameters 11,689,512 (the paper gives none); multiply-adds 1,814,073,344 (published: 1.8
    billion, Table 1).

    Differs from the paper: as `resnet18`. The paper's own 18-layer results are option A's.
    """
    return ResNet((2, 2, 2, 2), ProjectionShortcut, num_classes, input_px)


class ResNet(Classifier):
    """7x7 convolution, BN, ReLU, 3x3 pooling; four stages of basic blocks; global average pooling, linear."""

    def __init__(self, depths: tuple[int, ...], shortcut: type[nn.Module], num_classes: int, input_px: int) -> None:
        super().__init__()
        check_input_px("ResNet", input_px, smallest=32)
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.norm1 = nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = (64, *WIDTHS)
        self.stages = nn.Sequential(
            *(
                _stage(channels[i], channels[i + 1], depth, stride=1 if i == 0 else 2, shortcut=shortcut)
                for i, depth in enumerate(depths)
            )
        )
        self.classifier = nn.Linear(WIDTHS[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of the paper's input."""
        x = F.relu(self.norm1(self.conv1(images)), inplace=True)  # N x 64 x 112 x 112
        x = self.pool(x)  # N x 64 x 56 x 56
        x = self.stages(x)  # N x 512 x 7 x 7
        x = x.mean(dim=(2, 3))  # N x 512
        return self.classifier(x)  # N x K

    def initialize_as_paper(self) -> None:
        """Section 3.4: the normal distribution of He et al. 2015 ("Delving Deep"), BN 1 and 0.

        Unstated, and taken from fb.resnet.torch: by fan-out; uniform weights in the classifier (torch's default), its
        biases 0.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
        self.classifier.reset_parameters()
        nn.init.zeros_(self.classifier.bias)


class BasicBlock(nn.Module):
    """3x3, BN, ReLU, 3x3, BN; plus shortcut; ReLU (Figure 5, left)."""

    def __init__(self, channels: int, width: int, stride: int, shortcut: type[nn.Module]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        same_shape = stride == 1 and channels == width
        self.shortcut = nn.Identity() if same_shape else shortcut(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C', H / stride, W / stride]`."""
        residual = F.relu(self.norm1(self.conv1(x)), inplace=True)
        residual = self.norm2(self.conv2(residual))
        return F.relu(residual + self.shortcut(x), inplace=True)


class ZeroPaddedShortcut(nn.Module):
    """Option A: every second pixel of each side, channels of zeros behind (section 3.3)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.new_channels, self.stride = width - channels, stride

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C + new, H / stride, W / stride]`."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))


class ProjectionShortcut(nn.Sequential):
    """Option B: 1x1 convolution, BN."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__(nn.Conv2d(channels, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width))


def _stage(channels: int, width: int, depth: int, stride: int, shortcut: type[nn.Module]) -> nn.Sequential:
    """`depth` basic blocks, the first of which changes the shape."""
    first = BasicBlock(channels, width, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(width, width, 1, shortcut) for _ in range(depth - 1)))
