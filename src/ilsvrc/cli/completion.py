"""Completions of names by the shell: architectures, test protocols, runs and ensembles."""

from pathlib import Path

import click
from click.shell_completion import CompletionItem


def architectures(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completions of an architecture's name."""
    from ilsvrc.config import registry

    return [CompletionItem(name) for name in registry.names("models") if name.startswith(incomplete)]


def protocols(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completions of a test protocol's name."""
    from ilsvrc.config import registry

    return [CompletionItem(name) for name in registry.names("protocols") if name.startswith(incomplete)]


def runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completions of a run's name: a piece of it between slashes, or the whole."""
    from ilsvrc.artifacts import run_files

    found = run_files.folders(run_files.RUNS)
    pieces = {piece for run in found for piece in (run, *run.split("/")[1:])}
    return [CompletionItem(piece) for piece in sorted(pieces | _ensembles()) if piece.startswith(incomplete)]


def _ensembles() -> set[str]:
    """Names of the ensembles of params.yaml; none where it is not there or wrong."""
    from ilsvrc.config import params

    try:
        return set(params.load(Path("params.yaml")).ensembles)
    except (ValueError, OSError):
        return set()
