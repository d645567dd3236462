"""Three processes, started anew before a step: their gradients are those of an uninterrupted training, bit for bit."""

import sys

import pytest
import torch
import torch.nn.functional as F
from several_processes import run_script
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ilsvrc.runtime import distributed
from ilsvrc.runtime.batch_rng import draw_for_batch, seed_batch_rng


class Loss(nn.Module):
    """Two convolutions with batch norm and dropout, and a draw for the batch; the loss of ten classes."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.Dropout(0.5)
        )
        self.head = nn.Linear(8, 10)

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.head(self.features(images).mean((2, 3))) * (1 + draw_for_batch())
        return F.cross_entropy(logits, labels), logits


def passes(world: distributed.World, plain: bool) -> list[dict[str, Tensor]]:
    """Gradients and buffers after each of three passes, whose draws are the same."""
    torch.manual_seed(0)
    loss = Loss()
    wrapped = DistributedDataParallel(loss, forward_sync_buffers=False) if plain else world.wrap(loss)
    noise = torch.Generator().manual_seed(world.rank)
    images, labels = torch.randn(4, 3, 9, 9, generator=noise), torch.arange(4)
    found = []
    for _ in range(3):
        loss.zero_grad()
        torch.manual_seed(1), seed_batch_rng(1)
        wrapped(images, labels)[0].backward()
        kept = {f"gradient of {name}": p.grad.clone() for name, p in loss.named_parameters()}
        found.append(kept | {name: b.clone() for name, b in loss.named_buffers()})
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, list[dict[str, Tensor]]]:
    out = tmp_path_factory.mktemp("replicas") / "found.pt"
    run_script(__file__, str(out), processes=3, folder=out.parent)
    return torch.load(out)


def gradients(kept: dict[str, Tensor]) -> list[Tensor]:
    return [value for name, value in kept.items() if name.startswith("gradient")]


def test_the_first_pass_after_a_start_rounds_as_all_do(found):
    first, second, third = map(gradients, found["ours"])
    assert all(map(torch.equal, first, second)) and all(map(torch.equal, second, third))


def test_torchs_own_wrapper_rounds_its_first_pass_otherwise(found):
    first, second, _ = map(gradients, found["plain"])
    assert not all(map(torch.equal, first, second))


def test_the_pass_that_counts_for_nothing_leaves_buffers_alone(found):
    assert found["ours"][0]["features.1.num_batches_tracked"] == 1
    assert torch.equal(found["ours"][0]["features.1.running_mean"], found["plain"][0]["features.1.running_mean"])


def test_it_leaves_what_is_drawn_alone(found):
    first, other = found["ours"][0], found["plain"][0]
    for name, expected in other.items():
        torch.testing.assert_close(first[name], expected)


if __name__ == "__main__":
    with distributed.process_group(gpus=0) as world:
        both = {"ours": passes(world, plain=False), "plain": passes(world, plain=True)}
        if world.is_main:
            torch.save(both, sys.argv[1])
