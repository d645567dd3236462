"""Networks and pretrained weights of torchvision and timm, by name, as `library_models.csv` lists them.

Neither library is imported (seconds, and torch), so that a dry run knows what may be asked for. A network of theirs
that is one of ours too, layer by layer and name by name, stands in `library_catalog.csv` and goes by our
name; any other is called `<library>.<name>`, such as `timm.convnext_tiny`. Weights are `<library>/<model>.<tag>`.
"""

import csv
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from ilsvrc.config import registry

LIBRARIES = ("torchvision", "timm")
MODELS_FILE = Path(__file__).with_name("library_models.csv")  # models/pretrained/catalogue.py prints it
SHOWN = 12  # names in an error


def from_library(source: str) -> bool:
    """True if `source` names weights of a library, not a file."""
    return source.startswith(tuple(f"{library}/" for library in LIBRARIES))


def find(architecture: str, source: str) -> tuple[str, str]:
    """A network and its weights by their full names: `("resnet50_b", "torchvision/resnet50.IMAGENET1K_V1")`.

    Args:
        architecture: one of ours, `<library>.<model>`, or a library's model that ours have no namesake of.
        source: `<library>/<tag>` or `<library>/<model>.<tag>`.

    Raises:
        ValueError: there is no such network, or no such weights of it; the message lists what there is.
    """
    library, _, rest = source.partition("/")
    network, model = _network(architecture, library)
    named, _, tag = rest.rpartition(".")
    if named and named != model:
        raise ValueError(f"{source} is of {named}, while {architecture} is {library}'s {model}")
    there = tags(library, model)
    if tag not in there:
        listed = ", ".join(there) or "none"
        raise ValueError(f"{library} has no weights {tag!r} of {model}; there are: {listed}")
    return network, f"{library}/{model}.{there[tag]}"


def implied(source: str) -> str:
    """The network that `<library>/<model>.<tag>` alone stands for: ours where it is the same.

    Raises:
        ValueError: the model is not named, or there is none such.
    """
    library, _, rest = source.partition("/")
    model = rest.rpartition(".")[0]
    if not model:
        raise ValueError(f"{source}: name the model too: {library}/<model>.<tag>")
    return _ours(library, _check(library, model)) or f"{library}.{model}"


def full_name(architecture: str) -> str:
    """The full name of a network whose weights are a person's file.

    Raises:
        ValueError: there is none such, or torchvision and timm both have one.
    """
    library, _, model = architecture.partition(".")
    if model and library in LIBRARIES:
        return f"{library}.{_check(library, model)}"
    if registry.has("models", architecture):
        return architecture
    having = [library for library in LIBRARIES if architecture in models(library)]
    if len(having) == 1:
        return f"{having[0]}.{architecture}"
    if having:
        raise ValueError(
            f"{architecture} is torchvision's and timm's; say {' or '.join(f'{x}.{architecture}' for x in having)}"
        )
    raise ValueError(_unknown(architecture))


def models(library: str) -> frozenset[str]:
    """Every image classifier of `library`."""
    return frozenset(_listed()[library])


def tags(library: str, model: str) -> dict[str, str]:
    """Tags of the weights of `library`'s `model` -> themselves, or the tag that torchvision's DEFAULT stands for."""
    return _listed()[library].get(model, {})


@cache
def _listed() -> dict[str, dict[str, dict[str, str]]]:
    """Library -> model -> tag -> the tag that it stands for."""
    found: dict[str, dict[str, dict[str, str]]] = {library: {} for library in LIBRARIES}
    with MODELS_FILE.open(newline="") as file:
        for row in csv.DictReader(file):
            pairs = [tag.partition("=") for tag in row["tags"].split()]
            found[row["library"]][row["model"]] = {tag: target or tag for tag, _, target in pairs}
    return found


def _network(architecture: str, library: str) -> tuple[str, str]:
    """Full name of a network, and its name in `library`."""
    prefix, _, model = architecture.partition(".")
    if model:
        if prefix != library:
            raise ValueError(f"{architecture} is no network of {library}'s; its weights are {prefix}/<tag>")
        return architecture, _check(library, model)
    if not registry.has("models", architecture):
        if architecture not in models(library):
            raise ValueError(_unknown(architecture))
        return _ours(library, architecture) or f"{library}.{architecture}", architecture
    same = same_networks().get(architecture, {}).get(library, "")
    if not same:
        raise ValueError(f"{architecture} is no network of {library}'s{_namesake(architecture, library)}")
    return architecture, same


def _ours(library: str, model: str) -> str:
    """Our name of `library`'s `model`; empty where it is none of ours."""
    return next((ours for ours, theirs in same_networks().items() if theirs[library] == model), "")


def _namesake(architecture: str, library: str) -> str:
    """End of a message on a name that is ours and theirs for two different networks."""
    if architecture not in models(library):
        return f"; networks of theirs are called {library}.<name>"
    return f": theirs of that name is {_ours(library, architecture) or f'{library}.{architecture}'} here"


def _check(library: str, model: str) -> str:
    if model not in models(library):
        raise ValueError(f"{library} has no network {model!r}{_nearest(model, models(library))}")
    return model


def _unknown(architecture: str) -> str:
    known = {*registry.names("models"), *(model for library in LIBRARIES for model in models(library))}
    return (
        f"there is no network {architecture!r}, neither here nor in torchvision or timm{_nearest(architecture, known)}"
    )


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, sorted(known), n=SHOWN, cutoff=0.6)
    return f"; nearest: {', '.join(near)}" if near else ""


@cache
def same_networks() -> dict[str, dict[str, str]]:
    """Our name -> `torchvision` and `timm`: their names of the same network, whose weights have the same names."""
    with Path(__file__).with_suffix(".csv").open(newline="") as file:
        return {row["architecture"]: row for row in csv.DictReader(file)}
