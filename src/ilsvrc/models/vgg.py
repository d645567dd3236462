"""VGG: Simonyan and Zisserman 2014, "Very Deep Convolutional Networks for Large-Scale Image Recognition"."""

from torch import Tensor, nn

from ilsvrc.layers import Classifier, check_input_px

# Table 1: the channels of each 3 x 3 convolution, a group for each stage that a pooling ends.
CONFIGURATIONS = {
    "A": ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    "B": ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512)),
    "D": ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)),
    "E": ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4),
}


def vgg_a(num_classes: int = 1000, input_px: int = 224, dropout: float = 0.5) -> "VGG":
    """Configuration A of Table 1: 11 weight layers.

    Input 224 px; parameters 132,863,336 (published: 133 million, Table 2); multiply-adds 7,609,090,048 (the
    paper gives none).

    Differs from the paper: initialisation, see `VGG.initialize_as_paper`.
    """
    return VGG(CONFIGURATIONS["A"], num_classes, input_px, dropout)


class VGG(Classifier):
    """Stages of 3 x 3 convolutions with ReLU, each ended by 2 x 2 pooling; three linear layers."""

    def __init__(self, stages: tuple[tuple[int, ...], ...], num_classes: int, input_px: int, dropout: float) -> None:
        super().__init__()
        check_input_px("VGG", input_px, smallest=2 ** len(stages))
        self.features = _features(stages)
        side = input_px // 2 ** len(stages)
        self.classifier = nn.Sequential(
            nn.Linear(stages[-1][-1] * side**2, 4096), nn.ReLU(inplace=True), nn.Dropout(dropout),
            nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(dropout),
            nn.Linear(4096, num_classes),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of the paper's input."""
        x = self.features(images)  # N x 512 x 7 x 7
        return self.classifier(x.flatten(1))  # N x K

    def initialize_as_paper(self) -> None:
        """Weights N(0, 0.01) by standard deviation, biases 0.

        Section 3.1 says variance 0.01 for configuration A. Read so, the logits of A start between 1e4 and 1e6 and
        the loss is not a number after a few steps; read as the standard deviation, as in AlexNet, they start near 0
        (1e-5 at 80 px). The deeper networks started from A's weights, for which the paper's footnote offers Glorot's
        initialisation in exchange: `initialization: glorot` in a recipe.
        """
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)


def _features(stages: tuple[tuple[int, ...], ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for stage in stages:
        for width in stage:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2, stride=2))
    return nn.Sequential(*layers)
