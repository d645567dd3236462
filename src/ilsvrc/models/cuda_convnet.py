"""The networks for CIFAR-10 of Krizhevsky et al. 2012, sections 3.1 and 3.3, as cuda-convnet's files specify them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, FixedSize, LocallyConnected2d, LocalResponseNorm, check_input_px


def cuda_convnet_cifar(num_classes: int = 10, input_px: int = 24) -> "CudaConvNet":
    """The "four-layer CNN" of section 3.3 with response normalisation, of 11 % error: layers-conv-local-11pct.cfg.

    Input 24 px; parameters 2,112,970; multiply-adds 19,512,576 (neither is published).

    Differs from the paper: nothing that it or its files state. The paper describes no layer and refers to the
    authors' files (footnote 3), which are followed here, in their last version: an earlier one of this file normalises
    across five maps, the first time before pooling, and has 32 kernels in both locally connected layers. They train on
    random 24 x 24 crops of the 32 x 32 images and test on ten. Before the linear layer stand four others, which the
    paper counts.
    """
    return CudaConvNet(num_classes, input_px, local=(64, 32), normalized=True)


def cuda_convnet_no_lrn_cifar(num_classes: int = 10, input_px: int = 24) -> "CudaConvNet":
    """The same without normalisation, of 13 % error: layers-conv-local-13pct.cfg.

    Input 24 px; parameters 1,116,490; multiply-adds 18,517,248 (neither is published).

    Differs from the paper: as `cuda_convnet_cifar`. By the files' last versions, the two differ in more than the
    normalisation: here, the first locally connected layer has half as many kernels.
    """
    return CudaConvNet(num_classes, input_px, local=(32, 32), normalized=False)


def cuda_convnet_tanh_cifar(num_classes: int = 10, input_px: int = 24) -> "CudaConvNet":
    """With tanh in place of ReLU: the dashed line of Figure 1, whose solid one is `cuda_convnet_no_lrn_cifar`'s.

    Input 24 px; parameters 1,116,490; multiply-adds 18,517,248 (neither is published).

    Differs from the paper: Figure 1 says of its "four-layer convolutional neural network" that it is not regularised,
    and nothing of its layers; section 3.3's, without normalisation, is the only one of four layers that the paper
    refers to.
    """
    return CudaConvNet(num_classes, input_px, local=(32, 32), normalized=False, activation=torch.tanh_)


class CudaConvNet(Classifier):
    """Two 5x5 convolutions with 3x3 pooling by 2, two 3x3 locally connected layers, one linear layer."""

    def __init__(
        self,
        num_classes: int,
        input_px: int,
        *,
        local: tuple[int, int],
        normalized: bool,
        activation: Callable[[Tensor], Tensor] = torch.relu_,
    ) -> None:
        super().__init__()
        check_input_px("CudaConvNet", input_px, smallest=4)
        side = input_px // 2 // 2
        self.conv1 = nn.Conv2d(3, 64, 5, padding=2)
        self.conv2 = nn.Conv2d(64, 64, 5, padding=2)
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        # The files' scale, 0.001, is divided by the window's 9 channels (cuda-convnet's layer.py); its constant is 1.
        self.norm = LocalResponseNorm(size=9, alpha=0.001 / 9, k=1.0) if normalized else nn.Identity()
        self.fixed = FixedSize(side, input_px)
        self.local3 = LocallyConnected2d(64, local[0], 3, side, padding=1)
        self.local4 = LocallyConnected2d(local[0], local[1], 3, side, padding=1)
        self.fc10 = nn.Linear(local[1] * side**2, num_classes)
        self.activation = activation

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of 24 px and the network with normalisation."""
        x = self.activation(self.conv1(images))  # N x 64 x 24 x 24
        x = self.norm(self.pool(x))  # N x 64 x 12 x 12
        x = self.activation(self.conv2(x))  # N x 64 x 12 x 12
        x = self.fixed(self.pool(self.norm(x)))  # N x 64 x 6 x 6
        x = self.activation(self.local3(x))  # N x 64 x 6 x 6
        x = self.activation(self.local4(x))  # N x 32 x 6 x 6
        logits: Tensor = self.fc10(x.flatten(1))  # N x K
        return logits

    def initialize_as_paper(self) -> None:
        """The files' `initW`: normal weights, each layer of its own deviation; biases 0."""
        deviations: dict[nn.Conv2d | LocallyConnected2d | nn.Linear, float]
        deviations = {self.conv1: 0.0001, self.conv2: 0.01, self.local3: 0.04, self.local4: 0.04, self.fc10: 0.01}
        for layer, deviation in deviations.items():
            nn.init.normal_(layer.weight, std=deviation)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
