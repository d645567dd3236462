"""Who shares statistics with whom."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from ilsvrc import plugins
from ilsvrc.training.batch_norm import GroupedBatchNorm, check_groups, group_statistics
from ilsvrc.training.distributed import World, joined

IMAGES, GROUP = 8, 4


def images() -> torch.Tensor:
    drawn = torch.randn(IMAGES, 3, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return drawn * 3 + torch.arange(IMAGES)[:, None, None, None]


def network() -> nn.Sequential:
    made = nn.Sequential(nn.Conv2d(3, 4, 1, dtype=torch.float64), nn.BatchNorm2d(4, dtype=torch.float64))
    for parameter in made.parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    return made


def trained_once(group: int | None, world: World) -> list[torch.Tensor]:
    """What a forward and a backward pass give this process's images, and every parameter and statistic."""
    made = network()
    group_statistics(made, group, IMAGES, world)
    share = slice(world.rank * IMAGES // world.size, (world.rank + 1) * IMAGES // world.size)
    seen = images()[share]
    outputs = made(seen)
    (outputs * torch.arange(IMAGES, dtype=torch.float64)[share, None, None, None]).sin().sum().backward()
    gradients = [world.sum(parameter.grad) for parameter in made.parameters()]
    world.average_buffers(made)
    whole = torch.zeros(IMAGES, *outputs.shape[1:], dtype=outputs.dtype)
    whole[share] = outputs.detach()
    return [world.sum(whole), *gradients, made[1].running_mean, made[1].running_var]


def test_each_group_is_normalised_by_itself():
    norm = GroupedBatchNorm(nn.BatchNorm2d(3).double(), parts=IMAGES // GROUP)
    parts = norm(images()).split(GROUP)
    for part in parts:
        torch.testing.assert_close(part.mean(dim=(0, 2, 3)), torch.zeros(3, dtype=torch.float64))
        assert part.var(dim=(0, 2, 3), unbiased=False).tolist() == pytest.approx([1, 1, 1], abs=1e-4)


def test_running_averages_move_once_a_step_to_the_mean_of_the_groups():
    norm = GroupedBatchNorm(nn.BatchNorm2d(3).double(), parts=IMAGES // GROUP)
    norm(images())
    first, second = images().split(GROUP)
    variance = (first.var(dim=(0, 2, 3)) + second.var(dim=(0, 2, 3))) / 2
    torch.testing.assert_close(norm.running_mean, 0.1 * images().mean(dim=(0, 2, 3)))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * variance)
    assert norm.num_batches_tracked == 1


def test_without_a_momentum_running_statistics_are_the_plain_average_of_the_steps():
    norm = GroupedBatchNorm(nn.BatchNorm2d(3, momentum=None).double(), parts=IMAGES // GROUP)
    norm(images())
    norm(images() + 2)
    torch.testing.assert_close(norm.running_mean, images().mean(dim=(0, 2, 3)) + 1)


def test_rows_of_an_image_stay_in_its_group():
    rows = images().flatten(2).transpose(1, 2)  # 25 for each image
    by_rows = GroupedBatchNorm(nn.BatchNorm1d(3).double(), parts=IMAGES // GROUP)(rows.flatten(0, 1))
    by_pictures = GroupedBatchNorm(nn.BatchNorm2d(3).double(), parts=IMAGES // GROUP)(images())
    torch.testing.assert_close(by_rows.unflatten(0, (IMAGES, 25)).transpose(1, 2), by_pictures.flatten(2))


def test_what_a_library_fused_behind_the_norm_stays_behind_it():
    fused = BatchNormAct2d(3, act_layer=nn.ReLU).double()
    plain = GroupedBatchNorm(nn.BatchNorm2d(3).double(), parts=IMAGES // GROUP)
    assert torch.equal(GroupedBatchNorm(fused, parts=IMAGES // GROUP)(images()), plain(images()).relu())


def test_a_norm_without_scale_and_shift_is_grouped_too():
    bare = GroupedBatchNorm(nn.BatchNorm2d(3, affine=False).double(), parts=IMAGES // GROUP)
    affine = GroupedBatchNorm(nn.BatchNorm2d(3).double(), parts=IMAGES // GROUP)
    assert torch.equal(bare(images()), affine(images()))


@pytest.mark.parametrize("name", ["inception_v4", "sknet50", "ghostnet_0_5x", "levit_128s", "fractalnet5_thin_cifar"])
def test_every_batch_norm_of_every_family_is_grouped(name):
    with torch.device("meta"):
        made = plugins.architecture(name)()
    before = sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in made.modules())
    group_statistics(made, GROUP, IMAGES, World())
    assert before == sum(isinstance(m, GroupedBatchNorm) for m in made.modules()) > 0


def test_one_group_is_plain_batch_norm():
    grouped, plain = trained_once(IMAGES, World()), trained_once(None, World())
    assert all(torch.equal(one, other) for one, other in zip(grouped, plain, strict=True))


def test_evaluation_and_names_are_batch_norms():
    plain, grouped = network().eval(), network().eval()
    group_statistics(grouped, GROUP, IMAGES, World())
    assert grouped.state_dict().keys() == plain.state_dict().keys()
    assert torch.equal(grouped(images()), plain(images()))


def test_parameters_stay_those_that_the_optimizer_holds():
    made = network()
    before = list(map(id, made.parameters()))
    group_statistics(made, GROUP, IMAGES, World())
    assert list(map(id, made.parameters())) == before


def test_a_group_larger_than_the_batch_is_the_batch():
    made = network()
    group_statistics(made, 32, IMAGES, World())
    assert made[1].parts == 1


@pytest.mark.parametrize(("group", "batch", "processes"), [(32, 128, 1), (32, 128, 4), (32, 128, 8), (64, 64, 2)])
def test_groups_may_share_a_process_or_processes_a_group(group, batch, processes):
    check_groups(group, batch, processes)


@pytest.mark.parametrize(
    ("group", "batch", "processes", "said"),
    [
        (32, 48, 1, "batch_size = 48 is not a multiple of batch_norm_group = 32"),
        (32, 96, 2, "batch_norm_group = 32 does not fit the 48 images that each of 2 processes takes"),
        (32, 128, 3, "batch_norm_group = 32 does not fit"),
    ],
)
def test_a_group_that_would_be_cut_is_refused(group, batch, processes, said):
    with pytest.raises(ValueError, match=said):
        check_groups(group, batch, processes)


@pytest.mark.parametrize("group", [2, IMAGES])
def test_two_processes_give_what_one_gives(group, tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*torchrun, __file__, str(group), str(tmp_path / "two.pt")], check=True, timeout=120)
    for one, two in zip(trained_once(group, World()), torch.load(tmp_path / "two.pt"), strict=True):
        torch.testing.assert_close(two, one, rtol=1e-10, atol=1e-10)


if __name__ == "__main__":
    with joined(gpus=0) as world:
        found = trained_once(int(sys.argv[1]), world)
        if world.is_main:
            torch.save(found, Path(sys.argv[2]))
