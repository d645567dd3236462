"""GhostNet: Han et al. 2020, "GhostNet: More Features from Cheap Operations"."""

import timm.models.ghostnet as timm_ghostnet
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, check_input_px, named

# Table 1, a stage for each list: depthwise kernel, expanded channels, channels, SE ratio and stride of each bottleneck.
STAGES = (
    ((3, 16, 16, 0, 1),),
    ((3, 48, 24, 0, 2),),
    ((3, 72, 24, 0, 1),),
    ((5, 72, 40, 0.25, 2),),
    ((5, 120, 40, 0.25, 1),),
    ((3, 240, 80, 0, 2),),
    ((3, 200, 80, 0, 1), (3, 184, 80, 0, 1), (3, 184, 80, 0, 1), (3, 480, 112, 0.25, 1), (3, 672, 112, 0.25, 1)),
    ((5, 672, 160, 0.25, 2),),
    ((5, 960, 160, 0, 1), (5, 960, 160, 0.25, 1), (5, 960, 160, 0, 1), (5, 960, 160, 0.25, 1)),
)


@named("ghostnet_{width}x", width=("0_5", "1", "1_3"))
def ghostnet(width: str, num_classes: int = 1000, input_px: int = 224, dropout: float = 0.2) -> "GhostNet":
    """The network of Table 1, its channels scaled by `width`: Table 7.

    Input 224 px; parameters and multiply-adds, ours and those of Table 7:

        ghostnet_0_5x  2,587,292  (2.6 million)   42,328,152  (42 million)
        ghostnet_1x    5,182,508  (5.2 million)  141,150,512  (141 million)
        ghostnet_1_3x  7,358,820  (7.3 million)  227,003,256  (226 million)

    Differs from the paper: nothing that it states. Unstated, and taken from the authors' released PyTorch
    definition, whose parameter names timm keeps: channels, scaled or squeezed, are multiples of 4; a shortcut
    that changes the shape is a depthwise and a 1x1 convolution, each with BN; gates are hard sigmoids; the 1x1
    convolution to 1280 channels has biases and no BN. At 1.3x that definition too counts 7.36 million.
    """
    return GhostNet(float(width.replace("_", ".")), num_classes, input_px, dropout)


class GhostNet(Classifier, timm_ghostnet.GhostNet):
    """3x3 convolution, BN, ReLU; 16 Ghost bottlenecks; 1x1, BN, ReLU; average pooling; 1x1, ReLU, dropout, linear."""

    def __init__(self, width: float, num_classes: int, input_px: int, dropout: float) -> None:
        check_input_px("GhostNet", input_px, smallest=32)
        super().__init__(
            [[list(block) for block in stage] for stage in STAGES], num_classes=num_classes, width=width, drop_rate=0.0
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of 1x."""
        x = self.act1(self.bn1(self.conv_stem(images)))  # N x 16 x 112 x 112
        x = self.blocks(x)  # N x 960 x 7 x 7
        x = self.global_pool(x)  # N x 960 x 1 x 1
        x = self.act2(self.conv_head(x))  # N x 1280 x 1 x 1
        logits: Tensor = self.classifier(self.dropout(self.flatten(x)))  # N x K
        return logits

    def initialize_as_paper(self) -> None:
        """Unstated in the paper; the authors' first PyTorch code's: He's normal by fan-out, BN 1 and 0.

        All else is torch's default, as there: the classifier, the biases.
        """
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear, nn.BatchNorm2d)):
                module.reset_parameters()
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
