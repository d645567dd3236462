"""DenseNet for ImageNet: Huang et al. 2016, "Densely Connected Convolutional Networks"."""

import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, GlobalAveragePool, check_input_px


def densenet121(num_classes: int = 1000, input_px: int = 224) -> "DenseNet":
    """DenseNet-121 of Table 1, growth rate 32.

    Input 224 px; parameters 7,978,856 and multiply-adds 2,834,161,664 (the paper prints
    neither; torchvision: 2.834 billion multiply-adds).

    Differs from the paper: nothing that it states.
    """
    return DenseNet((6, 12, 24, 16), 32, num_classes, input_px)


def densenet169(num_classes: int = 1000, input_px: int = 224) -> "DenseNet":
    """DenseNet-169 of Table 1, growth rate 32.

    Input 224 px; parameters 14,149,480 and multiply-adds 3,359,843,328 (the paper prints
    neither; torchvision: 3.36 billion multiply-adds).

    Differs from the paper: nothing that it states.
    """
    return DenseNet((6, 12, 32, 32), 32, num_classes, input_px)


def densenet201(num_classes: int = 1000, input_px: int = 224) -> "DenseNet":
    """DenseNet-201 of Table 1, growth rate 32.

    Input 224 px; parameters 20,013,928 (published: 20 million, section 4.4); multiply-adds 4,291,365,888 (the
    paper prints none; torchvision: 4.291 billion).

    Differs from the paper: nothing that it states.
    """
    return DenseNet((6, 12, 48, 32), 32, num_classes, input_px)


def densenet264(num_classes: int = 1000, input_px: int = 224) -> "DenseNet":
    """DenseNet-264 of Table 1, growth rate 32.

    Input 224 px; parameters 33,337,704 and multiply-adds 5,751,653,376 (the paper prints neither).

    Differs from the paper: nothing but the name; the blocks of Table 1 (6, 12, 64, 48) make 265 layers.
    """
    return DenseNet((6, 12, 64, 48), 32, num_classes, input_px)


def densenet161(num_classes: int = 1000, input_px: int = 224) -> "DenseNet":
    """DenseNet-161 of the paper's third version on arXiv, Table 1, growth rate 48; the last has 264 in its place.

    Input 224 px; parameters 28,681,000 and multiply-adds 7,727,907,072 (the paper prints
    neither; torchvision: 7.728 billion multiply-adds).

    Differs from the paper: nothing that it states.
    """
    return DenseNet((6, 12, 36, 24), 48, num_classes, input_px)


class DenseNet(Classifier, torchvision.models.DenseNet):  # type: ignore[misc]  # torchvision is not annotated
    """DenseNet-BC: 7x7 convolution to 2k, BN, ReLU, 3x3 pooling; four dense blocks; BN, ReLU, average, linear.

    A layer is BN, ReLU, 1x1 to 4k, BN, ReLU, 3x3 to k, and sees the maps of all before it in its block; between
    blocks BN, ReLU, 1x1 to half the channels, 2x2 average pooling.
    """

    features: nn.Module
    classifier: nn.Linear

    def __init__(self, layers: tuple[int, int, int, int], growth: int, num_classes: int, input_px: int) -> None:
        check_input_px("DenseNet", input_px, smallest=29)
        super().__init__(
            growth_rate=growth,
            block_config=layers,
            num_init_features=2 * growth,
            bn_size=4,
            drop_rate=0.0,
            num_classes=num_classes,
            memory_efficient=False,
        )
        self.global_pool = GlobalAveragePool()

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of DenseNet-121."""
        x = F.relu(self.features(images), inplace=True)  # N x 1024 x 7 x 7
        x = self.global_pool(x)  # N x 1024
        logits: Tensor = self.classifier(x)  # N x K
        return logits

    def initialize_as_paper(self) -> None:
        """Section 4.2: the normal distribution of He et al. 2015 ("Delving Deep").

        Unstated, and taken from the authors' densenet-imagenet.lua: by fan-in; BN 1 and 0; uniform weights in the
        classifier (torch's default), its biases 0.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
        self.classifier.reset_parameters()
        nn.init.zeros_(self.classifier.bias)
