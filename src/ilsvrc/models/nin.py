"""NIN: Lin, Chen and Yan 2013, "Network In Network"."""

from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, GlobalAveragePool, check_input_px


def nin_cifar(num_classes: int = 10, input_px: int = 32, dropout: float = 0.5) -> "NIN":
    """Three mlpconv layers and global average pooling: Figure 2 and section 4.1.

    Input 32 px; parameters 966,986 and multiply-adds 222,486,528 (the paper gives neither; the parameters are those
    of the authors' released definition).

    Differs from the paper: nothing that it states. It leaves the widths to "supplementary materials"; they,
    the kernels and the initialisation are those of the authors' `NIN/cifar-10_def` (mavenlin/cuda-convnet). For
    CIFAR-100 the widths are the same; the paper's SVHN network has others (`svhn_def`).
    """
    return NIN(num_classes, input_px, dropout)


class NIN(Classifier):
    """Three mlpconv layers, 3 x 3 pooling by 2 and dropout after the first two, global average pooling."""

    def __init__(self, num_classes: int, input_px: int, dropout: float) -> None:
        super().__init__()
        check_input_px("NIN", input_px, smallest=4)
        self.mlpconv1 = MlpConv(3, 192, 160, 96, kernel=5)
        self.mlpconv2 = MlpConv(96, 192, 192, 192, kernel=5)
        self.mlpconv3 = MlpConv(192, 192, 192, num_classes, kernel=3)
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.dropout = nn.Dropout(dropout)
        self.global_pool = GlobalAveragePool()

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`, none below 0; shapes are those of the paper's input."""
        x = self.mlpconv1(images)  # N x 96 x 32 x 32
        x = self.dropout(self.pool(x))  # N x 96 x 16 x 16
        x = self.mlpconv2(x)  # N x 192 x 16 x 16
        x = self.dropout(self.pool(x))  # N x 192 x 8 x 8
        x = self.mlpconv3(x)  # N x K x 8 x 8
        logits: Tensor = self.global_pool(x)  # N x K
        return logits

    def initialize_as_paper(self) -> None:
        """Unstated in the paper; the released definition's for CIFAR-10: weights N(0, 0.05), biases 0.

        That for CIFAR-100 starts the first convolution at 0.001 and the two after it at 0.01.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.05)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


class MlpConv(nn.Sequential):
    """Convolution, ReLU, 1x1, ReLU, 1x1, ReLU: a perceptron that slides over the image (section 3.1)."""

    def __init__(self, channels: int, width1: int, width2: int, width3: int, kernel: int) -> None:
        super().__init__(
            nn.Conv2d(channels, width1, kernel, padding=kernel // 2), nn.ReLU(inplace=True),
            nn.Conv2d(width1, width2, 1), nn.ReLU(inplace=True),
            nn.Conv2d(width2, width3, 1), nn.ReLU(inplace=True),
        )  # fmt: skip
