"""AlexNet: Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional Neural Networks"."""

import torch.nn.functional as F
from torch import Tensor, nn

from ilsvrc.layers import Classifier, LocalResponseNorm, check_input_px


def alexnet(num_classes: int = 1000, input_px: int = 227, dropout: float = 0.5) -> "AlexNet":
    """The network of Figure 2 and section 3.5, its two towers as grouped convolutions.

    Input 227 px; parameters 60,965,224 (published: 60 million); multiply-adds 724,406,816 (published later:
    720 million).

    Differs from the paper: the input is 227 px, since 224 without padding does not give the 55 x 55 that the
    paper's own strides call for; dropout doubles what it keeps in training, where the paper halves at test.
    """
    return AlexNet(num_classes, input_px, dropout)


class AlexNet(Classifier):
    """Five convolutions with ReLU, LRN after the first two, 3 x 3 pooling by 2; three linear layers."""

    def __init__(self, num_classes: int, input_px: int, dropout: float) -> None:
        super().__init__()
        check_input_px("AlexNet", input_px, smallest=67)
        self.conv1 = nn.Conv2d(3, 96, 11, stride=4)
        self.conv2 = nn.Conv2d(96, 256, 5, padding=2, groups=2)
        self.conv3 = nn.Conv2d(256, 384, 3, padding=1)
        self.conv4 = nn.Conv2d(384, 384, 3, padding=1, groups=2)
        self.conv5 = nn.Conv2d(384, 256, 3, padding=1, groups=2)
        self.norm = LocalResponseNorm()
        self.pool = nn.MaxPool2d(3, stride=2)
        self.fc6 = nn.Linear(256 * _feature_px(input_px) ** 2, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of the paper's input."""
        x = F.relu(self.conv1(images), inplace=True)  # N x 96 x 55 x 55
        x = self.pool(self.norm(x))  # N x 96 x 27 x 27
        x = F.relu(self.conv2(x), inplace=True)  # N x 256 x 27 x 27
        x = self.pool(self.norm(x))  # N x 256 x 13 x 13
        x = F.relu(self.conv3(x), inplace=True)  # N x 384 x 13 x 13
        x = F.relu(self.conv4(x), inplace=True)  # N x 384 x 13 x 13
        x = self.pool(F.relu(self.conv5(x), inplace=True))  # N x 256 x 6 x 6
        x = self.dropout(F.relu(self.fc6(x.flatten(1))))  # N x 4096
        x = self.dropout(F.relu(self.fc7(x)))  # N x 4096
        return self.fc8(x)  # N x K

    def initialize_as_paper(self) -> None:
        """Section 5: weights N(0, 0.01); biases 1 in conv2, conv4, conv5 and the hidden FC layers, else 0."""
        ones = {self.conv2, self.conv4, self.conv5, self.fc6, self.fc7}
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.constant_(module.bias, float(module in ones))


def _feature_px(input_px: int) -> int:
    """Side of the last feature map: 6 for 227."""
    side = (input_px - 11) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    return side
