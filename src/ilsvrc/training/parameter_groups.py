"""Learning rates and weight decays of single layers, as released files give them."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from torch import nn

from ilsvrc.training.optimizer import BIASES, NORMALIZATIONS

MAX_LISTED = 12  # layers that a message names


class LayerSettings(NamedTuple):
    """Learning rates and weight decays of single parameters, by their `id`."""

    rates: dict[int, float]  # learning rates in units of the recipe's
    decays: dict[int, float]  # weight decays in the place of the recipe's

    def times(self, factors: Mapping[int, float]) -> "LayerSettings":
        """Settings whose learning rates are multiplied by `factors`, by `id`."""
        rates = self.rates | {number: factor * self.rates.get(number, 1.0) for number, factor in factors.items()}
        return self._replace(rates=rates)


def layer_settings(
    network: nn.Module,
    bias_rate: float = 1.0,
    layer_rates: Mapping[str, float] | None = None,
    layer_decays: Mapping[str, float] | None = None,
) -> LayerSettings:
    """Settings of single layers in a recipe.

    Args:
        network: as its builder makes it, before its batch norms are grouped.
        bias_rate: learning rate of biases, those of normalisation left alone, in units of the weights'.
        layer_rates: learning rates of layers by pattern, in units of the others'; see `chosen`.
        layer_decays: weight decays of layers by pattern, in the place of `weight_decay`.

    Raises:
        ValueError: a pattern names no layer, or two name one.
    """
    rates = chosen(network, layer_rates or {}, "layer_rates")
    settings = LayerSettings(rates, chosen(network, layer_decays or {}, "layer_decays"))
    return settings if bias_rate == 1.0 else settings.times({id(p): bias_rate for p in biases(network)})


def biases(network: nn.Module) -> Iterator[nn.Parameter]:
    """Biases of all layers but normalisations."""
    for module in network.modules():
        if not isinstance(module, NORMALIZATIONS):
            own = dict(module.named_parameters(recurse=False))
            yield from (own[name] for name in BIASES if name in own)


def chosen(network: nn.Module, patterns: Mapping[str, float], key: str) -> dict[int, float]:
    """Values of the parameters of the layers that patterns name, by `id`.

    A pattern (`local*`) is of a layer's own name, of a part of the network that holds it (`features` for `features.3`),
    or of its type or one that it is derived from (`Linear`). No order of patterns says which of two counts.

    Raises:
        ValueError: as `layer_settings`.
    """
    values: dict[int, float] = {}
    unused = dict(patterns)
    for name, layer in layers(network):
        matching = [pattern for pattern in patterns if _names(pattern, name, layer)]
        if len(matching) > 1:
            raise ValueError(f"{key}: {' and '.join(matching)} both name {name} (training: in params.yaml)")
        for pattern in matching:
            unused.pop(pattern, None)
            values |= {id(p): patterns[pattern] for p in layer.parameters(recurse=False)}
    if unused:
        raise ValueError(
            f"{key}: {', '.join(unused)} names no layer; there are {listed(network)} (training: in params.yaml)"
        )
    return values


def layers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Layers by name: modules that have parameters of their own."""
    for name, module in network.named_modules():
        if any(True for _ in module.parameters(recurse=False)):
            yield name, module


def listed(network: nn.Module) -> str:
    """Names and types of a network's layers, for a message."""
    names = [name for name, _ in layers(network)]
    types = dict.fromkeys(type(layer).__name__ for _, layer in layers(network))
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return f"{', '.join(names[:MAX_LISTED])}{more}, of the types {', '.join(types)}"


def _names(pattern: str, name: str, layer: nn.Module) -> bool:
    parts = name.split(".")
    holders = (".".join(parts[: end + 1]) for end in range(len(parts)))
    types = (kind.__name__ for kind in type(layer).__mro__ if issubclass(kind, nn.Module) and kind is not nn.Module)
    return any(fnmatchcase(each, pattern) for each in (*holders, *types))
