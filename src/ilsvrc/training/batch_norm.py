"""Batch norm over groups of images that are a recipe's choice, not the number of processes'.

A network's errors depend on how many images share statistics (Goyal et al. 2017, section 2.3). Groups are neighbours
in the global batch, so that the same images share them on any number of processes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from ilsvrc.config import choices
from ilsvrc.runtime.distributed import LONGEST_WAIT, World

Group = int | choices.BatchStatistics | None  # images that share statistics
BATCH: choices.BatchStatistics = "batch"


def group_statistics(network: nn.Module, group: Group, batch_size: int, world: World, accumulate: int = 1) -> None:
    """Groups the statistics of every batch norm: each `group` images of a batch of `batch_size` share them.

    "batch" is all of them, over any number of processes ("SyncBN"). None is one group for each process, or for each of
    its `accumulate` micro-batches. Parameters and buffers stay the same objects, under the same
    names.

    Raises:
        ValueError: groups do not fill the batch, or do not fit the processes' shares of it or their parts.
    """
    check_parts(accumulate, batch_size, world.size)
    norms = [(parent, name, child) for parent in network.modules() for name, child in parent.named_children()
             if isinstance(child, _BatchNorm)]  # fmt: skip
    if group is None or not norms:
        return
    check_groups(group, batch_size, world.size)
    check_parts(accumulate, batch_size, world.size, group)
    images = batch_size if group == BATCH else min(group, batch_size)
    processes = max(1, images * world.size // batch_size)
    process_group = _process_group(world, processes)
    num_groups = max(1, batch_size // world.size // accumulate // images)
    share = len(world.rows(batch_size)) / images
    for parent, name, norm in norms:
        setattr(parent, name, GroupedBatchNorm(norm, num_groups, share if processes > 1 else 1.0, process_group))


def check_groups(group: Group, batch_size: int, num_processes: int) -> None:
    """Refuses groups that would be cut: in the batch, or between processes that do not share it alone."""
    if group in (None, BATCH):
        return
    group = min(group, batch_size)
    if batch_size % group:
        raise ValueError(
            f"batch_size = {batch_size} is not a multiple of batch_norm_group = {group}; set one of them by training: "
            "{...} in params.yaml"
        )
    shard = batch_size // num_processes
    if batch_size % num_processes or (shard % group and group % shard):
        raise ValueError(
            f"batch_norm_group = {group} does not fit the {batch_size / num_processes:g} images that each of "
            f"{num_processes} processes takes of a batch; use a number of processes that divides {batch_size} into "
            "multiples or parts of it (profile: processes, gpu)"
        )


def check_parts(accumulate: int, batch_size: int, num_processes: int, group: int | choices.BatchStatistics = 1) -> None:
    """Refuses micro-batches that would be empty, or cut a group, which would change its statistics."""
    shard = batch_size // num_processes
    if not 1 <= accumulate <= shard:
        raise ValueError(
            f"accumulate = {accumulate} micro-batches cannot be made of the {shard} images that a process takes of a "
            f"batch; set it from 1 to {shard} (profile: accumulate)"
        )
    if accumulate > 1 and group == BATCH:
        raise ValueError(
            f"batch_norm_group: batch wants all {batch_size} images at once, which accumulate = {accumulate} passes in "
            "micro-batches; set accumulate: 1 (profile), or a number of images by training: {batch_norm_group: ...} in "
            "params.yaml"
        )
    if accumulate > 1 and group != BATCH and group > 1 and shard % (accumulate * group):
        raise ValueError(
            f"accumulate = {accumulate} would cut groups of batch_norm_group = {group} images, which share statistics; "
            f"a process takes {shard} of a batch: set accumulate lower (profile), or batch_norm_group by training: "
            "{...} in params.yaml"
        )


class GroupedBatchNorm(_BatchNorm):
    """Batch norm of `norm`, whose statistics are those of a group of images.

    A process's shard of the batch has `num_groups` groups, or a `share` of one, which it shares with `process_group`.
    A step moves the running averages once, to the mean of its groups' statistics. Evaluation is batch norm's. Children
    of `norm` are what a library fused behind it, such as timm's activations.
    """

    def __init__(self, norm: _BatchNorm, num_groups: int = 1, share: float = 1.0, process_group: Any = None) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, affine=norm.affine, device="meta")
        assert type(norm).forward is _BatchNorm.forward or {*norm._modules} == {"drop", "act"}, type(norm)
        self._parameters, self._buffers, self._modules = norm._parameters, norm._buffers, norm._modules
        self.training = norm.training
        self.num_groups, self.share, self.process_group = num_groups, share, process_group

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, ...]` to the same shape; N is this process's part of the batch, or rows of it, image by image."""
        x = self._normalized(x)
        for child in self.children():
            x = child(x)
        return x

    def _normalized(self, x: Tensor) -> Tensor:
        if self.training and self.share < 1:
            return self._over_processes(x)
        if self.training and self.num_groups > 1:
            return self._over_groups(x)
        return super().forward(x)

    def _over_groups(self, x: Tensor) -> Tensor:
        means, variances, parts = [], [], []
        for part in torch.chunk(x, self.num_groups):
            mean, variance = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)  # type: ignore[arg-type]
            parts.append(F.batch_norm(part, mean, variance, self.weight, self.bias, True, 1.0, self.eps))
            means.append(mean)
            variances.append(variance)
        self._remember(torch.stack(means).mean(dim=0), torch.stack(variances).mean(dim=0))
        return torch.cat(parts)

    def _over_processes(self, x: Tensor) -> Tensor:
        assert self.running_mean is not None
        wide, others = x.to(self.running_mean.dtype), [dim for dim in range(x.dim()) if dim != 1]
        mean = self._mean_over_processes(wide.mean(dim=others))
        centred = wide - _per_channel(mean, x)
        variance = self._mean_over_processes(centred.square().mean(dim=others))
        count = round(x.numel() / x.shape[1] / self.share)
        self._remember(mean.detach(), variance.detach() * (count / (count - 1)))
        normalized = centred * _per_channel((variance + self.eps).rsqrt(), x)
        if self.affine:
            normalized = normalized * _per_channel(self.weight, x) + _per_channel(self.bias, x)
        return normalized.to(x.dtype)

    def _check_input_dim(self, input: Tensor) -> None:
        """Accepts images and rows alike."""

    @torch.compiler.disable(reason="statistics go between processes")  # type: ignore[no-untyped-call,untyped-decorator]
    def _mean_over_processes(self, values: Tensor) -> Tensor:
        """Mean over processes, weighted by their shares of the group, so that every image counts alike."""
        summed: Tensor = _Sum.apply(values * self.share, self.process_group)
        return summed

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        momentum = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum  # type: ignore[union-attr]
        self.running_mean.lerp_(mean, momentum)  # type: ignore[union-attr]
        self.running_var.lerp_(variance, momentum)  # type: ignore[union-attr]


def _per_channel(values: Tensor, x: Tensor) -> Tensor:
    """`[C]` as `[C, 1, ...]`, to go with `x` `[N, C, ...]`."""
    return values.reshape(-1, *[1] * (x.dim() - 2))


class _Sum(torch.autograd.Function):
    """Sum over processes, whose gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, process_group: Any) -> Tensor:
        ctx.process_group = process_group
        summed = values.clone()
        dist.all_reduce(summed, group=process_group)
        return summed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        summed = grad.clone()
        dist.all_reduce(summed, group=ctx.process_group)
        return summed, None


@torch.no_grad()
def recompute(
    network: nn.Module,
    forward: Callable[[Any], Any],
    batches: Iterable[Any],
    num_images: int,
    batch_size: int,
    world: World,
    frozen: Sequence[nn.Module] = (),
) -> None:
    """Recomputes running statistics as plain averages over `num_images`, of whole batches, or over all that come.

    Means and unbiased variances are averaged over the groups of images with which batch norms normalise meanwhile
    (Ioffe and Szegedy 2015, algorithm 2; the models that He et al. 2015 released have averages over many training
    images, no moving ones). All else is as in testing and no weight moves: what dropout and drop-path do to
    activations in training is not what testing sees (FractalNet's joins would be of fewer columns).

    Args:
        network: with `group_statistics` as in training, so that any number of processes gives the same.
        forward: passes a batch through `network`. A batch norm that it does not reach, such as an auxiliary head's,
            keeps its statistics.
        batches: this process's parts of them, of equal sizes.
        num_images: of all processes together.
        batch_size: of all processes together.
        world: the processes.
        frozen: modules whose statistics stay.
    """
    spared = {module for part in frozen for module in part.modules()}
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    with _collecting(network, [norm for norm in norms if norm not in spared]):
        for batch in islice(batches, -(-num_images // batch_size)):
            forward(batch)
    world.average_buffers(network)


@contextmanager
def _collecting(network: nn.Module, norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Context in which `norms` average what they see, from nothing, and all else is as in testing."""
    modes = {module: module.training for module in network.modules()}
    before = [(norm, norm.momentum, [own.clone() for own in norm.buffers(recurse=False)]) for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.training, norm.momentum = True, None
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for norm, momentum, kept in before:
            norm.momentum = momentum
            if not norm.num_batches_tracked:
                for own, old in zip(norm.buffers(recurse=False), kept, strict=True):
                    own.copy_(old)


def _process_group(world: World, count: int) -> Any:
    """The communicator of the `count` processes beside each other that this one is among; made in every process."""
    if count == 1:
        return None
    starts = range(0, world.size, count)
    groups = [dist.new_group(list(range(start, start + count)), timeout=LONGEST_WAIT) for start in starts]
    return groups[world.rank // count]
