"""Fetches a data set where it must, and writes down where each picture's bytes lie."""

import argparse
import csv
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ilsvrc import plugins, results
from ilsvrc.card import SPLITS, Card, Sample
from ilsvrc.runs import SourceSpec, parse_specification
from ilsvrc.stages._stage import parser, run, say

COLUMNS = ("split", "label_name", "name", "file", "offset", "size")


def main(arguments: argparse.Namespace) -> None:
    """Writes `--source` and `--index`, and the archives that the card names beside them."""
    spec = parse_specification(SourceSpec, arguments.spec)
    data, raw = plugins.load("data", spec.dataset), arguments.source.parent
    options = spec.options.model_dump()
    raw.mkdir(parents=True, exist_ok=True)
    data.acquire(raw, options)
    samples = list(data.samples(raw, options))
    source = describe(spec, data.CARD, samples)
    _write_index(arguments.index, samples)
    results.write_text(arguments.source, json.dumps(source, indent=1) + "\n")
    counts = ", ".join(f"{sum(source['counts'][split].values())} in {split}" for split in SPLITS)
    say(f"acquired {spec.dataset}: {len(samples)} pictures ({counts}) of {len(source['classes'])} classes")


def describe(spec: SourceSpec, card: Card, samples: Sequence[Sample]) -> dict[str, Any]:
    """What source.json says: the same on every machine that has the same pictures.

    Raises:
        ValueError: the pictures are not as many, or of as many classes, as the card says.
    """
    classes = sorted({sample.label_name for sample in samples})
    found = Counter((sample.split, sample.label_name) for sample in samples)
    counts = {split: {name: found[split, name] for name in classes} for split in SPLITS}
    _check(spec.dataset, card, classes, counts)
    return {
        "spec": _portable(spec),
        "classes": classes,
        "counts": counts,
        "num_images": len(samples),
        "content_sha256": _content_sha256(samples),
    }


def _check(dataset: str, card: Card, classes: Sequence[str], counts: Mapping[str, Mapping[str, int]]) -> None:
    if not classes:
        raise ValueError(f"{dataset} has no pictures")
    if card.classes not in (None, len(classes)):
        raise ValueError(f"{dataset} should have {card.classes} classes; {len(classes)} were found")
    for split, expected in card.counts.items():
        if sum(counts[split].values()) != expected:
            raise ValueError(
                f"{dataset} should have {expected} pictures in {split}; {sum(counts[split].values())} were found:"
                " remove its folder under data/raw and run again"
            )


def _portable(spec: SourceSpec) -> dict[str, Any]:
    """The specification less the folders above the data set, which differ from machine to machine."""
    values = spec.model_dump(mode="json", exclude_defaults=True)
    if spec.options.path:
        values["options"]["path"] = Path(spec.options.path).name
    return values


def _content_sha256(samples: Sequence[Sample]) -> str:
    digest = hashlib.sha256()
    for sample in samples:
        line = f"{sample.split},{sample.label_name},{sample.name},{sample.size}\n"
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()


def _write_index(path: Path, samples: Sequence[Sample]) -> None:
    unfinished = path.with_name(f"{path.name}.tmp")
    with unfinished.open("w", newline="", errors="surrogateescape") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows([getattr(sample, column) for column in COLUMNS] for sample in samples)
    unfinished.replace(path)


def arguments() -> argparse.ArgumentParser:
    """The stage's options."""
    options = parser(__doc__)
    options.add_argument("--spec", required=True, help="runs.SourceSpec as JSON")
    options.add_argument("--source", required=True, type=Path, help="source.json, in the data set's raw folder")
    options.add_argument("--index", required=True, type=Path, help="index.csv")
    return options


if __name__ == "__main__":
    run(main, arguments())
