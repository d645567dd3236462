"""SKNet: Li, Wang, Hu and Yang 2019, "Selective Kernel Networks"."""

from timm.layers.selective_kernel import SelectiveKernelAttn
from timm.models import resnet as timm_resnet
from timm.models.sknet import SelectiveKernelBottleneck
from torch import nn

from ilsvrc.models.common.layers import Classifier, check_input_px


def sknet50(num_classes: int = 1000, input_px: int = 224) -> "SKNet":
    """50 layers, SK[2, 32, 16]: Table 1 (right) and Table 2.

    Input 224 px; parameters 27,479,784 (published: 27.5 million, Table 1); multiply-adds 4,462,710,784 (published:
    4.47 billion, Table 1).

    Differs from the paper: nothing that it states. As in the authors' Caffe definition, strides stand in the
    selective kernels and the stem's pooling rounds up without padding.
    """
    return SKNet((3, 4, 6, 3), num_classes, input_px)


def sknet101(num_classes: int = 1000, input_px: int = 224) -> "SKNet":
    """101 layers, SK[2, 32, 16]: Table 2.

    Input 224 px; parameters 48,736,040 (published: 48.9 million, Table 2); multiply-adds 8,448,724,992 (published:
    8.46 billion, Table 2).

    Differs from the paper: nothing that it states; unstated details as in `sknet50`. The authors' file of this depth
    has 48,686,760 parameters: in the second stage its attention is 16 channels wide, against the paper's own rule (at
    least L = 32, equation 4), which this network and the authors' file of `sknet50` keep. Neither reaches the figure
    that is published.
    """
    return SKNet((3, 4, 23, 3), num_classes, input_px)


class SKNet(Classifier, timm_resnet.ResNet):
    """7x7 convolution, BN, ReLU, 3x3 pooling; four stages of SK units; global average pooling, linear.

    SK unit: 1x1, BN, ReLU; selective kernels; 1x1, BN; plus shortcut; ReLU. Selective kernels (section 3.1): two
    branches of 32 groups, 3x3 and (as a dilated 3x3) 5x5, each with BN and ReLU; their sum, global average pooling, 1x1
    to d = max(C / 16, 32) channels, BN, ReLU, 1x1 to C for each branch, softmax across the branches; the sum of the
    branches by these weights. Parameters have the names of timm's `skresnext50_32x4d`.
    """

    def __init__(self, depths: tuple[int, ...], num_classes: int, input_px: int) -> None:
        check_input_px("SKNet", input_px, smallest=32)
        # Rounding C / 16 to a multiple of 32, and not to 0, is max(C / 16, 32) for C = 128, 256, 512, 1024.
        selective = {"rd_ratio": 1 / 16, "rd_divisor": 32, "split_input": False}
        super().__init__(
            SelectiveKernelBottleneck,  # type: ignore[arg-type]  # timm's own annotation leaves it out
            depths,
            num_classes=num_classes,
            cardinality=32,
            base_width=4,
            zero_init_last=False,
            block_args={"sk_kwargs": selective},
        )
        self.maxpool = nn.MaxPool2d(3, stride=2, ceil_mode=True)  # type: ignore[assignment]

    def initialize_as_paper(self) -> None:
        """Unstated in the paper; the authors' Caffe files': He normal by fan-in, BN 1 and 0.

        The attention's layers and the classifier are N(0, 0.01), its biases 0.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
        for module in self.modules():
            if isinstance(module, SelectiveKernelAttn):
                nn.init.normal_(module.fc_reduce.weight, std=0.01)
                nn.init.normal_(module.fc_select.weight, std=0.01)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)
