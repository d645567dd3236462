"""Fetches a data set where it must, and writes down where each picture's bytes lie."""

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ilsvrc.config import registry
from ilsvrc.config.specs import SourceSpec, parse_specification
from ilsvrc.datasets._card import SPLITS, Card, Sample, parted
from ilsvrc.packing import index
from ilsvrc.runtime import files
from ilsvrc.runtime.entry_point import parser, run
from ilsvrc.runtime.messages import say
from ilsvrc.runtime.progress import track

UNWRITABLE = frozenset("\r\0")


def main(arguments: argparse.Namespace) -> None:
    """Writes `--source` and `--index`, and the archives that the card names beside them."""
    spec = parse_specification(SourceSpec, arguments.spec)
    data, raw = registry.load("datasets", spec.dataset), arguments.source.parent
    options = spec.options.model_dump()
    if data.CARD.path and not spec.options.path:
        raise ValueError(f"data.path in params.yaml is not set; for {spec.dataset} it should name {data.CARD.path}")
    raw.mkdir(parents=True, exist_ok=True)
    data.acquire(raw, options)
    seen = Seen()
    unchecked = arguments.index.with_name(f"{arguments.index.name}.unchecked")
    try:
        index.write(unchecked, seen.passing(track(data.samples(raw, options), f"index {spec.dataset}")))
        source = describe(spec, data.CARD, seen)
        unchecked.replace(arguments.index)
    finally:
        unchecked.unlink(missing_ok=True)
    files.write_text(arguments.source, json.dumps(source, indent=1) + "\n")
    counts = ", ".join(f"{seen.num_images(split)} in {split}" for split in SPLITS)
    classes = f"{len(source['classes'])} classes"
    if seen.several:
        classes += f" in {len(source['label_sets'])} combinations"
    say(f"acquired {spec.dataset}: {source['num_images']} pictures ({counts}) of {classes}")


class Seen:
    """What is remembered of pictures that go by: how many of each class or set of classes, and a hash over all."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.digest = hashlib.sha256()
        self.several = False  # a picture may have several classes

    def num_images(self, split: str) -> int:
        """Pictures of a split."""
        return sum(count for (where, _), count in self.counts.items() if where == split)

    def of_classes(self) -> Counter[tuple[str, str]]:
        """Pictures of each split and class."""
        if not self.several:
            return self.counts
        found: Counter[tuple[str, str]] = Counter()
        for (split, label_name), count in self.counts.items():
            found.update({(split, name): count for name in parted(label_name)})
        return found

    def passing(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """The same pictures, counted.

        Raises:
            ValueError: a name would not come out of the index as it went in.
        """
        for sample in samples:
            if not UNWRITABLE.isdisjoint(sample.name + sample.file):
                raise ValueError(
                    f"{sample.name!r} has a carriage return or a null byte in its name: rename the picture"
                )
            self.counts[sample.split, sample.label_name] += 1
            self.several = sample.several
            line = f"{sample.split},{sample.label_name},{sample.name},{sample.size}\n"
            self.digest.update(line.encode(errors="surrogateescape"))
            yield sample


def describe(spec: SourceSpec, card: Card, seen: Seen) -> dict[str, Any]:
    """What source.json says: the same on every machine that has the same pictures.

    Raises:
        ValueError: the pictures are not as many, or of as many classes, as the card says.
    """
    found = seen.of_classes()
    classes = sorted({label_name for _, label_name in found})
    counts = {split: {name: found[split, name] for name in classes} for split in SPLITS}
    _check(spec.dataset, card, classes, {split: seen.num_images(split) for split in SPLITS})
    return {
        "spec": _portable(spec),
        "classes": classes,
        **({"label_sets": label_sets(classes, seen)} if seen.several else {}),
        "counts": counts,
        "num_images": seen.counts.total(),
        "content_sha256": seen.digest.hexdigest(),
    }


def label_sets(classes: Sequence[str], seen: Seen) -> list[list[int]]:
    """The sets of classes that pictures of any split have, as indices; a set's place is its number."""
    at = {name: index for index, name in enumerate(classes)}
    return sorted(sorted(at[name] for name in parted(label_name)) for label_name in {name for _, name in seen.counts})


def _check(dataset: str, card: Card, classes: Sequence[str], num_images: Mapping[str, int]) -> None:
    if not classes:
        raise ValueError(f"{dataset} has no pictures")
    if card.classes not in (None, len(classes)):
        raise ValueError(
            f"{dataset} should have {card.classes} classes; {len(classes)} were found: {_again(dataset, card)}"
        )
    for split, expected in card.counts.items():
        if num_images[split] != expected:
            raise ValueError(
                f"{dataset} should have {expected} pictures in {split}; {num_images[split]} were found:"
                f" {_again(dataset, card)}"
            )


def _again(dataset: str, card: Card) -> str:
    if card.path:
        return "look into what data.path in params.yaml names"
    return f"remove data/raw/{dataset} and its files in data/downloads and run again"


def _portable(spec: SourceSpec) -> dict[str, Any]:
    """The specification less the folders above the data set, which differ from machine to machine."""
    values = spec.model_dump(mode="json", exclude_defaults=True)
    if spec.options.path:
        values["options"]["path"] = Path(spec.options.path).name
    return values


def arguments() -> argparse.ArgumentParser:
    """The stage's options."""
    options = parser(__doc__)
    options.add_argument("--spec", required=True, help="specs.SourceSpec as JSON")
    options.add_argument("--source", required=True, type=Path, help="source.json, in the data set's raw folder")
    options.add_argument("--index", required=True, type=Path, help="index.csv")
    return options


if __name__ == "__main__":
    run(main, arguments())
