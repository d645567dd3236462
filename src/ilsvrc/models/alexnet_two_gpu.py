"""AlexNet on two GPUs, as it was trained: Krizhevsky et al. 2012, section 3.2 and Figure 2."""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ilsvrc.models.alexnet import AlexNet
from ilsvrc.models.common.layers import Classifier, FixedFlatten, LocalResponseNorm, check_input_px


def alexnet_two_gpu(num_classes: int = 1000, input_px: int = 227, dropout: float = 0.5) -> "AlexNetTwoGPU":
    """The function of `alexnet`, in two towers that may stand on two devices: `spread` puts them there.

    Input 227 px; parameters 60,965,224 (published: 60 million) and multiply-adds 724,406,816, as `alexnet`.

    Differs from the paper: as `alexnet`; normalisation within a tower needs no values of the other. Figure 2 draws
    the last layer undivided and does not say on which GPU it stands: here on the first.
    """
    return AlexNetTwoGPU(num_classes, input_px, dropout)


class AlexNetTwoGPU(Classifier):
    """Two towers that exchange what they give to the third convolution and to the linear layers, nothing else."""

    def __init__(self, num_classes: int, input_px: int, dropout: float) -> None:
        super().__init__()
        check_input_px("AlexNet", input_px, smallest=AlexNet.smallest_px())
        self.towers = nn.ModuleList([Tower(input_px, dropout), Tower(input_px, dropout)])
        self.fc8 = nn.Linear(4096, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` to logits `[N, K]`; shapes are those of each tower for the paper's input."""
        towers = cast("list[Tower]", list(self.towers))
        halves = [tower.conv1_to_2(images.to(tower.device)) for tower in towers]  # N x 128 x 13 x 13
        halves = [tower.conv3_to_5(_joined(halves, tower.device)) for tower in towers]  # N x 4608
        halves = [tower.hidden(tower.fc6, _joined(halves, tower.device)) for tower in towers]  # N x 2048
        halves = [tower.hidden(tower.fc7, _joined(halves, tower.device)) for tower in towers]  # N x 2048
        logits: Tensor = self.fc8(_joined(halves, self.fc8.weight.device))  # N x K
        return logits

    def spread(self, *devices: torch.device) -> None:
        """Puts a tower on each of two devices, and the last layer on the first.

        Raises:
            ValueError: there are not two devices.
        """
        if len(devices) != 2:
            raise ValueError(f"alexnet_two_gpu stands on two GPUs a process, not {len(devices)}; set gpu to twice "
                             "processes in the profile")  # fmt: skip
        first, second = devices
        self.towers[0].to(first)
        self.towers[1].to(second)
        self.fc8.to(first)

    def initialize_as_paper(self) -> None:
        """Section 5, as `alexnet`: N(0, 0.01); biases 1 in conv2, conv4, conv5 and the hidden FC layers, else 0."""
        ones = {getattr(tower, name) for tower in self.towers for name in ("conv2", "conv4", "conv5", "fc6", "fc7")}
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.normal_(module.weight, std=0.01)
                if module.bias is not None:
                    nn.init.constant_(module.bias, float(module in ones))

    @staticmethod
    def from_alexnet(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state dict of an `alexnet` as this network's: each tower has one half of the outputs of each layer."""
        in_towers = {}
        for name, value in weights.items():
            if name.startswith("fc8."):
                in_towers[name] = value
            else:
                in_towers |= {f"towers.{i}.{name}": half for i, half in enumerate(value.chunk(2))}
        return in_towers

    @staticmethod
    def to_alexnet(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The way back: this network's state dict as an `alexnet`'s, on the first tower's device."""
        whole = {}
        for name, value in weights.items():
            if name.startswith("fc8."):
                whole[name] = value
            elif name.startswith("towers.0."):
                halves = [value, weights[name.replace("towers.0.", "towers.1.")]]
                whole[name.removeprefix("towers.0.")] = _joined(halves, value.device, dim=0)
        return whole


class Tower(nn.Module):
    """One GPU's half of Figure 2: half of each layer's kernels; sees both halves in conv3, fc6 and fc7."""

    def __init__(self, input_px: int, dropout: float) -> None:
        super().__init__()
        side = AlexNet.feature_px(input_px)
        self.conv1 = nn.Conv2d(3, 48, 11, stride=4)
        self.conv2 = nn.Conv2d(48, 128, 5, padding=2)
        self.conv3 = nn.Conv2d(256, 192, 3, padding=1)
        self.conv4 = nn.Conv2d(192, 192, 3, padding=1)
        self.conv5 = nn.Conv2d(192, 128, 3, padding=1)
        self.norm = LocalResponseNorm()
        self.pool = nn.MaxPool2d(3, stride=2)
        self.flatten = FixedFlatten(side, input_px)
        self.fc6 = nn.Linear(256 * side**2, 2048)
        self.fc7 = nn.Linear(4096, 2048)
        self.dropout = nn.Dropout(dropout)

    @property
    def device(self) -> torch.device:
        """The device of the tower's parameters."""
        return self.conv1.weight.device

    def conv1_to_2(self, images: Tensor) -> Tensor:
        """Images to what the third convolutions of both towers see, `[N, 128, 13, 13]` for the paper's input."""
        x = F.relu(self.conv1(images), inplace=True)  # N x 48 x 55 x 55
        x = self.pool(self.norm(x))  # N x 48 x 27 x 27
        x = F.relu(self.conv2(x), inplace=True)  # N x 128 x 27 x 27
        maps: Tensor = self.pool(self.norm(x))  # N x 128 x 13 x 13
        return maps

    def conv3_to_5(self, x: Tensor) -> Tensor:
        """Both halves, `[N, 256, 13, 13]`, to what the linear layers of both towers see, `[N, 4608]`."""
        x = F.relu(self.conv3(x), inplace=True)  # N x 192 x 13 x 13
        x = F.relu(self.conv4(x), inplace=True)  # N x 192 x 13 x 13
        x = self.pool(F.relu(self.conv5(x), inplace=True))  # N x 128 x 6 x 6
        x = self.flatten(x)  # N x 4608
        return x

    def hidden(self, layer: nn.Linear, x: Tensor) -> Tensor:
        """Both halves through `layer`, ReLU and dropout, to `[N, 2048]`."""
        x = self.dropout(F.relu(layer(x), inplace=True))
        return x


def _joined(halves: Sequence[Tensor], device: torch.device, dim: int = 1) -> Tensor:
    """Both halves, on `device`."""
    return torch.cat([half.to(device) for half in halves], dim=dim)
