"""Stochastic depth: Huang, Sun, Liu, Sedra and Weinberger 2016, "Deep Networks with Stochastic Depth"."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, GlobalAveragePool, check_input_px, left_out
from ilsvrc.runtime.batch_rng import draw_for_batch


def stochastic_depth_resnet110_cifar(
    num_classes: int = 10, input_px: int = 32, drop_path: float = 0.5
) -> "StochasticDepthResNet":
    """110 layers, 54 blocks, of which the last survives a step with probability 1 - `drop_path`: section 4.

    Input 32 px; parameters 1,727,962 (published: 1.7 million, by Zagoruyko and Komodakis 2016, Table 5); multiply-adds
    252,887,680 (the paper gives none).

    Differs from the paper: nothing that it states. The authors' released convolutions have biases, 4,048 in all, that
    the batch norm behind them takes out again; here, as in He et al. 2015, they have none. A shortcut to a smaller
    image averages 2 x 2 pixels, as in their code since they corrected it in February 2017 (pull request 4); until
    then, and so when its README gave the results, it took every second pixel, He's option A.
    """
    return _cifar((110 - 2) // 6, drop_path, num_classes, input_px)


def stochastic_depth_resnet152_svhn(
    num_classes: int = 10, input_px: int = 32, drop_path: float = 0.5
) -> "StochasticDepthResNet":
    """152 layers, 75 blocks, of the network for CIFAR: the results on SVHN of Table 1.

    Input 32 px; parameters 2,408,474 (the paper gives none); multiply-adds 351,978,112 (the paper gives none).

    Differs from the paper: as `stochastic_depth_resnet110_cifar`.
    """
    return _cifar((152 - 2) // 6, drop_path, num_classes, input_px)


def stochastic_depth_resnet1202_cifar(
    num_classes: int = 10, input_px: int = 32, drop_path: float = 0.5
) -> "StochasticDepthResNet":
    """1202 layers, 600 blocks: the 4.91 % on CIFAR-10 of the abstract.

    Input 32 px; parameters 19,421,274 (published: 19.4 million, by He et al. 2015, Table 6, for their network of
    1202 layers; Zagoruyko and Komodakis print 10.2 million in their Table 5, an error); multiply-adds
    2,829,238,912 (the paper gives none).

    Differs from the paper: as `stochastic_depth_resnet110_cifar`; the authors did not release this network.
    """
    return _cifar((1202 - 2) // 6, drop_path, num_classes, input_px)


def stochastic_depth_resnet152(
    num_classes: int = 1000, input_px: int = 224, drop_path: float = 0.5
) -> "StochasticDepthResNet":
    """ResNet-152 of He et al. 2015, 50 bottleneck blocks: the results on ImageNet of section 4.

    Input 224 px; parameters 60,192,808 (the paper gives none); multiply-adds 11,282,415,616 (published: 11.3 billion,
    by He et al. 2015, Table 1).

    Differs from the paper: nothing that it states. The authors did not release this network, so that blocks and
    shortcuts are those of He et al. 2015: the stride is the first 1x1 convolution's, and shortcuts project where the
    shape changes (option B). A projection stays when its block is dropped.
    """
    check_input_px("ResNet with stochastic depth", input_px, smallest=32)
    stem = nn.Sequential(
        *convolution(3, 64, 7, stride=2), nn.ReLU(inplace=True),  # N x 64 x 112 x 112
        nn.MaxPool2d(3, stride=2, padding=1),  # N x 64 x 56 x 56
    )  # fmt: skip
    stages = _stages(bottleneck, 64, (256, 512, 1024, 2048), (3, 8, 36, 3), drop_path)
    return StochasticDepthResNet(stem, stages, 2048, num_classes)


class StochasticDepthResNet(Classifier):
    """Stem; stages of blocks that training drops, each halving the image but the first; global average pooling,
    linear.
    """

    def __init__(self, stem: nn.Sequential, stages: nn.Sequential, channels: int, num_classes: int) -> None:
        super().__init__()
        self.stem = stem
        self.stages = stages
        self.global_pool = GlobalAveragePool()
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of the network for CIFAR."""
        x = self.stem(images)  # N x 16 x 32 x 32
        x = self.stages(x)  # N x 64 x 8 x 8
        x = self.global_pool(x)  # N x 64
        logits: Tensor = self.classifier(x)  # N x K
        return logits

    def initialize_as_paper(self) -> None:
        """Unstated in the paper; the authors' code: He's normal by fan-in, torch's default in the classifier.

        Batch norms start as Torch 7 starts them: weights uniform from [0, 1), biases 0.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
                nn.init.uniform_(module.weight)
        self.classifier.reset_parameters()


class DroppedBlock(nn.Module):
    """Branch; plus shortcut; ReLU (equation 2). Training drops the branch for a whole mini-batch.

    `death_rate` is 1 - p, p the probability that the branch survives. At test the branch always works and is
    multiplied by p (equation 5), which is saved with the weights: another rate would be another network.
    """

    survival: Tensor

    def __init__(self, branch: nn.Sequential, shortcut: nn.Module, death_rate: float) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut
        self.death_rate = death_rate
        self.register_buffer("survival", torch.tensor(1.0 - death_rate))

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C', H / stride, W / stride]`."""
        return F.relu(self.shortcut(x) + self._residual(x))

    def _residual(self, x: Tensor) -> Tensor:
        if self.training and self.death_rate > 0.0 and draw_for_batch() < self.death_rate:
            return left_out(self.branch)
        x = self.branch(x)
        return x if self.training else x * self.survival

    def extra_repr(self) -> str:
        """The rate, for `print`."""
        return f"death_rate={self.death_rate:g}"


class PooledShortcut(nn.Module):
    """2x2 average pooling where the image halves, channels of zeros behind."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(stride, ceil_mode=True)  # as many pixels of an odd side as the convolution leaves
        self.new_channels = width - channels

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C + new, H / stride, W / stride]`."""
        return F.pad(self.pool(x), (0, 0, 0, 0, 0, self.new_channels))


def convolution(channels: int, width: int, size: int, stride: int = 1) -> nn.Sequential:
    """Convolution, BN."""
    return nn.Sequential(
        nn.Conv2d(channels, width, size, stride=stride, padding=size // 2, bias=False), nn.BatchNorm2d(width)
    )


def basic(channels: int, width: int, stride: int, death_rate: float) -> DroppedBlock:
    """A block of 3x3, BN, ReLU, 3x3, BN."""
    branch = nn.Sequential(
        *convolution(channels, width, 3, stride), nn.ReLU(inplace=True), *convolution(width, width, 3)
    )  # fmt: skip
    same_shape = stride == 1 and channels == width
    return DroppedBlock(branch, nn.Identity() if same_shape else PooledShortcut(channels, width, stride), death_rate)


def bottleneck(channels: int, width: int, stride: int, death_rate: float) -> DroppedBlock:
    """A block of 1x1, BN, ReLU, 3x3, BN, ReLU, 1x1, BN, the first two a quarter as wide."""
    branch = nn.Sequential(
        *convolution(channels, width // 4, 1, stride), nn.ReLU(inplace=True),
        *convolution(width // 4, width // 4, 3), nn.ReLU(inplace=True), *convolution(width // 4, width, 1),
    )  # fmt: skip
    return DroppedBlock(
        branch, nn.Identity() if channels == width else convolution(channels, width, 1, stride), death_rate
    )


MakeBlock = Callable[[int, int, int, float], DroppedBlock]


def _cifar(depth: int, drop_path: float, num_classes: int, input_px: int) -> StochasticDepthResNet:
    check_input_px("ResNet with stochastic depth for CIFAR", input_px, smallest=4)
    stem = nn.Sequential(*convolution(3, 16, 3), nn.ReLU(inplace=True))
    return StochasticDepthResNet(stem, _stages(basic, 16, (16, 32, 64), (depth,) * 3, drop_path), 64, num_classes)


def _stages(
    block: MakeBlock, channels: int, widths: tuple[int, ...], depths: tuple[int, ...], drop_path: float
) -> nn.Sequential:
    """A stage for each width, of `depths` blocks, the first of which changes the shape."""
    death_rates = _death_rates(sum(depths), drop_path)
    stages = nn.Sequential()
    for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        first = block(channels, width, 2 if index else 1, next(death_rates))
        rest = (block(width, width, 1, next(death_rates)) for _ in range(depth - 1))
        stages.append(nn.Sequential(first, *rest))
        channels = width
    return stages


def _death_rates(num_blocks: int, last: float) -> Iterator[float]:
    """The linear rule (equation 4): the l-th of L blocks dies with l / L of the last block's rate."""
    return (last * (index + 1) / num_blocks for index in range(num_blocks))
