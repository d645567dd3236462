"""Inception-v3: Szegedy et al. 2015, "Rethinking the Inception Architecture for Computer Vision"."""

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.inception import (
    BasicConv2d,
    Inception3,
    InceptionA,
    InceptionAux,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE,
)

from ilsvrc.models.common.layers import Classifier, GlobalAveragePool, check_input_px

AUXILIARY_WEIGHT = 0.4


def inception_v3(num_classes: int = 1000, input_px: int = 299, dropout: float = 0.2) -> "InceptionV3":
    """The network of Table 1 and Figures 5 to 7, with the batch-normalised auxiliary head: torchvision's.

    Input 299 px; parameters 23,834,568, with the head 27,161,264 (published: under 25 million; by timm 23.8 million);
    multiply-adds 5,713,216,096 (published: 4.8 billion in Table 3, 5 billion in the abstract; by timm 5.7 billion). The
    paper leaves most widths out; these are the authors' released definition's.

    Differs from the paper:
    - Table 1 has 3x3 convolutions to 80, to 192 with stride 2 and to 288 channels, where the released definition has a
      1x1 to 80, a 3x3 to 192 and pooling; its modules of 35 x 35 pixels then put out 256, 288 and 288 channels.
    - Batch norm has scales, as torchvision's, of which the paper says nothing; the released definition has none, and so
      17,216 parameters fewer, since a ReLU follows each.
    - Average pooling counts the zeros beyond the border, as torchvision does and TensorFlow does not.
    - What the auxiliary head gets of images below 299 px, less than 17 x 17 pixels, it first surrounds with zeros.

    The head's fully connected layer, which the paper batch-normalises too, is its 5x5 convolution. Unstated, and taken
    from TensorFlow's slim: the weight 0.4 of the auxiliary loss, dropout 0.2, the initialisation.
    """
    return InceptionV3(num_classes, input_px, dropout)


class InceptionV3(Classifier, Inception3):  # type: ignore[misc]
    """Five convolutions, eleven Inception modules, global average pooling, dropout, one linear layer."""

    # torchvision is not annotated.
    Conv2d_1a_3x3: nn.Module
    Conv2d_2a_3x3: nn.Module
    Conv2d_2b_3x3: nn.Module
    maxpool1: nn.Module
    Conv2d_3b_1x1: nn.Module
    Conv2d_4a_3x3: nn.Module
    maxpool2: nn.Module
    Mixed_5b: nn.Module
    Mixed_5c: nn.Module
    Mixed_5d: nn.Module
    Mixed_6a: nn.Module
    Mixed_6b: nn.Module
    Mixed_6c: nn.Module
    Mixed_6d: nn.Module
    Mixed_6e: nn.Module
    Mixed_7a: nn.Module
    Mixed_7b: nn.Module
    Mixed_7c: nn.Module
    dropout: nn.Module
    fc: nn.Module
    AuxLogits: "AuxiliaryHead"

    def __init__(self, num_classes: int, input_px: int, dropout: float) -> None:
        check_input_px("Inception-v3", input_px, smallest=75)
        super().__init__(
            num_classes=num_classes,
            aux_logits=True,
            transform_input=False,
            inception_blocks=[BasicConv2d, InceptionA, InceptionB, InceptionC, InceptionD, InceptionE, AuxiliaryHead],
            init_weights=False,
            dropout=dropout,
        )
        self.global_pool = GlobalAveragePool()

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`."""
        return self._classify(self._after_6e(images))

    def outputs(self, images: Tensor) -> list[tuple[float, Tensor]]:
        """The classifier's logits, and those of the head on 6e with weight 0.4."""
        after_6e = self._after_6e(images)
        return [(1.0, self._classify(after_6e)), (AUXILIARY_WEIGHT, self.AuxLogits(after_6e))]

    def auxiliary_heads(self) -> list[nn.Module]:
        """The head on 6e."""
        return [self.AuxLogits]

    def _after_6e(self, images: Tensor) -> Tensor:
        x = self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(images))  # N x 32 x 147 x 147
        x = self.maxpool1(self.Conv2d_2b_3x3(x))  # N x 64 x 73 x 73
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))  # N x 192 x 71 x 71
        x = self.Mixed_5b(self.maxpool2(x))  # N x 256 x 35 x 35
        x = self.Mixed_5d(self.Mixed_5c(x))  # N x 288 x 35 x 35
        x = self.Mixed_6a(x)  # N x 768 x 17 x 17
        x = self.Mixed_6c(self.Mixed_6b(x))  # N x 768 x 17 x 17
        after_6e: Tensor = self.Mixed_6e(self.Mixed_6d(x))  # N x 768 x 17 x 17
        return after_6e

    def _classify(self, x: Tensor) -> Tensor:
        x = self.Mixed_7a(x)  # N x 1280 x 8 x 8
        x = self.Mixed_7c(self.Mixed_7b(x))  # N x 2048 x 8 x 8
        x = self.global_pool(x)  # N x 2048
        logits: Tensor = self.fc(self.dropout(x))  # N x K
        return logits

    def initialize_as_paper(self) -> None:
        """Unstated in the paper; slim's: He's normal distribution cut at two deviations, by fan-in; biases 0.

        In the auxiliary head the 5x5 convolution has deviation 0.01 and the classifier 0.001, before the cut.
        """
        initialize_as_slim(self)
        for name, deviation in (("conv1.conv.weight", 0.01), ("fc.weight", 0.001)):
            cut_normal_(self.AuxLogits.get_parameter(name), deviation)


class AuxiliaryHead(InceptionAux):  # type: ignore[misc]
    """5x5 average pooling with stride 3; 1x1, BN, ReLU; 5x5, BN, ReLU; global average pooling, linear."""

    def forward(self, x: Tensor) -> Tensor:
        """`[N, 768, 17, 17]` (for the paper's input) to logits `[N, K]`; less than 17 pixels get zeros around them."""
        missing = [max(17 - side, 0) for side in (x.shape[3], x.shape[2])]
        padded = F.pad(x, [pixels for m in missing for pixels in (m // 2, m - m // 2)])
        logits: Tensor = super().forward(padded)
        return logits


def initialize_as_slim(network: nn.Module) -> None:
    """TensorFlow slim's `variance_scaling_initializer` for all weights, biases 0, batch norm 1 and 0."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            cut_normal_(module.weight, (2.6 / module.weight[0].numel()) ** 0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()


def cut_normal_(weight: Tensor, deviation: float) -> None:
    """Normal values, drawn anew beyond two deviations; that leaves 0.88 of the deviation."""
    nn.init.trunc_normal_(weight, std=deviation, a=-2 * deviation, b=2 * deviation)
