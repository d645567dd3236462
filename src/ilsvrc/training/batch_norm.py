"""Batch norm over groups of images that are a recipe's choice, not the number of processes'.

A network's errors depend on how many images share statistics (Goyal et al. 2017, section 2.3). Groups are neighbours
in the global batch, so that the same images share them on any number of processes.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ilsvrc.training.distributed import World


def group_statistics(network: nn.Module, group: int | None, batch_size: int, world: World) -> None:
    """Lets each `group` images of a batch of `batch_size` share statistics, in every 2-D batch norm of `network`.

    None is one group for each process. Parameters and buffers stay the same objects, under the same names.

    Raises:
        ValueError: groups do not fill the batch, or do not fit the processes' shares of it.
    """
    norms = [(parent, name, child) for parent in network.modules() for name, child in parent.named_children()
             if type(child) is nn.BatchNorm2d]  # fmt: skip
    if group is None or not norms:
        return
    group = min(group, batch_size)
    check_groups(group, batch_size, world.size)
    processes = max(1, group * world.size // batch_size)
    together = _neighbours(world, processes)
    for parent, name, norm in norms:
        setattr(parent, name, GroupedBatchNorm2d(norm, group, processes, together))


def check_groups(group: int, batch_size: int, num_processes: int) -> None:
    """Stops where a group would be cut: in the batch, or between processes that do not share it alone."""
    if batch_size % group:
        raise ValueError(
            f"batch_size = {batch_size} is not a multiple of batch_norm_group = {group}; set one of them by training: "
            "{...} in params.yaml"
        )
    share = batch_size // num_processes
    if batch_size % num_processes or (share % group and group % share):
        raise ValueError(
            f"batch_norm_group = {group} does not fit the {batch_size / num_processes:g} images that each of "
            f"{num_processes} processes takes of a batch; use a number of processes that divides {batch_size} into "
            "multiples or parts of it (profile: processes, gpu)"
        )


class GroupedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm of `norm`, whose statistics are those of `group` images, on `num_processes` where it is above 1.

    A step moves the running averages once, to the mean of its groups' statistics. Evaluation is batch norm's.
    """

    def __init__(self, norm: nn.BatchNorm2d, group: int, num_processes: int = 1, together: Any = None) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, device="meta")
        self._parameters, self._buffers = norm._parameters, norm._buffers
        self.training = norm.training
        self.group, self.num_processes, self.together = group, num_processes, together

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to the same shape; N is this process's part of the batch."""
        if not self.training or (self.num_processes == 1 and len(x) == self.group):
            return super().forward(x)
        if self.num_processes > 1:
            return self._over_processes(x)
        return self._over_parts(x)

    def _over_parts(self, x: Tensor) -> Tensor:
        means, variances, parts = [], [], []
        for part in torch.split(x, self.group):
            mean, variance = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)  # type: ignore[arg-type]
            parts.append(F.batch_norm(part, mean, variance, self.weight, self.bias, True, 1.0, self.eps))
            means.append(mean)
            variances.append(variance)
        self._remember(torch.stack(means).mean(dim=0), torch.stack(variances).mean(dim=0))
        return torch.cat(parts)

    def _over_processes(self, x: Tensor) -> Tensor:
        wide = x.to(self.weight.dtype)
        mean = self._mean_over_processes(wide.mean(dim=(0, 2, 3)))
        centred = wide - mean[:, None, None]
        variance = self._mean_over_processes(centred.square().mean(dim=(0, 2, 3)))
        count = self.group * x.shape[2] * x.shape[3]
        self._remember(mean.detach(), variance.detach() * (count / (count - 1)))
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    def _mean_over_processes(self, values: Tensor) -> Tensor:
        summed: Tensor = _Sum.apply(values, self.together)
        return summed / self.num_processes

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        momentum = 0.1 if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)  # type: ignore[union-attr]
        self.running_var.lerp_(variance, momentum)  # type: ignore[union-attr]
        self.num_batches_tracked.add_(1)  # type: ignore[union-attr]


class _Sum(torch.autograd.Function):
    """The sum over processes, whose gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, together: Any) -> Tensor:
        ctx.together = together
        summed = values.clone()
        dist.all_reduce(summed, group=together)
        return summed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        summed = grad.clone()
        dist.all_reduce(summed, group=ctx.together)
        return summed, None


def _neighbours(world: World, count: int) -> Any:
    """The communicator of the `count` processes beside each other that this one is among; made in every process."""
    if count == 1:
        return None
    starts = range(0, world.size, count)
    groups = [dist.new_group(list(range(start, start + count))) for start in starts]
    return groups[world.rank // count]
