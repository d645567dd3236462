"""ZFNet: Zeiler and Fergus 2013, "Visualizing and Understanding Convolutional Networks"."""

import torch.nn.functional as F
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, FixedFlatten, LocalResponseNorm, check_input_px


def zfnet(num_classes: int = 1000, input_px: int = 224, dropout: float = 0.5) -> "ZFNet":
    """The network of Figure 3.

    Input 224 px; parameters 62,357,608 and multiply-adds 1,168,032,896 (the paper gives neither).

    Differs from the paper: nothing that it states; the filters whose root mean square exceeds 0.1 are set back
    to it by training (section 3.1), not by the network. Unstated: the paddings, here those that give the sizes
    of Figure 3 (1 pixel around the image, none in conv2, poolings that round up), and the contrast
    normalisation across feature maps, here AlexNet's LRN, whose authors' network the paper starts from.
    """
    return ZFNet((384, 384, 256), num_classes, input_px, dropout)


def zfnet_b(num_classes: int = 1000, input_px: int = 224, dropout: float = 0.5) -> "ZFNet":
    """Model (b) of Table 2: `zfnet` with 512, 1024 and 512 maps in layers 3 to 5.

    Input 224 px; parameters 107,627,624 and multiply-adds 2,476,704,896 (the paper gives neither).

    Differs from the paper: as `zfnet`.
    """
    return ZFNet((512, 1024, 512), num_classes, input_px, dropout)


class ZFNet(Classifier):
    """Five convolutions with ReLU, 3 x 3 pooling by 2 and then LRN after the first two; three linear layers."""

    def __init__(self, widths: tuple[int, int, int], num_classes: int, input_px: int, dropout: float) -> None:
        super().__init__()
        check_input_px("ZFNet", input_px, smallest=47)
        self.conv1 = nn.Conv2d(3, 96, 7, stride=2, padding=1)
        self.conv2 = nn.Conv2d(96, 256, 5, stride=2)
        self.conv3 = nn.Conv2d(256, widths[0], 3, padding=1)
        self.conv4 = nn.Conv2d(widths[0], widths[1], 3, padding=1)
        self.conv5 = nn.Conv2d(widths[1], widths[2], 3, padding=1)
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.norm = LocalResponseNorm()
        side = _feature_px(input_px)
        self.flatten = FixedFlatten(side, input_px)
        self.fc6 = nn.Linear(widths[2] * side**2, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of the paper's input."""
        x = F.relu(self.conv1(images), inplace=True)  # N x 96 x 110 x 110
        x = self.norm(self.pool(x))  # N x 96 x 55 x 55
        x = F.relu(self.conv2(x), inplace=True)  # N x 256 x 26 x 26
        x = self.norm(self.pool(x))  # N x 256 x 13 x 13
        x = F.relu(self.conv3(x), inplace=True)  # N x 384 x 13 x 13
        x = F.relu(self.conv4(x), inplace=True)  # N x 384 x 13 x 13
        x = F.relu(self.conv5(x), inplace=True)  # N x 256 x 13 x 13
        x = self.flatten(self.pool(x))  # N x 9216
        x = self.dropout(F.relu(self.fc6(x)))  # N x 4096
        x = self.dropout(F.relu(self.fc7(x)))  # N x 4096
        logits: Tensor = self.fc8(x)  # N x K
        return logits

    def initialize_as_paper(self) -> None:
        """Section 3.1: weights "initialized to 1e-2", read as N(0, 0.01) by standard deviation, and biases 0.

        Equal weights would stay equal; the distribution is AlexNet's.
        """
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.normal_(module.weight, std=0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


def _feature_px(input_px: int) -> int:
    """Side of the last feature map: 6 for 224."""
    side = (input_px - 5) // 2 + 1
    side = -(-(side - 3) // 2) + 1
    side = (side - 5) // 2 + 1
    for _ in range(2):
        side = -(-(side - 3) // 2) + 1
    return side
