"""ResNeXt: Xie et al. 2016, "Aggregated Residual Transformations for Deep Neural Networks"; and WRN-50-2."""

from functools import partial

from ilsvrc.models.common.layers import named
from ilsvrc.models.resnet import DEPTHS, OPTION_B, Bottleneck, ResNet
from ilsvrc.models.resnet_cifar import CifarResNet


@named("resnext{depth}_32x4d", depth=(50, 101))
def resnext_32x4d(depth: int, num_classes: int = 1000, input_px: int = 224) -> ResNet:
    """Table 1: ResNet's bottlenecks with a 3x3 of 32 groups, 4 channels each in the first stage; stride in the 3x3.

    Input 224 px; published figures are Table 1's for 50 layers, the authors' repository's for 101.

        resnext50_32x4d    25,028,904 parameters (25.0 M)   4,230,479,872 multiply-adds (4.2 billion)
        resnext101_32x4d   44,177,704 parameters (44 M)     7,969,996,800 multiply-adds (about 7.8 billion)

    The form is (c) of Figure 3, grouped convolutions. `initialize_as_paper`: as fb.resnet.torch (section 4).

    Differs from the paper: nothing that it states.
    """
    return ResNet(_bottleneck(groups=32, base_width=4), 256, DEPTHS[depth], num_classes, input_px)


def resnext101_64x4d(num_classes: int = 1000, input_px: int = 224) -> ResNet:
    """Table 4, "2x complexity": as `resnext101_32x4d` with 64 groups.

    Input 224 px; parameters 83,455,272 (the paper gives none), multiply-adds 15,460,270,080 (published: about
    15.6 billion, in the authors' repository).

    Differs from the paper: nothing that it states.
    """
    return ResNet(_bottleneck(groups=64, base_width=4), 256, DEPTHS[101], num_classes, input_px)


@named("resnext29_{groups}x64d_cifar", groups=(8, 16))
def resnext29_cifar(groups: int, num_classes: int = 10, input_px: int = 32) -> CifarResNet:
    """Table 7 and appendix A: a 3x3 convolution to 64 channels; three stages of three bottlenecks to 256, 512, 1024.

    Input 32 px; published parameters are Table 7's, which has no multiply-adds.

        resnext29_8x64d_cifar    34,426,698 parameters (34.4 M)    5,387,266,048 multiply-adds
        resnext29_16x64d_cifar   68,155,210 parameters (68.1 M)   10,688,866,304 multiply-adds

    Differs from the paper: ReLU after the addition, as section 4 says and the released models/resnext.lua does. Its
    README says that Table 7's errors came from pre-activation blocks, and that these here do better.
    """
    return CifarResNet(_bottleneck(groups=groups, base_width=64), 64, 256, 3, num_classes, input_px)


def wrn_50_2(num_classes: int = 1000, input_px: int = 224) -> "WideResNet":
    """WRN-50-2-bottleneck of Zagoruyko & Komodakis 2016, "Wide Residual Networks", Table 8; torchvision's.

    ResNet-50 with the stride in the 3x3, whose bottlenecks are twice as wide inside; activation after the addition,
    unlike the paper's CIFAR networks. Input 224 px; parameters 68,883,240 (published: 68.9 M); multiply-adds
    11,398,021,120 (published by torchvision: 11.398 billion).

    Differs from the paper: nothing that it states.
    """
    return WideResNet(_bottleneck(groups=1, base_width=128), 256, DEPTHS[50], num_classes, input_px)


class WideResNet(ResNet):
    """A ResNet that starts as the released wide-resnet.lua."""

    fan = "fan_in"

    def initialize_as_paper(self) -> None:
        """Unstated in the paper; its pretrained/wide-resnet.lua: as He's ResNet, by fan-in."""
        super().initialize_as_paper()


def _bottleneck(groups: int, base_width: int) -> partial[Bottleneck]:
    return partial(Bottleneck, OPTION_B, stride_in_3x3=True, groups=groups, base_width=base_width)
