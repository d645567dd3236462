"""Ensembles of params.yaml and the runs that are their members. Never imports torch.

A run goes by a short name, such as `resnet18,learning_rate=0.05,seed=0` (what is swept stands between architecture
and seed), or `resnet18_b,torchvision-IMAGENET1K_V1` where its weights are pretrained. An ensemble names runs by
the whole of it, by its beginning, or by a pattern: `resnet18`, `resnet18,learning_rate=0.05`, `vgg_[de]`, `*,seed=0`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from ilsvrc.config.params import Average, Ensemble, Params
from ilsvrc.config.runs import Run, readable
from ilsvrc.config.schema import Section
from ilsvrc.config.specs import TrainSpec

LISTED = 20  # names in an error


class ResolvedEnsemble(Section):
    """An ensemble: its member runs, and the sets of protocols that are averaged, each set a row of the scores.

    `networks` says what they are: `5 alexnet`, `3 inception_resnet_v2 + inception_v4`.
    """

    name: str
    networks: str
    members: tuple[str, ...]
    protocols: tuple[tuple[str, ...], ...]
    average: Average


def find(params: Params, runs: Mapping[str, Run]) -> list[ResolvedEnsemble]:
    """The ensembles of params.yaml, of `runs` by their names.

    Raises:
        ValueError: one asks for what there is not; the message lists what there is.
    """
    return [_find(name, ensemble, params, runs) for name, ensemble in params.ensembles.items()]


def composition(architectures: Iterable[str]) -> str:
    """`5 alexnet`, `3 inception_resnet_v2 + inception_v4`: sorted by name, so that the same is written the same."""
    counts = Counter(architectures)
    return " + ".join(f"{n} {name}" if n > 1 else name for name, n in sorted(counts.items()))


def short_names(runs: Mapping[str, Run], swept: Sequence[str]) -> dict[str, str]:
    """Short name -> name of each run, in their order."""
    return {_short_name(run, swept): name for name, run in runs.items()}


def _short_name(run: Run, swept: Sequence[str]) -> str:
    if not isinstance(run.spec, TrainSpec):
        return f"{run.spec.architecture},{run.recipe_name}"
    values = {**run.spec.recipe.model_dump(), "crop_px": run.spec.crop_px}
    return ",".join([run.spec.architecture, *(f"{k}={readable(values[k])}" for k in swept), f"seed={run.spec.seed}"])


def _find(name: str, ensemble: Ensemble, params: Params, runs: Mapping[str, Run]) -> ResolvedEnsemble:
    where = f"ensembles.{name}"
    known = short_names(runs, list(params.sweep))
    chosen = [short for asked in ensemble.members.items() for short in _matches(where, *asked, known)]
    twice = [short for short, n in Counter(chosen).items() if n > 1]
    if twice:
        raise ValueError(f"{where}: members name {_listed(twice)} twice")
    protocols = _protocols(where, ensemble, params)
    if len(chosen) * len(protocols[0]) < 2:
        raise ValueError(
            f"{where}: one network by one protocol ({chosen[0]}) is no ensemble; add seeds or members, or protocols "
            f"with together: true. The runs are {_listed(known)}"
        )
    members = [known[short] for short in chosen]
    return ResolvedEnsemble(
        name=name,
        networks=composition(runs[member].spec.architecture for member in members),
        members=tuple(members),
        protocols=protocols,
        average=ensemble.average,
    )


def _matches(where: str, pattern: str, number: int | None, known: Mapping[str, str]) -> list[str]:
    """The first `number` of the runs that `pattern` names."""
    found = [short for short in known if fnmatchcase(short, pattern) or fnmatchcase(short, f"{pattern},*")]
    if not found:
        raise ValueError(f"{where}: no run is called {pattern!r}; the runs are {_listed(known)}")
    if number is not None and number > len(found):
        raise ValueError(
            f"{where}: {pattern}: {number} are asked for, but there are {len(found)}: {_listed(found)}; "
            "add seeds to params.yaml"
        )
    return found[:number]


def _protocols(where: str, ensemble: Ensemble, params: Params) -> tuple[tuple[str, ...], ...]:
    """The sets of protocols: each by itself, or all in one."""
    asked = ensemble.protocols or params.protocols
    for protocol in asked:
        if protocol not in params.protocols:
            there = ", ".join(params.protocols)
            raise ValueError(
                f"{where}: {protocol} is none of the protocols of params.yaml ({there}); add it to protocols"
            )
    return (asked,) if ensemble.together else tuple((protocol,) for protocol in asked)


def _listed(names: Iterable[str]) -> str:
    all_names = list(names)
    more = f"; and {len(all_names) - LISTED} more" if len(all_names) > LISTED else ""
    return "; ".join(all_names[:LISTED]) + more
