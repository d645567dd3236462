"""SENet: Hu, Shen, Albanie, Sun and Wu 2017, "Squeeze-and-Excitation Networks"."""

import timm.models.senet as timm_senet
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, check_input_px

DEPTHS_50, DEPTHS_101, DEPTHS_152 = (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)
REDUCTION = 16  # r of section 3.2


def se_resnet50(num_classes: int = 1000, input_px: int = 224) -> "SENet":
    """ResNet-50 with a squeeze and an excitation in each residual: Table 1 (middle) and Table 2.

    Input 224 px; parameters 28,088,024 (published: 28.1 million, Table 10); multiply-adds 3,860,488,192
    (published: 3.87 billion, Table 2).

    Differs from the paper: nothing that it states. As in the authors' Caffe definition, strides stand in the
    first 1x1 convolution, the stem's pooling rounds up without padding, and the excitation has biases (section
    6 drops them, for the ablations only).
    """
    return _se_resnet(DEPTHS_50, num_classes, input_px)


def se_resnet101(num_classes: int = 1000, input_px: int = 224) -> "SENet":
    """ResNet-101 with a squeeze and an excitation in each residual: Table 2.

    Input 224 px; parameters 49,326,872 (the paper gives none); multiply-adds 7,574,937,600 (published:
    7.60 billion, Table 2).

    Differs from the paper: nothing that it states; unstated details as in `se_resnet50`.
    """
    return _se_resnet(DEPTHS_101, num_classes, input_px)


def se_resnet152(num_classes: int = 1000, input_px: int = 224) -> "SENet":
    """ResNet-152 with a squeeze and an excitation in each residual: Table 2.

    Input 224 px; parameters 66,821,848 (the paper gives none); multiply-adds 11,288,993,792 (published:
    11.32 billion, Table 2).

    Differs from the paper: nothing that it states; unstated details as in `se_resnet50`.
    """
    return _se_resnet(DEPTHS_152, num_classes, input_px)


def se_resnext50_32x4d(num_classes: int = 1000, input_px: int = 224) -> "SENet":
    """ResNeXt-50 (32 x 4d) with a squeeze and an excitation in each residual: Table 1 (right) and Table 2.

    Input 224 px; parameters 27,559,896 (the paper gives none); multiply-adds 4,232,994,816 (published:
    4.25 billion, Table 2).

    Differs from the paper: nothing that it states. Unstated details as in `se_resnet50`, but strides stand in
    the 3x3 convolution, as in the authors' definition.
    """
    return _se_resnext(DEPTHS_50, num_classes, input_px)


def se_resnext101_32x4d(num_classes: int = 1000, input_px: int = 224) -> "SENet":
    """ResNeXt-101 (32 x 4d) with a squeeze and an excitation in each residual: Table 2.

    Input 224 px; parameters 48,955,416 (the paper gives none); multiply-adds 7,974,739,968 (published:
    8.00 billion, Table 2).

    Differs from the paper: nothing that it states; unstated details as in `se_resnext50_32x4d`.
    """
    return _se_resnext(DEPTHS_101, num_classes, input_px)


def senet154(num_classes: int = 1000, input_px: int = 224, dropout: float = 0.2) -> "SENet":
    """The largest network of the ILSVRC-2017 entry, from ResNeXt-152 (64 x 4d): section 5.4 and the appendix.

    The first 1x1 convolution of each bottleneck is half as wide, three 3x3 convolutions are the stem, projections
    with a stride are 3x3, and dropout stands before the classifier.

    Input 224 px; parameters 115,088,984 (the paper gives none); multiply-adds 20,688,363,520 (the paper gives none).

    Differs from the paper: nothing that it states; unstated details as in `se_resnext50_32x4d`.
    """
    return SENet(
        timm_senet.SEBottleneck,
        DEPTHS_152,
        groups=64,
        stem_channels=128,
        deep_stem=True,
        projection_kernel=3,
        dropout=dropout,
        num_classes=num_classes,
        input_px=input_px,
    )


class SENet(Classifier, timm_senet.SENet):
    """Stem, 3x3 pooling; four stages of bottlenecks with a gate; global average pooling, dropout, linear.

    Bottleneck: 1x1, BN, ReLU, 3x3, BN, ReLU, 1x1, BN; gate; plus shortcut; ReLU (Figure 3). Gate: global average
    pooling, 1x1 to 1/16 of the channels, ReLU, 1x1, sigmoid; each channel times its value (section 3). Parameters have
    the names of timm's `legacy_se*` networks.
    """

    def __init__(
        self,
        block: type[nn.Module],
        depths: tuple[int, ...],
        *,
        groups: int,
        stem_channels: int = 64,
        deep_stem: bool = False,
        projection_kernel: int = 1,
        dropout: float = 0.0,
        num_classes: int,
        input_px: int,
    ) -> None:
        check_input_px("SENet", input_px, smallest=32)
        super().__init__(
            block,
            depths,
            groups,
            REDUCTION,
            drop_rate=0.0,  # timm's is a function; `self.dropout` takes its place
            inplanes=stem_channels,
            input_3x3=deep_stem,
            downsample_kernel_size=projection_kernel,
            downsample_padding=projection_kernel // 2,
            num_classes=num_classes,
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of 224 px, channels of SENet-154's stem in brackets."""
        x = self.layer0(images)  # N x 64 (128) x 112 x 112
        x = self.layer1(self.pool0(x))  # N x 256 x 56 x 56
        x = self.layer2(x)  # N x 512 x 28 x 28
        x = self.layer3(x)  # N x 1024 x 14 x 14
        x = self.layer4(x)  # N x 2048 x 7 x 7
        x = self.dropout(self.global_pool(x))  # N x 2048
        logits: Tensor = self.last_linear(x)  # N x K
        return logits

    def initialize_as_paper(self) -> None:
        """Section 5.1: the normal distribution of He et al. 2015 ("Delving Deep"), BN 1 and 0.

        Unstated: by fan-in, as Caffe's "msra" draws by default; biases 0; the classifier N(0, 0.01), as in the Caffe
        files of SKNet, which follow these.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
        nn.init.normal_(self.last_linear.weight, std=0.01)
        nn.init.zeros_(self.last_linear.bias)


def _se_resnet(depths: tuple[int, ...], num_classes: int, input_px: int) -> SENet:
    return SENet(timm_senet.SEResNetBottleneck, depths, groups=1, num_classes=num_classes, input_px=input_px)


def _se_resnext(depths: tuple[int, ...], num_classes: int, input_px: int) -> SENet:
    """Timm's block is 4 wide in each group by default."""
    return SENet(timm_senet.SEResNeXtBottleneck, depths, groups=32, num_classes=num_classes, input_px=input_px)
