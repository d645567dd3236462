"""ResNet for CIFAR: He et al. 2015, "Deep Residual Learning for Image Recognition", section 4.2."""

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from ilsvrc.models.common.layers import GlobalAveragePool, check_input_px, named
from ilsvrc.models.resnet import OPTION_A, OPTION_A_SPLIT, BasicBlock, FromHe, Make, PlainBlock, Stage


@named("resnet{depth}_cifar", depth=(20, 32, 44, 56, 110, 1202))
def resnet_cifar(depth: int, num_classes: int = 10, input_px: int = 32) -> "CifarResNet":
    """6n + 2 layers with option A, n = 3, 5, 7, 9, 18 and 200: Table 6.

    Input 32 px; published parameters are Table 6's, which has no multiply-adds.

        resnet20_cifar        269,722 parameters (0.27 M)       40,551,040 multiply-adds
        resnet32_cifar        464,154 parameters (0.46 M)       68,862,592 multiply-adds
        resnet44_cifar        658,586 parameters (0.66 M)       97,174,144 multiply-adds
        resnet56_cifar        853,018 parameters (0.85 M)      125,485,696 multiply-adds
        resnet110_cifar     1,727,962 parameters (1.7 M)       252,887,680 multiply-adds
        resnet1202_cifar   19,421,274 parameters (19.4 M)    2,829,238,912 multiply-adds

    Differs from the paper: at test, batch norm uses running averages; the paper does not say what it uses here.
    """
    return CifarResNet(partial(BasicBlock, OPTION_A), 16, 16, (depth - 2) // 6, num_classes, input_px)


@named("resnet{depth}_cifar_split_padding", depth=(20, 32, 44, 56, 110, 1202))
def resnet_cifar_split_padding(depth: int, num_classes: int = 10, input_px: int = 32) -> "CifarResNet":
    """`resnet_cifar` whose shortcuts put half of the new channels' zeros before the others and half behind.

    Input 32 px. The networks of github.com/akamaster/pytorch_resnet_cifar10, whose weights go by our names; with the
    zeros behind alone the same weights are near chance.

        resnet20_cifar_split_padding        269,722 parameters (0.27 M)       40,551,040 multiply-adds
        resnet32_cifar_split_padding        464,154 parameters (0.46 M)       68,862,592 multiply-adds
        resnet44_cifar_split_padding        658,586 parameters (0.66 M)       97,174,144 multiply-adds
        resnet56_cifar_split_padding        853,018 parameters (0.85 M)      125,485,696 multiply-adds
        resnet110_cifar_split_padding     1,727,962 parameters (1.7 M)       252,887,680 multiply-adds
        resnet1202_cifar_split_padding   19,421,274 parameters (19.4 M)    2,829,238,912 multiply-adds

    Differs from the paper: the place of the zeros, which the paper does not say; and as `resnet_cifar`.
    """
    return CifarResNet(partial(BasicBlock, OPTION_A_SPLIT), 16, 16, (depth - 2) // 6, num_classes, input_px)


@named("plain{depth}_cifar", depth=(20, 32, 44, 56))
def plain_cifar(depth: int, num_classes: int = 10, input_px: int = 32) -> "CifarResNet":
    """6n + 2 layers without shortcuts, n = 3, 5, 7 and 9: Figure 6, left.

    Input 32 px. Parameters and multiply-adds are those of `resnet_cifar`, whose shortcuts have neither; the paper
    gives them no figures of their own.

        plain20_cifar   269,722 parameters    40,551,040 multiply-adds
        plain32_cifar   464,154 parameters    68,862,592 multiply-adds
        plain44_cifar   658,586 parameters    97,174,144 multiply-adds
        plain56_cifar   853,018 parameters   125,485,696 multiply-adds

    Differs from the paper: as `resnet_cifar`.
    """
    return CifarResNet(PlainBlock, 16, 16, (depth - 2) // 6, num_classes, input_px)


class CifarResNet(FromHe):
    """3x3 convolution, BN, ReLU; three stages of `depth` blocks; global average pooling, linear.

    `stem` is what the first convolution puts out, `width` the first stage, each other stage twice as much as the one
    before. Names are those of `ResNet`.
    """

    def __init__(self, block: Make, stem: int, width: int, depth: int, num_classes: int, input_px: int) -> None:
        super().__init__()
        check_input_px("ResNet for CIFAR", input_px, smallest=4)
        self.conv1 = nn.Conv2d(3, stem, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.layer1 = Stage(block, stem, width, depth, stride=1)
        self.layer2 = Stage(block, width, 2 * width, depth, stride=2)
        self.layer3 = Stage(block, 2 * width, 4 * width, depth, stride=2)
        self.global_pool = GlobalAveragePool()
        self.fc = nn.Linear(4 * width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of `resnet_cifar` at 32 px."""
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)  # N x 16 x 32 x 32
        x = self.layer1(x)  # N x 16 x 32 x 32
        x = self.layer2(x)  # N x 32 x 16 x 16
        x = self.layer3(x)  # N x 64 x 8 x 8
        logits: Tensor = self.fc(self.global_pool(x))  # N x K
        return logits
