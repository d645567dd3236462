"""First runs of architectures, and the packed training images, for commands that look at a training before it."""

from pathlib import Path

from ilsvrc.config import registry, runs, specs
from ilsvrc.config.params import Params
from ilsvrc.pipeline import wiring


def packed_train(flow: wiring.Pipeline) -> Path:
    """Path of the packed training images.

    Raises:
        ValueError: they are not there.
    """
    beton = Path(flow.packed) / "train.beton"
    if not beton.exists():
        raise ValueError(f"{beton} is not there; pack the images first: snakemake --cores all data")
    return beton


def first_runs(flow: wiring.Pipeline, architectures: list[str]) -> list[specs.TrainSpec]:
    """Specifications of the first run of each of `architectures`, else of each in params.yaml."""
    by_name: dict[str, specs.TrainSpec] = {}
    params = flow.params
    if architectures:
        names = tuple(registry.check("models", name) for name in architectures)
        params = Params(**params.model_dump() | {"architectures": names})
    for run in runs.expand(params):
        if isinstance(run.spec, specs.TrainSpec):
            by_name.setdefault(run.spec.architecture, run.spec)
    return list(by_name.values())
