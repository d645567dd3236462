"""MyNet: Author 2026, "Title of the Paper". Template of an architecture: src/ilsvrc/models/my_network.py.

Each public function that takes `num_classes` is an architecture, by its name. It returns a `Classifier`. A row of
models/common/reference_counts.csv holds its counts (`ilsvrc describe my_network` counts them), and a recipe names it
in `paper_of`.
"""

from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, GlobalAveragePool, check_input_px


def my_network(num_classes: int = 10, input_px: int = 32, dropout: float = 0.1) -> "MyNet":
    """Two convolutions, global average pooling and a linear layer: Table 1.

    Input 32 px; parameters 5,418 and multiply-adds 1,622,336 (the paper gives neither).

    Differs from the paper: nothing.
    """
    return MyNet(num_classes, input_px, dropout)


class MyNet(Classifier):
    """3x3, ReLU, 3x3 by 2, ReLU, global average pooling, dropout, linear."""

    def __init__(self, num_classes: int, input_px: int, dropout: float) -> None:
        super().__init__()
        check_input_px("MyNet", input_px, smallest=2)
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.pool = GlobalAveragePool()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(32, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of the paper's input."""
        x = self.relu(self.conv1(images))  # N x 16 x 32 x 32
        x = self.relu(self.conv2(x))  # N x 32 x 16 x 16
        logits: Tensor = self.classifier(self.dropout(self.pool(x)))  # N x K
        return logits

    def initialize_as_paper(self) -> None:
        """Section 3: He et al. 2015, biases 0."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)
