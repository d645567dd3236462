"""Catalogue of the installed torchvision and timm, for config/library_models.csv, which a dry run reads instead.

python -m ilsvrc.models.pretrained.catalogue > src/ilsvrc/config/library_models.csv
"""

import csv
import io
import sys

import timm
from torchvision import models

COLUMNS = ("library", "model", "tags")


def rows() -> list[tuple[str, str, str]]:
    """Library, model and tags of each network: tags are separated by spaces, an alias is `DEFAULT=IMAGENET1K_V2`."""
    return [*_torchvision(), *_timm()]


def as_csv() -> str:
    """The rows as CSV, with a head."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows()])
    return text.getvalue()


def _torchvision() -> list[tuple[str, str, str]]:
    """torchvision's classifiers, by name."""
    networks = []
    for model in sorted(models.list_models(module=models)):
        members = models.get_model_weights(model).__members__
        tags = [tag if tag == weights.name else f"{tag}={weights.name}" for tag, weights in members.items()]
        networks.append(("torchvision", model, " ".join(tags)))
    return networks


def _timm() -> list[tuple[str, str, str]]:
    """timm's networks, by name."""
    tags: dict[str, list[str]] = {model: [] for model in sorted(timm.list_models())}
    for full_name in timm.list_pretrained():
        model, _, tag = full_name.partition(".")
        tags[model].append(tag)
    return [("timm", model, " ".join(filter(None, of_model))) for model, of_model in tags.items()]


if __name__ == "__main__":
    sys.stdout.write(as_csv())
