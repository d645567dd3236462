"""ResNet-B, -C and -D: He et al. 2018, "Bag of Tricks for Image Classification with Convolutional Neural Networks"."""

from functools import partial

from torch import nn

from ilsvrc.models.common.layers import named
from ilsvrc.models.resnet import DEPTHS, OPTION_B, Bottleneck, ResNet, Shortcuts


def resnet50_b(num_classes: int = 1000, input_px: int = 224) -> "TweakedResNet":
    """Section 4.2, Figure 2a: ResNet-50 with the stride in the 3x3 and not in the first 1x1; torchvision's resnet50.

    Input 224 px; parameters 25,557,032 and multiply-adds 4,089,184,256 (published: 25 M and 4.1 G, Table 5).

    Differs from the paper: nothing that it states.
    """
    return TweakedResNet(partial(Bottleneck, OPTION_B, stride_in_3x3=True), 256, DEPTHS[50], num_classes, input_px)


@named("resnet{depth}_b", depth=(101, 152))
def fb_resnet(depth: int, num_classes: int = 1000, input_px: int = 224) -> ResNet:
    """The deeper ResNet-B of fb.resnet.torch (Gross & Wilber 2016), which had it first; torchvision's.

    Input 224 px. Published parameters are those of Zagoruyko & Komodakis (pretrained/README.md), multiply-adds
    torchvision's. They start as fb.resnet.torch's, by He's initialisation.

        resnet101_b   44,549,160 parameters (44.5 M)    7,801,405,440 multiply-adds (7.801 billion)
        resnet152_b   60,192,808 parameters (60.2 M)   11,513,626,624 multiply-adds (11.514 billion)

    Differs from the paper: nothing; there is none but the released code.
    """
    return ResNet(partial(Bottleneck, OPTION_B, stride_in_3x3=True), 256, DEPTHS[depth], num_classes, input_px)


def resnet50_c(num_classes: int = 1000, input_px: int = 224) -> "TweakedResNet":
    """Section 4.2, Figure 2b: ResNet-50-B with a stem of three 3x3 convolutions.

    Input 224 px; parameters 25,576,264 and multiply-adds 4,328,824,832 (published: 25 M and 4.3 G, Table 5).

    Differs from the paper: nothing that it states. Its text gives the first two convolutions of the stem stride 2;
    Figure 2b and the authors' GluonCV give it to the first alone.
    """
    block = partial(Bottleneck, OPTION_B, stride_in_3x3=True)
    return TweakedResNet(block, 256, DEPTHS[50], num_classes, input_px, DeepStem)


@named("resnet{depth}_d", depth=(50, 152))
def resnet_d(depth: int, num_classes: int = 1000, input_px: int = 224) -> "TweakedResNet":
    """Section 4.2, Figure 2c: ResNet-C whose projections average 2x2 pixels, where they left three of four unseen.

    Input 224 px. ResNet-50-D's published figures are Table 5's; ResNet-152-D is the teacher of section 5.3.

        resnet50_d    25,576,264 parameters (25 M)    4,328,824,832 multiply-adds (4.3 G)
        resnet152_d   60,212,040 parameters          11,753,267,200 multiply-adds

    Differs from the paper: nothing that it states. An odd side's last pixels are averaged by themselves, as in the
    authors' GluonCV.
    """
    block = partial(Bottleneck, Shortcuts(nn.Identity, PooledProjection), stride_in_3x3=True)
    return TweakedResNet(block, 256, DEPTHS[depth], num_classes, input_px, DeepStem)


class TweakedResNet(ResNet):
    """A ResNet that starts as the paper's; names are timm's."""

    def initialize_as_paper(self) -> None:
        """Sections 2.1 and 3.1: Xavier's uniform, biases 0, BN 1 and 0; 0 and 0 in the last BN of each block.

        Section 2.1 bounds the weights by sqrt(6 / (d_in + d_out)), "channel sizes"; a kernel's area is taken to count
        as in MXNet, which the authors used. The script that they released starts by He's initialisation instead.
        """
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.xavier_uniform_(module.weight)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
        for module in self.modules():
            if isinstance(module, Bottleneck):
                nn.init.zeros_(module.bn3.weight)
        nn.init.zeros_(self.fc.bias)


class DeepStem(nn.Sequential):
    """3x3 with stride 2, BN, ReLU; 3x3, BN, ReLU; 3x3."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 32, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 32, 3, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 64, 3, padding=1, bias=False),
        )


class PooledProjection(nn.Sequential):
    """Average pooling by the stride, 1x1 convolution, BN."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__(
            nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False),
            nn.Conv2d(channels, width, 1, bias=False),
            nn.BatchNorm2d(width),
        )
