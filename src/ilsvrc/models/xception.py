"""Xception: Chollet 2016, "Xception: Deep Learning with Depthwise Separable Convolutions"."""

from timm.models.xception import Xception as TimmXception
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, check_input_px


def xception(num_classes: int = 1000, input_px: int = 299, dropout: float = 0.5) -> "Xception":
    """The network of Figure 5: timm's `legacy_xception`.

    Input 299 px; parameters 22,855,952 (published: 22,855,952, Table 3); multiply-adds 8,357,403,496 (the paper gives
    none).

    Differs from the paper: nothing that it states. Unstated, and other than in the author's Keras model: epsilon 1e-5
    in batch norm (there 1e-3); pooling by 2 begins one pixel outside an even side (there inside). Taken from that
    model: the initialisation.
    """
    return Xception(num_classes, input_px, dropout)


class Xception(Classifier, TimmXception):
    """Two convolutions, twelve residual blocks of separable ones, two separable; average pooling, dropout, linear."""

    global_pool: nn.Module  # type: ignore[assignment]

    def __init__(self, num_classes: int, input_px: int, dropout: float) -> None:
        check_input_px("Xception", input_px, smallest=32)
        super().__init__(num_classes=num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`."""
        x = self.forward_features(images)  # type: ignore[no-untyped-call]  # N x 2048 x 10 x 10
        x = self.global_pool(x)  # N x 2048
        logits: Tensor = self.fc(self.dropout(x))  # N x K
        return logits

    def initialize_as_paper(self) -> None:
        """Unstated in the paper; Keras's default: Glorot's uniform distribution, biases 0, BN 1 and 0."""
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.xavier_uniform_(module.weight)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
        nn.init.zeros_(self.fc.bias)
