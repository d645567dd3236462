"""Who shares statistics with whom."""

import sys
from pathlib import Path

import pytest
import torch
from several_processes import run_script
from timm.layers import BatchNormAct2d
from torch import nn

from ilsvrc.config import registry
from ilsvrc.runtime.distributed import World, process_group
from ilsvrc.training.batch_norm import GroupedBatchNorm, check_groups, check_parts, group_statistics, recompute

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
    share = list(world.rows(IMAGES))
    seen = images()[share]
    outputs = made(seen)
    (outputs * torch.arange(IMAGES, dtype=torch.float64)[share][:, None, None, None]).sin().sum().backward()
    gradients = [world.sum(parameter.grad) for parameter in made.parameters()]
    world.average_buffers(made)
    whole = torch.zeros(IMAGES, *outputs.shape[1:], dtype=outputs.dtype)
    whole[share] = outputs.detach()
    return [world.sum(whole), *gradients, made[1].running_mean, made[1].running_var]


def test_each_group_is_normalised_by_itself():
    norm = GroupedBatchNorm(nn.BatchNorm2d(3).double(), num_groups=IMAGES // GROUP)
    parts = norm(images()).split(GROUP)
    for part in parts:
        torch.testing.assert_close(part.mean(dim=(0, 2, 3)), torch.zeros(3, dtype=torch.float64))
        assert part.var(dim=(0, 2, 3), unbiased=False).tolist() == pytest.approx([1, 1, 1], abs=1e-4)


def test_running_averages_move_once_a_step_to_the_mean_of_the_groups():
    norm = GroupedBatchNorm(nn.BatchNorm2d(3).double(), num_groups=IMAGES // GROUP)
    norm(images())
    first, second = images().split(GROUP)
    variance = (first.var(dim=(0, 2, 3)) + second.var(dim=(0, 2, 3))) / 2
    torch.testing.assert_close(norm.running_mean, 0.1 * images().mean(dim=(0, 2, 3)))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * variance)
    assert norm.num_batches_tracked == 1


def test_without_a_momentum_running_statistics_are_the_plain_average_of_the_steps():
    norm = GroupedBatchNorm(nn.BatchNorm2d(3, momentum=None).double(), num_groups=IMAGES // GROUP)
    norm(images())
    norm(images() + 2)
    torch.testing.assert_close(norm.running_mean, images().mean(dim=(0, 2, 3)) + 1)


def test_rows_of_an_image_stay_in_its_group():
    rows = images().flatten(2).transpose(1, 2)  # 25 for each image
    by_rows = GroupedBatchNorm(nn.BatchNorm1d(3).double(), num_groups=IMAGES // GROUP)(rows.flatten(0, 1))
    by_pictures = GroupedBatchNorm(nn.BatchNorm2d(3).double(), num_groups=IMAGES // GROUP)(images())
    torch.testing.assert_close(by_rows.unflatten(0, (IMAGES, 25)).transpose(1, 2), by_pictures.flatten(2))


def test_what_a_library_fused_behind_the_norm_stays_behind_it():
    fused = BatchNormAct2d(3, act_layer=nn.ReLU).double()
    plain = GroupedBatchNorm(nn.BatchNorm2d(3).double(), num_groups=IMAGES // GROUP)
    assert torch.equal(GroupedBatchNorm(fused, num_groups=IMAGES // GROUP)(images()), plain(images()).relu())


def test_a_norm_without_scale_and_shift_is_grouped_too():
    bare = GroupedBatchNorm(nn.BatchNorm2d(3, affine=False).double(), num_groups=IMAGES // GROUP)
    affine = GroupedBatchNorm(nn.BatchNorm2d(3).double(), num_groups=IMAGES // GROUP)
    assert torch.equal(bare(images()), affine(images()))


@pytest.mark.parametrize("name", ["inception_v4", "sknet50", "ghostnet_0_5x", "levit_128s", "fractalnet5_thin_cifar"])
def test_every_batch_norm_of_every_family_is_grouped(name):
    with torch.device("meta"):
        made = registry.architecture(name)()
    before = sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in made.modules())
    group_statistics(made, GROUP, IMAGES, World())
    assert before == sum(isinstance(m, GroupedBatchNorm) for m in made.modules()) > 0


@pytest.mark.parametrize("group", [IMAGES, "batch"])
def test_one_group_is_plain_batch_norm(group):
    grouped, plain = trained_once(group, World()), trained_once(None, World())
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
    assert made[1].num_groups == 1


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


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_statistics_of_the_whole_batch_fit_any_number_of_processes(processes):
    check_groups("batch", 8, processes)
    check_parts(1, 8, processes, "batch")


def test_statistics_of_the_whole_batch_want_it_at_once():
    with pytest.raises(ValueError, match="batch_norm_group: batch wants all 8 images at once, which accumulate = 2"):
        group_statistics(network(), "batch", IMAGES, World(), accumulate=2)


class Deep(nn.Module):
    """Two batch norms with dropout between them, and one that testing does not reach."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.dropout, self.second = nn.BatchNorm2d(3), nn.Dropout(0.5), nn.BatchNorm2d(3)
        self.auxiliary = nn.BatchNorm2d(3)
        for norm in (self.first, self.second, self.auxiliary):
            nn.init.constant_(norm.weight, 2.0)
            norm.running_mean.fill_(7.0)
            norm.num_batches_tracked.fill_(5)
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.dropout(self.first(x)) ** 2)


def recomputed(group: int | None, world: World, num_images: int = 2 * IMAGES, **choices) -> Deep:
    made = Deep()
    group_statistics(made, group, IMAGES, world)
    share = list(world.rows(IMAGES))
    batches = [(images() * factor)[share] for factor in (1, 2, 3)]
    recompute(made, made, batches, num_images, IMAGES, world, **choices)
    return made


def test_recomputed_statistics_are_plain_averages_over_groups():
    parts = [part for factor in (1, 2) for part in (images() * factor).split(GROUP)]
    squares = [(2 * (p - p.mean((0, 2, 3), True)) / (p.var((0, 2, 3), False, True) + 1e-5).sqrt()) ** 2 for p in parts]
    made = recomputed(GROUP, World())
    for norm, seen in ((made.first, parts), (made.second, squares)):
        torch.testing.assert_close(norm.running_mean, sum(part.mean((0, 2, 3)) for part in seen) / 4)
        torch.testing.assert_close(norm.running_var, sum(part.var((0, 2, 3)) for part in seen) / 4)


def test_recomputing_takes_whole_batches_until_the_images_are_enough():
    for num_images, expected in ((1, 1), (IMAGES, 1), (IMAGES + 1, 2), (99, 3)):
        assert recomputed(None, World(), num_images).first.num_batches_tracked == expected


def test_recomputing_leaves_weights_modes_and_momentum_as_they_were():
    made = recomputed(GROUP, World())
    assert all(norm.momentum == 0.1 and (norm.weight == 2).all() for norm in (made.first, made.second))
    assert all(module.training for module in made.modules())


def test_what_is_frozen_or_not_reached_keeps_its_statistics():
    made = recomputed(GROUP, World())
    assert (made.auxiliary.running_mean == 7).all() and made.auxiliary.num_batches_tracked == 5
    part = Deep()
    recompute(part, part, [images()], IMAGES, IMAGES, World(), frozen=[part.first])
    assert (part.first.running_mean == 7).all() and (part.second.running_mean != 7).all()


def test_recomputing_draws_nothing():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    recomputed(GROUP, World())
    assert torch.equal(torch.get_rng_state(), before)


def test_fractalnets_statistics_are_those_of_all_its_columns():
    torch.manual_seed(0)
    made = registry.architecture("fractalnet5_thin_cifar")()
    seen = torch.randn(16, 3, 32, 32)
    recompute(made, made, [seen], 16, 16, World())
    made.eval()
    for module in made.modules():
        module.training = isinstance(module, nn.BatchNorm2d)
    with torch.no_grad():
        by_batch = made(seen)
        by_running = made.eval()(seen)
    torch.testing.assert_close(by_running, by_batch, rtol=0.05, atol=0.05)


MANY = [(2, 2), (IMAGES, 2), ("batch", 2), ("batch", 3)]  # group, processes; of three, one has 2 of the 8 images


@pytest.fixture(scope="module", params=[2, 3])
def many(request, tmp_path_factory) -> tuple[int, dict[str, list[torch.Tensor]]]:
    """Number of processes, and by group what so many processes come to."""
    out = tmp_path_factory.mktemp("many") / "found.pt"
    groups = [str(group) for group, processes in MANY if processes == request.param]
    run_script(__file__, str(out), *groups, processes=request.param, folder=out.parent)
    return request.param, torch.load(out)


def test_many_processes_give_what_one_gives(many):
    processes, found = many
    assert found.keys() == {str(group) for group, number in MANY if number == processes}
    for group in (group for group, number in MANY if number == processes):
        for one, other in zip(trained_in(World(), group), found[str(group)], strict=True):
            torch.testing.assert_close(other, one, rtol=1e-10, atol=1e-10)


def trained_in(world: World, group: int | str) -> list[torch.Tensor]:
    return [*trained_once(group, world), *recomputed(group, world).state_dict().values()]


if __name__ == "__main__":
    with process_group(gpus=0) as world:
        found = {word: trained_in(world, word if word == "batch" else int(word)) for word in sys.argv[2:]}
        if world.is_main:
            torch.save(found, Path(sys.argv[1]))
