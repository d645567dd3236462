"""VGG: Simonyan and Zisserman 2014, "Very Deep Convolutional Networks for Large-Scale Image Recognition"."""

from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, FixedFlatten, LocalResponseNorm, check_input_px

# Table 1: a string for each stage that a pooling ends; "3-64" is what the paper prints as conv3-64.
CONFIGURATIONS = {
    "A": ("3-64", "3-128", "3-256 3-256", "3-512 3-512", "3-512 3-512"),
    "A-LRN": ("3-64 LRN", "3-128", "3-256 3-256", "3-512 3-512", "3-512 3-512"),
    "B": ("3-64 3-64", "3-128 3-128", "3-256 3-256", "3-512 3-512", "3-512 3-512"),
    "C": ("3-64 3-64", "3-128 3-128", "3-256 3-256 1-256", "3-512 3-512 1-512", "3-512 3-512 1-512"),
    "D": ("3-64 3-64", "3-128 3-128", "3-256 3-256 3-256", "3-512 3-512 3-512", "3-512 3-512 3-512"),
    "E": ("3-64 3-64", "3-128 3-128", "3-256 3-256 3-256 3-256", "3-512 3-512 3-512 3-512", "3-512 3-512 3-512 3-512"),
}


def vgg_a(num_classes: int = 1000, input_px: int = 224, dropout: float = 0.5) -> "VGG":
    """Configuration A of Table 1: 11 weight layers.

    Input 224 px; parameters 132,863,336 (published: 133 million, Table 2); multiply-adds 7,609,090,048 (the
    paper gives none; torchvision: 7.609 billion).

    Differs from the paper: initialisation, see `VGG.initialize_as_paper`.
    """
    return VGG("A", num_classes, input_px, dropout)


def vgg_a_lrn(num_classes: int = 1000, input_px: int = 224, dropout: float = 0.5) -> "VGG":
    """Configuration A-LRN of Table 1: A with AlexNet's normalisation after the first convolution (section 2.1).

    Input 224 px; parameters 132,863,336 (published: 133 million, Table 2); multiply-adds 7,609,090,048 (the
    paper gives none).

    Differs from the paper: as `vgg_a`.
    """
    return VGG("A-LRN", num_classes, input_px, dropout)


def vgg_b(num_classes: int = 1000, input_px: int = 224, dropout: float = 0.5) -> "VGG":
    """Configuration B of Table 1: 13 weight layers.

    Input 224 px; parameters 133,047,848 (published: 133 million, Table 2); multiply-adds 11,308,466,176 (the
    paper gives none; torchvision: 11.308 billion).

    Differs from the paper: as `vgg_a`.
    """
    return VGG("B", num_classes, input_px, dropout)


def vgg_c(num_classes: int = 1000, input_px: int = 224, dropout: float = 0.5) -> "VGG":
    """Configuration C of Table 1: 16 weight layers, B with 1 x 1 convolutions at the ends of the last three stages.

    Input 224 px; parameters 133,638,952 (published: 134 million, Table 2); multiply-adds 11,770,888,192 (the
    paper gives none).

    Differs from the paper: as `vgg_a`.
    """
    return VGG("C", num_classes, input_px, dropout)


def vgg_d(num_classes: int = 1000, input_px: int = 224, dropout: float = 0.5) -> "VGG":
    """Configuration D of Table 1: 16 weight layers; libraries call it VGG-16.

    Input 224 px; parameters 138,357,544 (published: 138 million, Table 2); multiply-adds 15,470,264,320 (the
    paper gives none; torchvision: 15.47 billion).

    Differs from the paper: as `vgg_a`.
    """
    return VGG("D", num_classes, input_px, dropout)


def vgg_e(num_classes: int = 1000, input_px: int = 224, dropout: float = 0.5) -> "VGG":
    """Configuration E of Table 1: 19 weight layers; libraries call it VGG-19.

    Input 224 px; parameters 143,667,240 (published: 144 million, Table 2); multiply-adds 19,632,062,464 (the
    paper gives none; torchvision: 19.632 billion).

    Differs from the paper: as `vgg_a`.
    """
    return VGG("E", num_classes, input_px, dropout)


class VGG(Classifier):
    """Stages of 3 x 3 convolutions with ReLU, each ended by 2 x 2 pooling; three linear layers."""

    def __init__(self, configuration: str, num_classes: int, input_px: int, dropout: float) -> None:
        super().__init__()
        check_input_px("VGG", input_px, smallest=32)
        self.features = _features(CONFIGURATIONS[configuration])
        side = input_px // 32
        self.flatten = FixedFlatten(side, input_px)
        self.classifier = nn.Sequential(
            nn.Linear(512 * side**2, 4096), nn.ReLU(inplace=True), nn.Dropout(dropout),
            nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(dropout),
            nn.Linear(4096, num_classes),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of the paper's input."""
        x = self.features(images)  # N x 512 x 7 x 7
        x = self.flatten(x)  # N x 25088
        logits: Tensor = self.classifier(x)  # N x K
        return logits

    def initialize_as_paper(self) -> None:
        """Weights N(0, 0.01) by standard deviation, biases 0.

        Section 3.1 says variance 0.01 for configuration A. Read so, the logits of A start between 1e4 and 1e6 and
        the loss is not a number after a few steps; read as the standard deviation, as in AlexNet, they start near 0
        (1e-5 at 80 px). The deeper networks started from A's weights; the same section notes that Glorot's
        initialisation does without: `initialization: glorot` in a recipe.
        """
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.normal_(module.weight, std=0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


def _features(stages: tuple[str, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for stage in stages:
        for printed in stage.split():
            if printed == "LRN":
                layers.append(LocalResponseNorm())
                continue
            kernel, width = map(int, printed.split("-"))
            layers += [nn.Conv2d(channels, width, kernel, padding=kernel // 2), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2, stride=2))
    return nn.Sequential(*layers)
