"""A few steps on packed digits by as many processes as were started; the main one writes what came out.

Arguments: packed file, batch size, float32 or float64, steps, file to write.
"""

import sys
from itertools import chain
from pathlib import Path

import numpy as np
import tiny
import torch
from torch import Tensor, nn

from ilsvrc.loading import batches
from ilsvrc.models.common.layers import Classifier
from ilsvrc.models.common.normalization import Normalization
from ilsvrc.runtime import distributed
from ilsvrc.runtime.precision import autocast, weights_dtype
from ilsvrc.training import batch_norm, dropout, loop
from ilsvrc.training.augmentation import Augmentation
from ilsvrc.training.loss import Objective
from ilsvrc.training.mixup_cutmix import Mixing
from ilsvrc.training.optimizer import make_optimizer
from ilsvrc.training.schedule import Schedule
from ilsvrc.training.state import Progress, Training

GROUP = 4  # images that share statistics, and are mixed among each other


class Small(Classifier):
    """Two convolutions, dropout, batch norm where groups of images fill a share, a linear layer, an auxiliary head."""

    def __init__(self, with_norm: bool) -> None:
        super().__init__()
        norm = nn.BatchNorm2d(8) if with_norm else nn.Identity()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 5, 2), norm, nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(8, 8, 3, 2), nn.ReLU()
        )
        self.head, self.auxiliary = nn.Linear(8, 10), nn.Linear(8, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).mean((2, 3)))

    def outputs(self, images: Tensor) -> list[tuple[float, Tensor]]:
        features = self.features(images).mean((2, 3))
        return [(1.0, self.head(features)), (0.3, self.auxiliary(features))]


def train(beton: Path, batch_size: int, precision: str, steps: int) -> dict[str, object]:
    """Steps with all that a recipe can ask for: weights, history and each step's images of this process.

    Pictures grow after two epochs of 6 steps.
    """
    torch.manual_seed(0)
    grouped = batch_size % (2 * GROUP) == 0
    network = Small(grouped).to(weights_dtype(precision))
    with distributed.process_group(gpus=0) as world:
        share = {"rank": world.rank, "world_size": world.size}
        opened = batches.open_training(
            "pillow",
            beton,
            crop="patch",
            crop_px=32,
            flip=True,
            batch_size=batch_size,
            seed=0,
            crop_px_in=lambda epoch: 24 if epoch < 2 else 32,
            **share,
        )
        watched = batches.open_testing("pillow", beton, views=tiny.center(32), batch_size=8, **share)
        if grouped:
            batch_norm.group_statistics(network, GROUP, batch_size, world)
        dropout.draw_for_whole_batch(network)
        mixing = Mixing(mixup=0.4, cutmix=1.0, group=GROUP)
        augmentation = Augmentation(
            [40.0] * 3, [60.0] * 3, [900.0, 90.0, 9.0], np.eye(3).tolist(), lighting=0.1, contrast=0.4, erasing=0.3
        )
        epochs = -(-steps // len(opened))
        training = Training(
            network=network,
            objective=Objective(network, Normalization([40.0] * 3, [60.0] * 3).to(weights_dtype(precision)), 0.1),
            optimizer=make_optimizer(network, "sgd", momentum=0.9, weight_decay=1e-3, decay="weights"),
            schedule=Schedule("cosine", 0.05, epochs * len(opened), len(opened), warmup_steps=len(opened) // 2),
            batch_size=batch_size,
            seed=0,
            world=world,
            autocast=autocast(precision, world.device),
            clip_norm=1.0,
            augment=lambda batch, seed, epoch: augmentation(batch.images, seed, epoch, batch.indices),
            mixup=(lambda images, labels, *when: mixing(images, labels, 10, 0, *when)) if grouped else None,
        )
        progress, seen = Progress(), tiny.Watched(opened)
        loop.train(training, seen, lambda: watched, progress, tiny.Listener())
        gathered, plain = world.all_gather(seen.indices), world.all_gather([world.rank, "é" * (world.rank + 1)])
        opened.close(), watched.close()
    images = [sorted(chain.from_iterable(parts)) for parts in zip(*gathered, strict=True)]
    return {
        "weights": network.state_dict(),
        "history": progress.history,
        "images": images,
        "shares": gathered,
        "gathered": plain,
    }


if __name__ == "__main__":
    beton, batch_size, precision, steps, out = sys.argv[1:]
    found = train(Path(beton), int(batch_size), precision, int(steps))
    if distributed.os.environ["RANK"] == "0":
        torch.save(found, out)
