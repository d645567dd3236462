"""The ensemble that a person names, among those of params.yaml."""

from pathlib import Path

from ilsvrc.config import ensembles, runs
from ilsvrc.config.ensembles import ResolvedEnsemble
from ilsvrc.config.params import load
from ilsvrc.evaluation import scores


def find_ensemble(name: str, params: Path) -> ResolvedEnsemble | None:
    """The ensemble `<name>` or `ensemble/<name>` of the configuration file; None where there is none of that name."""
    if not params.exists():
        return None
    loaded = load(params)
    if not loaded.ensembles:
        return None
    known = ensembles.find(loaded, {run.name: run for run in runs.expand(loaded)})
    return next((each for each in known if each.name == name.removeprefix(scores.ENSEMBLE)), None)
