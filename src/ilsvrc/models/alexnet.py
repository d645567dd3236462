"""AlexNet: Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional Neural Networks"."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, FixedFlatten, LocalResponseNorm, check_input_px, named

Activation = Callable[[Tensor], Tensor]
# Kernels of conv1 to conv5, and of a sixth convolution over the last pooling; 0: the network has no such layer.
FIGURE_2 = (96, 256, 384, 384, 256, 0)
ONE_GPU = (48, 128, 192, 192, 256, 0)  # section 3.2, footnote 2: all but conv5 halved
SIXTH_CONV = (96, 256, 384, 384, 256, 256)


def alexnet(num_classes: int = 1000, input_px: int = 227, dropout: float = 0.5) -> "AlexNet":
    """The network of Figure 2 and section 3.5, its two towers as grouped convolutions.

    Input 227 px; parameters 60,965,224 (published: 60 million); multiply-adds 724,406,816 (published later:
    720 million).

    Differs from the paper: the input is 227 px, since 224 without padding does not give the 55 x 55 that the
    paper's own strides call for; dropout doubles what it keeps in training, where the paper halves at test. Section
    3.3 lets a response be normalised by all adjacent kernels of its layer, Figure 2's GPUs exchange nothing there:
    here, normalisation stays within a tower (Caffe's replication crosses the border).
    """
    return AlexNet(num_classes, input_px, dropout)


def alexnet_one_gpu(num_classes: int = 1000, input_px: int = 227, dropout: float = 0.5) -> "AlexNet":
    """The network that section 3.2 compares with: one tower, of half the kernels in all convolutions but the fifth.

    Input 227 px; parameters 59,798,312 (the paper: "approximately" as many as the other); multiply-adds 391,514,384.

    Differs from the paper: as `alexnet`, but that there are no towers whose borders could matter.
    """
    return AlexNet(num_classes, input_px, dropout, kernels=ONE_GPU, towers=1)


def alexnet_no_groups(num_classes: int = 1000, input_px: int = 227, dropout: float = 0.5) -> "AlexNet":
    """Figure 2 on one GPU of today: every kernel sees all kernel maps of the layer before.

    Input 227 px; parameters 62,378,344 (published by imgclsmob: as many); multiply-adds 1,135,256,096 (published
    there: 1,132 million).

    Differs from the paper: as `alexnet`, and this network is not in it; libraries offer it as AlexNet.
    """
    return AlexNet(num_classes, input_px, dropout, towers=1)


def alexnet_no_lrn(num_classes: int = 1000, input_px: int = 227, dropout: float = 0.5) -> "AlexNet":
    """Without response normalisation: section 3.3 compares with it.

    Input 227 px; parameters 60,965,224 and multiply-adds 724,406,816, as `alexnet`.

    Differs from the paper: as `alexnet`.
    """
    return AlexNet(num_classes, input_px, dropout, normalized=False)


def alexnet_plain_pooling(num_classes: int = 1000, input_px: int = 227, dropout: float = 0.5) -> "AlexNet":
    """Pooling windows of 2 x 2 that do not overlap, and "output of equivalent dimensions": section 3.4.

    Input 227 px; parameters 60,965,224 and multiply-adds 724,406,816, as `alexnet`.

    Differs from the paper: as `alexnet`.
    """
    return AlexNet(num_classes, input_px, dropout, pool_px=2)


def alexnet_tanh(num_classes: int = 1000, input_px: int = 227, dropout: float = 0.5) -> "AlexNet":
    """With tanh in place of ReLU, the saturating neurons of section 3.1.

    Input 227 px; parameters 60,965,224 and multiply-adds 724,406,816, as `alexnet`.

    Differs from the paper: as `alexnet`, and the paper tries tanh in its network for CIFAR-10 only
    (`cuda_convnet_tanh_cifar`).
    """
    return AlexNet(num_classes, input_px, dropout, activation=torch.tanh_)


def alexnet_sixth_conv(num_classes: int = 1000, input_px: int = 227, dropout: float = 0.5) -> "AlexNet":
    """With "an extra sixth convolutional layer over the last pooling layer": section 6, Table 2's asterisk.

    Input 227 px; parameters 61,260,392; multiply-adds 735,023,648 (the paper gives neither).

    Differs from the paper: as `alexnet`. Unstated, and taken from the fifth convolution: 256 kernels of 3 x 3 with
    padding 1 in two towers, ReLU, biases that start at 1.
    """
    return AlexNet(num_classes, input_px, dropout, kernels=SIXTH_CONV)


@named("alexnet_without_conv{layer}", layer=(2, 3, 4, 5))
def alexnet_without_conv(layer: int, num_classes: int = 1000, input_px: int = 227, dropout: float = 0.5) -> "AlexNet":
    """Without one of the convolutions in the middle, of which section 7 says that each matters.

    Input 227 px; the paper gives no counts:

    | without | parameters | multiply-adds |
    |---------|------------|---------------|
    | conv2   | 60,104,808 | 407,007,776   |
    | conv3   | 59,858,920 | 537,506,336   |
    | conv4   | 60,301,288 | 612,266,528   |
    | conv5   | 79,396,968 | 668,520,992   |

    Differs from the paper: as `alexnet`. Unstated, and chosen so that all else stays as it is: with the convolution
    go its activation and its normalisation, not the pooling; the next layer keeps its kernels and its towers, and
    sees the kernel maps of the one before. Without conv3 the towers meet in the linear layers only.
    """
    kernels = [0 if number == layer else count for number, count in enumerate(FIGURE_2, start=1)]
    return AlexNet(num_classes, input_px, dropout, kernels=kernels)


class AlexNet(Classifier):
    """Five convolutions with ReLU, LRN after the first two, 3 x 3 pooling by 2; three linear layers."""

    def __init__(
        self,
        num_classes: int,
        input_px: int,
        dropout: float,
        *,
        kernels: Sequence[int] = FIGURE_2,
        towers: int = 2,
        normalized: bool = True,
        pool_px: int = 3,
        activation: Activation = torch.relu_,
    ) -> None:
        super().__init__()
        check_input_px("AlexNet", input_px, smallest=self.smallest_px(pool_px))
        k1, k2, k3, k4, k5, k6 = kernels
        self.conv1 = nn.Conv2d(3, k1, 11, stride=4)
        self.conv2 = _convolution(k1, k2, 5, towers)
        self.conv3 = _convolution(k2 or k1, k3, 3, groups=1)
        self.conv4 = _convolution(k3 or k2, k4, 3, towers)
        self.conv5 = _convolution(k4 or k3, k5, 3, towers)
        self.conv6 = _convolution(k5, k6, 3, towers)
        self.norm1 = LocalResponseNorm(groups=towers) if normalized else nn.Identity()
        self.norm2 = LocalResponseNorm(groups=towers) if normalized and k2 else nn.Identity()
        self.pool = nn.MaxPool2d(pool_px, stride=2)
        side = self.feature_px(input_px, pool_px)
        self.flatten = FixedFlatten(side, input_px)
        self.fc6 = nn.Linear((k6 or k5 or k4) * side**2, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, num_classes)
        self.dropout = nn.Dropout(dropout)
        self.activation = activation

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of `alexnet` for the paper's input."""
        x = self._activated(self.conv1, images)  # N x 96 x 55 x 55
        x = self.pool(self.norm1(x))  # N x 96 x 27 x 27
        x = self._activated(self.conv2, x)  # N x 256 x 27 x 27
        x = self.pool(self.norm2(x))  # N x 256 x 13 x 13
        x = self._activated(self.conv3, x)  # N x 384 x 13 x 13
        x = self._activated(self.conv4, x)  # N x 384 x 13 x 13
        x = self.pool(self._activated(self.conv5, x))  # N x 256 x 6 x 6
        x = self.flatten(self._activated(self.conv6, x))  # N x 9216
        x = self.dropout(self._activated(self.fc6, x))  # N x 4096
        x = self.dropout(self._activated(self.fc7, x))  # N x 4096
        logits: Tensor = self.fc8(x)  # N x K
        return logits

    def _activated(self, layer: nn.Module | None, x: Tensor) -> Tensor:
        return x if layer is None else self.activation(layer(x))

    def initialize_as_paper(self) -> None:
        """Section 5: weights N(0, 0.01); biases 1 in conv2, conv4, conv5 and the hidden FC layers, else 0.

        The ones give "the ReLUs with positive inputs"; for other activations all biases are 0.
        """
        ones = {self.conv2, self.conv4, self.conv5, self.conv6, self.fc6, self.fc7}
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.normal_(module.weight, std=0.01)
                if module.bias is not None:
                    nn.init.constant_(module.bias, float(module in ones and self.activation is torch.relu_))

    @staticmethod
    def feature_px(input_px: int, pool_px: int = 3) -> int:
        """Side of the last feature map: 6 for 227."""
        side = (input_px - 11) // 4 + 1
        for _ in range(3):
            side = (side - pool_px) // 2 + 1
        return side

    @staticmethod
    def smallest_px(pool_px: int = 3) -> int:
        """The least side of which a pixel is left: 67, or 39 where pooling does not overlap."""
        side = 1
        for _ in range(3):
            side = (side - 1) * 2 + pool_px
        return (side - 1) * 4 + 11


def _convolution(channels: int, kernels: int, side: int, groups: int) -> nn.Conv2d | None:
    """A convolution that keeps the size, or nothing where there are no kernels."""
    return nn.Conv2d(channels, kernels, side, padding=side // 2, groups=groups) if kernels else None
