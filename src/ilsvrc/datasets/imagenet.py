"""ImageNet: the classification data of ILSVRC-2012, from the archives that the user brings, never extracted.

Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge (2015). Classes are WordNet's numbers; sorted,
they are in the order that every framework uses. The test split is the 50,000 validation images.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ilsvrc.datasets import _ilsvrc2012
from ilsvrc.datasets._card import Card, Sample

CARD = Card(
    title="ImageNet (ILSVRC-2012)",
    licence=_ilsvrc2012.LICENCE,
    address=_ilsvrc2012.ADDRESS,
    papers="Russakovsky et al. 2015; every landmark paper since AlexNet",
    path=_ilsvrc2012.PATH,
    classes=_ilsvrc2012.NUM_CLASSES,
    counts={"train": _ilsvrc2012.NUM_TRAIN, "val": _ilsvrc2012.NUM_VAL},
    archives=(_ilsvrc2012.VAL_LABELS,),
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
    mean_std_source="fb.resnet.torch and torchvision: 0.485, 0.456, 0.406 and 0.229, 0.224, 0.225 of 255",
    papers_data="ILSVRC-2012 val",
)
fingerprint = _ilsvrc2012.fingerprint
acquire = _ilsvrc2012.acquire
class_numbers = _ilsvrc2012.class_numbers


def samples(raw: Path, options: Mapping[str, Any]) -> Iterator[Sample]:
    """Every image by split, class and name."""
    folder = Path(options["path"])
    file = str(folder) if folder.is_absolute() else os.path.relpath(folder, raw)
    yield from _ilsvrc2012.train_samples(folder, f"{file}/{_ilsvrc2012.TRAIN.name}")
    yield from _ilsvrc2012.val_samples(folder, raw, f"{file}/{_ilsvrc2012.VAL.name}")
