"""FractalNet: Larsson, Maire and Shakhnarovich 2016, "FractalNet: Ultra-Deep Neural Networks without Residuals"."""

from functools import reduce
from typing import cast

import torch
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, GlobalAveragePool, check_input_px, left_out, named
from ilsvrc.runtime.batch_rng import draw_for_batch

FILTERS = (64, 128, 256, 512, 512)
THIN_FILTERS = (16, 32, 64, 128, 128)
DROPOUT = (0.0, 0.1, 0.2, 0.3, 0.4)  # a rate for each block
GLOBAL_SHARE = 0.5  # of the steps


def fractalnet20_cifar(
    num_classes: int = 10, input_px: int = 32, dropout: float | None = None, drop_path: float = 0.15
) -> "FractalNet":
    """Five blocks of three columns, 20 layers deep: section 4, Table 1. `dropout` replaces the five blocks' rates.

    Input 32 px; parameters 33,714,314 (published: 38.6 million, by Huang et al. 2016 (DenseNet), Table 2);
    multiply-adds 845,222,912 (the paper gives none).

    Differs from the paper: nothing that it states. The authors' released generator makes this network, and its counts
    for the thin networks are those that the paper prints. What was counted as 38.6 million is not known; with 1x1
    convolutions that change the width between blocks it would be 38.5 to 38.7 million.
    """
    return _cifar(FILTERS, 20, num_classes, input_px, dropout, drop_path)


@named("fractalnet{depth}_thin_cifar", depth=(5, 10, 20, 40, 80, 160))
def fractalnet_thin_cifar(
    depth: int, num_classes: int = 10, input_px: int = 32, dropout: float | None = None, drop_path: float = 0.15
) -> "FractalNet":
    """Five blocks of one to six columns with a quarter of the channels: Table 3, which trains on CIFAR-100.

    Input 32 px; the published counts are Table 3's, for 100 classes; it has no multiply-adds.

    depth  columns  parameters  (published)    multiply-adds
        5        1     246,314   0.3 million      4,572,416
       10        2     835,002   0.8 million     19,170,560
       20        3   2,111,018   2.1 million     53,822,720
       40        4   4,761,690   4.8 million    128,582,912
       80        5  10,161,674  10.2 million    283,559,168
      160        6  21,060,282  21.1 million    598,967,552

    Differs from the paper: nothing that it states; whether the study drops as Table 1's networks do is not checked.
    """
    return _cifar(THIN_FILTERS, depth, num_classes, input_px, dropout, drop_path)


def fractalnet34(
    num_classes: int = 1000, input_px: int = 224, dropout: float = 0.0, drop_path: float = 0.15
) -> "FractalNet":
    """ResNet-34's first and last layer, between them four blocks of four columns: section 4, Table 2.

    Input 224 px; parameters 164,002,216 (the paper gives none); multiply-adds 24,164,982,784 (the paper gives none).

    Differs from the paper: nothing that it states, which is little: widths of 128, 256, 512 and 1024. No definition was
    released. Inferred: no pooling behind the last block, where ResNet-34 averages 7 x 7 pixels; no dropout, whose
    rates are stated for five blocks; drop-path as in the other networks.
    """
    check_input_px("FractalNet-34", input_px, smallest=29)
    stem = nn.Sequential(
        nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),  # N x 64 x 112 x 112
        nn.BatchNorm2d(64), nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),  # N x 64 x 56 x 56
    )  # fmt: skip
    blocks = _blocks(64, (128, 256, 512, 1024), (dropout,) * 4, 4, drop_path)
    blocks[-1].pool = nn.Identity()
    return FractalNet(stem, blocks, 1024, num_classes, drop_path)


class FractalNet(Classifier):
    """Stem; fractal blocks; global average pooling, linear.

    Drop-path (section 3): half of the training steps take one column through all blocks (global), in the others each
    join drops inputs (local). All is drawn for a mini-batch; `drop_path` 0 turns off both.
    """

    def __init__(
        self, stem: nn.Module, blocks: nn.ModuleList, channels: int, num_classes: int, drop_path: float
    ) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = blocks
        self.global_pool = GlobalAveragePool()
        self.classifier = nn.Linear(channels, num_classes)
        self.drop_path = drop_path

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of FractalNet-20."""
        column = self._draw_column()
        x = self.stem(images)  # N x 3 x 32 x 32
        for block in self.blocks:
            x = block(x, column)  # N x 64 x 16 x 16, N x 128 x 8 x 8, N x 256 x 4 x 4, N x 512 x 2 x 2, N x 512 x 1 x 1
        x = self.global_pool(x)  # N x 512
        logits: Tensor = self.classifier(x)  # N x K
        return logits

    def _draw_column(self) -> int | None:
        """The only column of this step, or None for all."""
        if self.training and self.drop_path > 0.0 and draw_for_batch() < GLOBAL_SHARE:
            return int(draw_for_batch() * len(cast(FractalBlock, self.blocks[0]).columns))
        return None

    def initialize_as_paper(self) -> None:
        """Section 4: Xavier's, in Caffe's form: uniform by fan-in; biases 0. BN 1 and 0 where it has weights."""
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                bound = (3 / module.weight[0].numel()) ** 0.5
                nn.init.uniform_(module.weight, -bound, bound)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()


class FractalBlock(nn.Module):
    """Columns of 1, 2, 4, ... layers from one input (equation 2); joined as often as they end together; pooled.

    Two layers of a column stand beside one of the column to its left. As in the authors' generator the columns are
    pooled before the last join.
    """

    def __init__(self, channels: int, width: int, num_columns: int, dropout: float, drop_path: float) -> None:
        super().__init__()
        self.columns = nn.ModuleList(_column(channels, width, 2**index, dropout) for index in range(num_columns))
        self.pool: nn.Module = nn.MaxPool2d(2)
        self.join = Join(drop_path)

    def forward(self, x: Tensor, column: int | None = None) -> Tensor:
        """`[N, C, H, W]` to `[N, C', H / 2, W / 2]`, by all columns or by one."""
        return self._fractal(x) if column is None else self._alone(x, column)

    def _alone(self, x: Tensor, column: int) -> Tensor:
        others = [layers for index, layers in enumerate(self.columns) if index != column]
        out: Tensor = self.pool(self.columns[column](x))
        return out + left_out(nn.ModuleList(others)) if others else out

    def _fractal(self, x: Tensor) -> Tensor:
        columns = cast("list[nn.Sequential]", list(self.columns))
        depth = len(columns[-1])
        ends = [x] * len(columns)
        for step in range(1, depth + 1):
            due = [index for index, layers in enumerate(columns) if step % (depth // len(layers)) == 0]
            for index in due:
                layers = columns[index]
                ends[index] = layers[step * len(layers) // depth - 1](ends[index])
            inputs = [self.pool(ends[index]) if step == depth else ends[index] for index in due]
            joined: Tensor = self.join(inputs)
            for index in due:
                ends[index] = joined
        return joined


class Join(nn.Module):
    """The mean of its inputs. Training drops each with probability `drop_path`, and of all but keeps one at random."""

    def __init__(self, drop_path: float) -> None:
        super().__init__()
        self.drop_path = drop_path

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Tensors of one shape to a tensor of that shape; one alone passes."""
        if len(inputs) == 1:
            return inputs[0]
        drops = self.training and self.drop_path > 0.0
        survive = self._draw(len(inputs)) if drops else [True] * len(inputs)
        # What is dropped counts 0 times, so that its layers get gradients, of 0.
        shares = [x * (survives / sum(survive)) for x, survives in zip(inputs, survive, strict=True)]
        return reduce(torch.add, shares)

    def _draw(self, number: int) -> list[bool]:
        survive = [draw_for_batch() >= self.drop_path for _ in range(number)]
        if not any(survive):
            survive[int(draw_for_batch() * number)] = True
        return survive

    def extra_repr(self) -> str:
        """The rate, for `print`."""
        return f"drop_path={self.drop_path:g}"


class FractalLayer(nn.Sequential):
    """3x3 convolution with biases, dropout, BN without scale and shift, ReLU: the order of the authors' generator."""

    def __init__(self, channels: int, width: int, dropout: float) -> None:
        super().__init__(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.Dropout(dropout),
            nn.BatchNorm2d(width, affine=False),
            nn.ReLU(inplace=True),
        )


def _column(channels: int, width: int, depth: int, dropout: float) -> nn.Sequential:
    first = FractalLayer(channels, width, dropout)
    return nn.Sequential(first, *(FractalLayer(width, width, dropout) for _ in range(depth - 1)))


def _cifar(
    filters: tuple[int, ...], depth: int, num_classes: int, input_px: int, dropout: float | None, drop_path: float
) -> FractalNet:
    check_input_px("FractalNet for CIFAR", input_px, smallest=32)
    num_columns = (depth // len(filters)).bit_length()
    rates = DROPOUT if dropout is None else (dropout,) * len(filters)
    blocks = _blocks(3, filters, rates, num_columns, drop_path)
    return FractalNet(nn.Identity(), blocks, filters[-1], num_classes, drop_path)


def _blocks(
    channels: int, filters: tuple[int, ...], dropout: tuple[float, ...], num_columns: int, drop_path: float
) -> nn.ModuleList:
    inputs = (channels, *filters[:-1])
    return nn.ModuleList(
        FractalBlock(c, width, num_columns, rate, drop_path)
        for c, width, rate in zip(inputs, filters, dropout, strict=True)
    )
