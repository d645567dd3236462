"""A training of milliseconds: one linear layer with dropout, three classes, four steps an epoch."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ilsvrc.loading.views import View, square_px
from ilsvrc.models.common.layers import Classifier
from ilsvrc.models.common.normalization import Normalization
from ilsvrc.runtime.distributed import World
from ilsvrc.runtime.precision import autocast
from ilsvrc.training.loss import Objective
from ilsvrc.training.optimizer import make_optimizer
from ilsvrc.training.schedule import Schedule
from ilsvrc.training.state import Progress, Training

BATCH, STEPS, CLASSES = 4, 4, 3


class Batch(NamedTuple):
    images: Tensor
    labels: Tensor
    indices: Tensor = torch.arange(BATCH)


class Linear(Classifier):
    """Dropout, linear, batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.linear = nn.Linear(12, CLASSES)
        self.norm = nn.BatchNorm1d(CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.linear(self.dropout(images.flatten(1))))


class Batches:
    """Noise that is a function of (epoch, step)."""

    def __len__(self) -> int:
        return STEPS

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        for step in range(start_step, STEPS):
            yield batch(epoch * STEPS + step)


def batch(number: int) -> Batch:
    noise = torch.Generator().manual_seed(number)
    images = torch.randint(256, (BATCH, 2, 2, 3), dtype=torch.uint8, generator=noise)
    return Batch(images, torch.arange(BATCH) % CLASSES)


def validation() -> list[Batch]:
    images, labels, _ = batch(1000)
    return [Batch(images[:, None], labels)]


def training(
    epochs: int = 3, rate: float = 0.1, world: World | None = None, total_steps: int | None = None, **changes: Any
) -> Training:
    torch.manual_seed(0)
    network = Linear()
    return Training(
        network=network,
        objective=Objective(network, Normalization([128.0] * 3, [64.0] * 3)),
        optimizer=make_optimizer(network, "sgd", momentum=0.9, weight_decay=0.0, decay="all"),
        schedule=Schedule("cosine", rate, total_steps or epochs * STEPS, STEPS),
        batch_size=BATCH,
        seed=0,
        world=world or World(),
        autocast=autocast("float32", torch.device("cpu")),
        **changes,
    )


class Listener:
    """Keeps what it hears; `stops` at a save."""

    def __init__(self, on_save: Any = lambda progress: None) -> None:
        self.steps, self.epochs, self.on_save = 0, [], on_save

    def stepped(self, num_images: int) -> None:
        self.steps += num_images // BATCH

    def should_stop(self) -> bool:
        return False

    def save(self, progress: Progress) -> None:
        self.on_save(progress)

    def epoch_ended(self, row: dict[str, Any]) -> None:
        self.epochs.append(row["epoch"])


class Watched:
    """Batches, and which images each step of this process had."""

    def __init__(self, batches: Any) -> None:
        self.batches, self.indices = batches, []

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Any]:
        for batch in self.batches.epoch(epoch, start_step):
            self.indices.append(batch.indices.tolist())
            yield batch


def center(crop_px: int) -> list[View]:
    return [View(square_px(crop_px), crop_px)]
