"""Specifications of measurements: each network at a size, once for all its runs. Never imports torch."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ilsvrc.config import runs, specs
from ilsvrc.config.schema import Section

QUANTIZED = "int8"


class Step(Section):
    """Fields of a recipe on which the memory of a training step depends."""

    batch_size: int
    optimizer: str = "sgd"
    momentum: float = 0.9
    averaging: str = "none"
    dropout: float | None = None
    drop_path: float | None = None
    batch_norm_group: int | None = None
    precision: str = "auto"


class CostSpec(Section):
    """Specification of a measurement, beside the machine and the number of classes; never of seed or weights.

    Where the network is pretrained there is no step, and the weights may say the size (`crop_px` None).
    """

    architecture: str
    crop_px: int | None
    precisions: tuple[str, ...]  # of the tests
    step: Step | None


class Plan(NamedTuple):
    """The files of costs: a network's at a size -> what is measured; each run's; and the runs' that are in int8.

    `weights` holds the weights.json that say a network's size, where it is pretrained.
    """

    forms: dict[str, CostSpec]
    by_run: dict[str, str]
    quantized: dict[str, str]
    weights: dict[str, str]

    @property
    def files(self) -> list[str]:
        """Paths of all files of costs."""
        return [*self.forms, *self.quantized.values()]


def plan(all_runs: Iterable[runs.Run], precisions: Sequence[str], label: str) -> Plan:
    """Measurements of `all_runs` in `precisions` (none: no measurement), each network at a size once.

    Its first run, a sweep's first point with the first seed, says of which recipe's step the memory is, and gives the
    weights for int8.
    """
    first: dict[tuple[str, int | str | None], runs.Run] = {}
    found = Plan({}, {}, {}, {})
    for run in all_runs if precisions else ():
        chosen = first.setdefault((run.spec.architecture, run.spec.crop_px if run.is_trained_here else run.name), run)
        spec = cost_spec(chosen, precisions)
        form = f"{spec.crop_px}px-{specs.key8(spec)}"
        if not run.is_trained_here:
            form = f"{run.recipe_name}-{specs.key8(run.spec)}"
        found.by_run[run.name] = f"results/costs/{label}/{spec.architecture},{form}.json"
        found.forms[found.by_run[run.name]] = spec
        if not run.is_trained_here:
            found.weights[found.by_run[run.name]] = f"results/runs/{run.name}/weights.json"
        if chosen is run and QUANTIZED in precisions:
            found.quantized[run.name] = f"results/costs/{run.name}/{QUANTIZED}.json"
    return found


def cost_spec(run: runs.Run, precisions: Iterable[str]) -> CostSpec:
    """Specification of the measurement of a run's network; int8, which needs its weights, is measured apart."""
    step = None
    if isinstance(run.spec, specs.TrainSpec):
        step = Step(**{name: getattr(run.spec.recipe, name) for name in Step.model_fields})
    return CostSpec(
        architecture=run.spec.architecture,
        crop_px=run.spec.crop_px,
        precisions=tuple(name for name in precisions if name != QUANTIZED),
        step=step,
    )
