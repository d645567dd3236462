"""Names of weights: a file's names as the network's.

Wrappers put something before each name (`module.` of DataParallel, `_orig_mod.` of torch.compile, `model.` of many a
training loop) or inside it (`features.module.0`), and classifiers go by many names.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from torch import Tensor

WRAPPERS = ("module", "_orig_mod")  # attributes that hold a wrapped module, anywhere in a name


class Named(NamedTuple):
    """Weights by the network's names where they fit, and lines on what was taken for what, for a person."""

    state: dict[str, Tensor]
    said: tuple[str, ...]


def by_own_names(weights: Mapping[str, Tensor], own: Mapping[str, Tensor], classifier: Collection[str]) -> Named:
    """Takes away what stands before the names, and finds a classifier of another name where only one layer fits.

    Args:
        weights: by the file's names.
        own: the network's, by its names; of its classifier any number of classes.
        classifier: names whose shape depends on the number of classes, which is their first dimension.
    """
    origins = max(_candidates(weights, own), key=lambda names: len(own.keys() & names.keys()))
    state = {name: weights[origin] for name, origin in origins.items()}
    said = [f"{origin} taken for {name}, and others likewise" for name, origin in origins.items() if name != origin][:1]
    for stem in dict.fromkeys(name.rpartition(".")[0] for name in classifier if "." in name):
        leaves = {name.rpartition(".")[2] for name in classifier if name.rpartition(".")[0] == stem}
        fits = [other for other in _layers(state, own) if _fits(state, other, own, stem, leaves)]
        if len(fits) == 1 and not any(f"{stem}.{leaf}" in state for leaf in leaves):
            state |= {f"{stem}.{leaf}": state.pop(f"{fits[0]}.{leaf}") for leaf in sorted(leaves)}
            said.append(f"the classifier {fits[0]} taken for {stem}")
    return Named(state, tuple(said))


def _candidates(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Iterator[dict[str, str]]:
    """Names -> the file's: as they are, without what stands before them (averages last), and without wrappers."""
    for names in ({name: name for name in weights}, {_unwrapped(name): name for name in weights}):
        yield names
        first = next((known for known in own if any(name.endswith(f".{known}") for name in names)), None)
        ends = [name.removesuffix(first) for name in names if name.endswith(f".{first}")] if first else []
        for prefix in sorted(ends, key=lambda prefix: "ema" in prefix):
            yield {name.removeprefix(prefix): origin for name, origin in names.items() if name.startswith(prefix)}


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _layers(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """Layers of the file that the network has not."""
    return list(dict.fromkeys(name.rpartition(".")[0] for name in state if name not in own))


def _fits(state: Mapping[str, Tensor], other: str, own: Mapping[str, Tensor], stem: str, leaves: set[str]) -> bool:
    """True if a layer of the file has the shapes of the classifier, whatever its number of classes."""
    held = {name.rpartition(".")[2] for name in state if name.rpartition(".")[0] == other}
    if held != leaves or not all(state[f"{other}.{leaf}"].dim() == own[f"{stem}.{leaf}"].dim() for leaf in leaves):
        return False
    shapes = [(state[f"{other}.{leaf}"].shape, own[f"{stem}.{leaf}"].shape) for leaf in leaves]
    return len({found[0] for found, _ in shapes}) == 1 and all(found[1:] == wanted[1:] for found, wanted in shapes)
