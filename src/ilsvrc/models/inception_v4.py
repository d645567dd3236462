"""Inception-v4: Szegedy et al. 2016, "Inception-v4, Inception-ResNet and the Impact of Residual Connections"."""

from timm.models.inception_v4 import InceptionV4 as TimmInceptionV4
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, check_input_px
from ilsvrc.models.inception_v3 import initialize_as_slim


def inception_v4(num_classes: int = 1000, input_px: int = 299, dropout: float = 0.2) -> "InceptionV4":
    """The network of Figures 3 to 9: timm's.

    Input 299 px; parameters 42,679,816 and multiply-adds 12,253,974,624 (the paper gives neither; published by timm:
    42.7 million and 12.3 billion). The definition is the one that the authors released, but that batch norm has scales,
    as timm's, which theirs leaves out (31,584 parameters).

    Differs from the paper: nothing that it states. The released code trains it with an auxiliary head on the last
    module B, of which neither the text nor Figure 9 knows. Unstated, and taken from that code: the initialisation,
    epsilon 1e-3 in batch norm.
    """
    return InceptionV4(num_classes, input_px, dropout)


class InceptionV4(Classifier, TimmInceptionV4):
    """Stem, four modules A, reduction, seven B, reduction, three C; average pooling, dropout, linear."""

    def __init__(self, num_classes: int, input_px: int, dropout: float) -> None:
        check_input_px("Inception-v4", input_px, smallest=75)
        super().__init__(
            num_classes=num_classes, drop_rate=dropout, norm_layer="batchnorm2d", norm_eps=1e-3, act_layer="relu"
        )

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`."""
        x = self.features(images)  # N x 1536 x 8 x 8
        x = self.global_pool(x)  # N x 1536
        logits: Tensor = self.last_linear(self.head_drop(x))  # N x K
        return logits

    def initialize_as_paper(self) -> None:
        """Unstated in the paper; slim's: He's normal distribution cut at two deviations, by fan-in; biases 0.

        The classifier is Glorot's uniform: in slim it is a linear layer, and not a convolution as in Inception-v3.
        """
        initialize_as_slim(self)
        nn.init.xavier_uniform_(self.last_linear.weight)
