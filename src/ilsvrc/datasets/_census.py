"""Census of a data set's images: counts by split and class, a hash over all, and the content of source.json."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ilsvrc.artifacts.json_record import JsonRecord, Name
from ilsvrc.config.specs import SourceSpec
from ilsvrc.datasets._card import SPLITS, Card, Sample, split_classes
from ilsvrc.datasets._readers import class_names
from ilsvrc.runtime import files

UNWRITABLE = frozenset("\r\0")


class Census:
    """Counts of images by split and class (or set of classes), and a hash over all of them."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.digest = hashlib.sha256()
        self.multilabel = False

    def num_images(self, split: str) -> int:
        """Images of a split."""
        return sum(count for (counted, _), count in self.counts.items() if counted == split)

    def class_counts(self) -> Counter[tuple[str, str]]:
        """Images of each split and class."""
        if not self.multilabel:
            return self.counts
        counts: Counter[tuple[str, str]] = Counter()
        for (split, label_name), count in self.counts.items():
            counts.update({(split, name): count for name in split_classes(label_name)})
        return counts

    def counting(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """The same images, counted as they are read.

        Raises:
            ValueError: a name would not come out of the index as it went in.
        """
        for sample in samples:
            if not UNWRITABLE.isdisjoint(sample.name + sample.file):
                raise ValueError(f"{sample.name!r} has a carriage return or a null byte in its name: rename the image")
            self.counts[sample.split, sample.label_name] += 1
            self.multilabel = sample.multilabel
            line = f"{sample.split},{sample.label_name},{sample.name},{sample.size}\n"
            self.digest.update(line.encode(errors="surrogateescape"))
            yield sample

    def check(self, source: "Source", index: Path) -> None:
        """Sees that the images counted in `index` are those of `source`.

        Raises:
            files.DamagedError: they are fewer, more or others.
        """
        if self.counts.total() != source.num_images:
            raise files.DamagedError(index, f"lists {self.counts.total()} of {source.num_images} images")
        if self.digest.hexdigest() != source.content_sha256:
            raise files.DamagedError(index, "lists other images than source.json tells of")


def with_names(samples: Iterable[Sample]) -> Iterator[Sample]:
    """The same images, whose classes have names.

    Raises:
        ValueError: a name is none for a class.
    """
    known: set[str] = set()
    for sample in samples:
        if sample.label_name not in known:
            for name in split_classes(sample.label_name) if sample.multilabel else [sample.label_name]:
                class_names.check(name)
            known.add(sample.label_name)
        yield sample


class Source(JsonRecord):
    """Content of source.json: the same on every machine that has the same images."""

    noun: ClassVar[str] = "the source of a data set"

    spec: dict[str, Any]  # canonical, of a SourceSpec, without the folders above `data.path`
    classes: list[Name]
    label_sets: list[list[int]] | None = None  # of multi-label data: classes of each set, by its number
    counts: dict[str, dict[Name, int]]  # images of each split and class
    num_images: int
    content_sha256: str  # over split, class, name and size of every image


def describe(spec: SourceSpec, card: Card, census: Census) -> Source:
    """The source of a data set whose images were counted.

    Raises:
        ValueError: the images are not as many, or of as many classes, as the card says.
    """
    counted = census.class_counts()
    classes = sorted({label_name for _, label_name in counted})
    _check(spec.dataset, card, classes, {split: census.num_images(split) for split in SPLITS})
    return Source(
        spec=portable(spec),
        classes=classes,
        counts={split: {name: counted[split, name] for name in classes} for split in SPLITS},
        num_images=census.counts.total(),
        content_sha256=census.digest.hexdigest(),
        label_sets=label_sets(classes, census) if census.multilabel else None,
    )


def label_sets(classes: Sequence[str], census: Census) -> list[list[int]]:
    """The sets of classes that images of any split have, as indices; a set's place is its number."""
    index_of = {name: index for index, name in enumerate(classes)}
    names = {label_name for _, label_name in census.counts}
    return sorted(sorted(index_of[name] for name in split_classes(label_name)) for label_name in names)


def _check(dataset: str, card: Card, classes: Sequence[str], num_images: Mapping[str, int]) -> None:
    if not classes:
        raise ValueError(f"{dataset} has no images")
    if card.classes not in (None, len(classes)):
        raise ValueError(
            f"{dataset} should have {card.classes} classes; {len(classes)} were found: {_remedy(dataset, card)}"
        )
    for split, expected in card.counts.items():
        if num_images[split] != expected:
            raise ValueError(
                f"{dataset} should have {expected} images in {split}; {num_images[split]} were found:"
                f" {_remedy(dataset, card)}"
            )


def _remedy(dataset: str, card: Card) -> str:
    if card.path:
        return "inspect the files that data.path in params.yaml names"
    return f"remove data/raw/{dataset} and its files in data/downloads and run again"


def portable(spec: SourceSpec) -> dict[str, Any]:
    """The specification less the folders above the data set, which differ from machine to machine."""
    values = spec.model_dump(mode="json", exclude_defaults=True)
    if spec.options.path:
        values["options"]["path"] = Path(spec.options.path).name
    return values
