"""Base class of the architectures, and the papers' layers that no library has."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Build = TypeVar("Build", bound=Callable[..., Any])


def timm_class(module: str, name: str) -> tuple[type, ...]:
    """A class of timm's for `isinstance`; empty where nothing has imported it, so that no layer is one.

    Importing timm takes seconds, and most networks have nothing of it.
    """
    return (getattr(sys.modules[module], name),) if module in sys.modules else ()


def named(template: str, listed: Sequence[str] = (), **choices: Sequence[Any]) -> Callable[[Build], Build]:
    """Marks a builder that stands for many architectures: `named("resnet{depth}_cifar", depth=(20, 32))`.

    The builder gets each field of `template` as a keyword. `choices` are the values that a field may have, literal
    tuples or ranges; where ranges make very many names, `listed` are those that tests, tables and lists hold.
    `config.model_builders` reads all of it from the source.
    """

    def leave(build: Build) -> Build:
        return build

    return leave


class Classifier(nn.Module):
    """Images `[N, 3, H, W]` to class scores (logits) `[N, K]`.

    A network with auxiliary heads overrides `outputs` and `auxiliary_heads`; every network offers its paper's
    initialisation.
    """

    def outputs(self, images: Tensor) -> list[tuple[float, Tensor]]:
        """Logits of all heads in training: (weight of its loss, logits `[N, K]`) for each, the main one first."""
        return [(1.0, self(images))]

    def auxiliary_heads(self) -> list[nn.Module]:
        """Heads that work in training only."""
        return []

    def spread(self, *devices: torch.device) -> None:
        """Puts parts of the network on several devices; images come in and logits go out on the first.

        Raises:
            ValueError: the network stands on one device only.
        """
        raise ValueError(
            f"{type(self).__name__} stands on one GPU a process and {len(devices)} are given; leave processes at 0 "
            "(one a GPU) in the profile"
        )

    def initialize_as_paper(self) -> None:
        """Sets weights and biases as the paper did, from torch's global generator.

        Raises:
            ValueError: the network is nobody's paper's.
        """
        name = type(self).__name__
        raise ValueError(
            f"{name} offers no paper's initialisation; set initialization: he_normal or glorot (training:)"
        )


class LocalResponseNorm(nn.Module):
    """Divides each value by (k + alpha * sum of the squares of n adjacent channels) ** 0.75.

    Krizhevsky et al. 2012, section 3.3, whose constants are the defaults. `alpha` multiplies the plain sum, where
    `nn.LocalResponseNorm` and Caffe divide it by n first. With `groups`, channels are adjacent within a group only,
    as in a grouped convolution. The sums are float32 in every lower precision.
    """

    # Written out because torch's (an average pooling in 3-D, and a power) takes 7 to 8 times as long on a CPU. The
    # exponent, the same in every paper, is fixed: s ** -0.75 is r * sqrt(r) with r = 1 / sqrt(s).

    def __init__(self, size: int = 5, alpha: float = 1e-4, k: float = 2.0, groups: int = 1) -> None:
        super().__init__()
        self.size, self.alpha, self.k, self.groups = size, alpha, k, groups

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to the same shape and precision."""
        normalized: Tensor = _LocalResponseNorm.apply(x, self.size, self.alpha, self.k, self.groups)
        return normalized

    def extra_repr(self) -> str:
        """The constants, for `print`."""
        return f"{self.size}, alpha={self.alpha}, k={self.k}, groups={self.groups}"


class _LocalResponseNorm(torch.autograd.Function):
    """y = x s^-3/4 with s = k + alpha * sums(x^2); dL/dx = g s^-3/4 - 3/2 alpha x sums(g x s^-7/4)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int, alpha: float, k: float, groups: int) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        root = _channel_sums(wide.square(), size, groups).mul_(alpha).add_(k).rsqrt_()
        ctx.save_for_backward(x, root)
        ctx.size, ctx.alpha, ctx.groups = size, alpha, groups
        return root.sqrt().mul_(root).mul_(wide).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, root = ctx.saved_tensors
        direct = root.sqrt().mul_(root).mul_(grad)
        through_sums = _channel_sums(root.square().mul_(direct).mul_(x), ctx.size, ctx.groups).mul_(x)
        return direct.sub_(through_sums, alpha=1.5 * ctx.alpha).to(x.dtype), None, None, None, None


def _channel_sums(x: Tensor, size: int, groups: int) -> Tensor:
    """Sums over `size` adjacent channels (odd), fewer at a group's ends: `[N, C, H, W]` to the same shape."""
    sums = x.clone()
    into, given = torch.unflatten(sums, 1, (groups, -1)), torch.unflatten(x, 1, (groups, -1))
    for shift in range(1, size // 2 + 1):
        into[:, :, shift:] += given[:, :, :-shift]
        into[:, :, :-shift] += given[:, :, shift:]
    return sums


class LocallyConnected2d(nn.Module):
    """A convolution of stride 1 with weights and biases of its own at each position, for one size of input.

    `[N, C, S, S]` to `[N, C', S', S']` with S = `side` and S' = S + 2 `padding` - `kernel_size` + 1. The weights are
    `[S' * S', C', C * kernel_size ** 2]`, a linear layer's for each position.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, side: int, padding: int = 0) -> None:
        super().__init__()
        self.in_channels, self.kernel_size, self.padding = in_channels, kernel_size, padding
        self.out_side = side + 2 * padding - kernel_size + 1
        positions = self.out_side**2
        self.weight = nn.Parameter(torch.empty(positions, out_channels, in_channels * kernel_size**2))
        self.bias = nn.Parameter(torch.empty(positions, 1, out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As `nn.Linear`'s: uniform within 1 / sqrt(fan in)."""
        bound = self.weight.shape[2] ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, S, S]` to `[N, C', S', S']`."""
        seen = F.unfold(x, self.kernel_size, padding=self.padding)  # N x C * kernel_size ** 2 x positions
        y = torch.bmm(seen.permute(2, 0, 1), self.weight.transpose(1, 2)) + self.bias  # positions x N x C'
        return torch.unflatten(y.permute(1, 2, 0), 2, (self.out_side, self.out_side))

    def extra_repr(self) -> str:
        """The sizes, for `print`."""
        channels = f"{self.in_channels}, {self.weight.shape[1]}"
        return f"{channels}, kernel_size={self.kernel_size}, out_side={self.out_side}, padding={self.padding}"


class GlobalAveragePool(nn.Module):
    """Average over the whole map; `dense` takes it over each crop's part of a larger one."""

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C]`."""
        return x.mean(dim=(2, 3))


class FixedSize(nn.Module):
    """Passes `[N, C, side, side]` on, for layers that know one size only, and refuses other sizes.

    A network that has it has no fully convolutional form (`dense`); with `FixedFlatten` it has.
    """

    def __init__(self, side: int, input_px: int) -> None:
        super().__init__()
        self.side, self.input_px = side, input_px

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, side, side]`, unchanged.

        Raises:
            ValueError: the images were of another size than the network was built for.
        """
        if x.shape[2:] != (self.side, self.side):
            raise ValueError(
                f"the network was built for images of {self.input_px} x {self.input_px} px, whose last feature map "
                f"has {self.side} x {self.side} pixels and not {x.shape[2]} x {x.shape[3]}; build it with input_px= "
                "the side of these images (crop_px: in params.yaml)"
            )
        return x

    def extra_repr(self) -> str:
        """The sizes, for `print`."""
        return f"{self.side}, input_px={self.input_px}"


class FixedFlatten(FixedSize):
    """`[N, C, side, side]` to `[N, C * side ** 2]`, for the linear layers that know one size only."""

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, side, side]` to `[N, C * side ** 2]`; refuses other sizes."""
        return super().forward(x).flatten(1)


def left_out(module: nn.Module) -> Tensor:
    """Zero, by way of every parameter of `module`: adding it gives each a gradient of zero.

    For a module that a step skips: optimizers and the wrapper that distributes training expect all gradients.
    """
    return torch.stack([parameter.sum() for parameter in module.parameters()]).sum() * 0.0


def check_input_px(title: str, input_px: int, smallest: int) -> None:
    """Refuses images of which the network's strides would leave nothing.

    Raises:
        ValueError: `input_px` is below `smallest`.
    """
    if input_px < smallest:
        raise ValueError(
            f"{title} takes images of {smallest} px or more, not {input_px}: its strides leave no full pixel of a "
            f"smaller one; set crop_px: {smallest} or more in params.yaml (training:)"
        )
