"""What the Snakefile wires: the paths, parameters and groups that one params.yaml leads to. Never imports torch."""

import json
import os
import re
import sys
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from ilsvrc.config import cost_specs, packed_formats, registry, runs, specs
from ilsvrc.config.ensembles import find
from ilsvrc.config.params import Params
from ilsvrc.config.schema import parse
from ilsvrc.evaluation import prediction_file
from ilsvrc.models.common import reference_counts
from ilsvrc.pipeline import contracts
from ilsvrc.runtime import locks

LOCK_FILE = Path("work/snakemake.lock")
_HELD: list[object] = []  # a lock is released when nothing refers to it


class Pipeline:
    """Names every file and every rule's parameters for a validated params.yaml."""

    def __init__(self, params: Params) -> None:
        for architecture in params.architectures:
            contracts.check_architecture(architecture)
        self.params = params
        self.runs = {run.name: run for run in runs.expand(params)}
        self.ensembles = find(params, self.runs)
        needed = runs.with_dependencies(self.runs.values())
        self.trained = {run.name: run for run in needed if run.is_trained_here}
        self.imported = {run.name: run for run in needed if not run.is_trained_here}
        train, test = packed_formats.form_spec(params), packed_formats.test_form_spec(params)
        self.label = train.data
        self.raw = f"data/raw/{train.data}"
        self.all_packed = f"data/packed/{train.data}"
        self.packed = f"{self.all_packed}/{packed_formats.form_name(train)}"
        self.packed_for_test = f"{self.all_packed}/{packed_formats.form_name(test)}"
        self.forms = packed_formats.requested_forms(params)
        self.pack_specs = {
            packed_formats.form_name(form): specs.specification(packed_formats.pack_spec(params, form))
            for form in self.forms
        }

    @cached_property
    def source_spec(self) -> str:
        """What acquiring depends on, a cheap look at the user's own pictures included."""
        data_set = registry.load("datasets", self.params.dataset)
        fingerprint = data_set.fingerprint(self.params.data.model_dump())
        return specs.specification(packed_formats.source_spec(self.params, fingerprint))

    @property
    def archives(self) -> list[str]:
        """The archives that acquiring leaves in the raw folder."""
        return [f"{self.raw}/{name}" for name in registry.load("datasets", self.params.dataset).CARD.archives]

    @cached_property
    def training_priorities(self) -> dict[str, int]:
        """By run, 1 for the shortest training: where the longest begins first, none is left to the end alone."""

        def length(name: str) -> float:
            spec = self.trained[name].spec
            assert isinstance(spec, specs.TrainSpec)
            multiply_adds = reference_counts.architectures().get(spec.architecture, {}).get("multiply_adds") or 0
            return float(multiply_adds) * (spec.recipe.epochs or spec.recipe.iterations or 0)

        return {name: place for place, name in enumerate(sorted(self.trained, key=length), 1)}

    @property
    def results_spec(self) -> str:
        """What scores and report depend on: the runs, the protocols, the swept keys and the ensembles."""
        ensembles = [ensemble.model_dump() for ensemble in self.ensembles]
        spec = {"runs": list(self.runs), "protocols": list(self.params.protocols), "swept": list(self.params.sweep)}
        return json.dumps(spec | ({"ensembles": ensembles} if ensembles else {}))

    @cached_property
    def costs(self) -> cost_specs.Plan:
        """What is measured of what the networks cost."""
        return cost_specs.plan(self.runs.values(), self.params.costs, self.label)

    @property
    def cost_table_spec(self) -> str:
        """What the table and the figure of costs depend on: the runs' files, and the protocols."""
        of_runs, quantized = self.costs.of_runs, self.costs.quantized
        return json.dumps({"runs": of_runs, "int8": quantized, "protocols": list(self.params.protocols)})

    def cost_results(self) -> list[str]:
        """The tables and the figure of costs, where any are measured."""
        names = ("tables/costs.csv", "tables/error_against_costs.csv", "figures/error_against_costs.svg")
        return [f"results/{name}" for name in names] if self.params.costs else []

    @cached_property
    def inspected(self) -> list[str]:
        """The runs that are looked into: each network's first, a sweep's first point with the first seed."""
        if self.params.inspect is None:
            return []
        first: dict[str, str] = {}
        for run in self.runs.values():
            first.setdefault(run.spec.architecture if run.is_trained_here else run.name, run.name)
        return list(first.values())

    def inspections(self) -> list[str]:
        """What was found in the runs that are looked into."""
        return [f"results/inspect/{run}/inspect.json" for run in self.inspected]

    @property
    def nearest_of(self) -> int:
        """Among how many training pictures the nearest are looked for; 0 where nothing looks into networks."""
        return self.params.inspect.nearest_of if self.params.inspect else 0

    def training_images(self, run: str) -> list[str]:
        """The packed training split that a run's pictures are compared with: one file, none for weights that exist."""
        return [f"{self.packed}/train.beton"] if run in self.trained else []

    @property
    def whole_spec(self) -> str:
        """The whole configuration: what the record depends on."""
        return self.params.model_dump_json(exclude_defaults=True)

    def manifests(self) -> list[str]:
        """The manifests of every packed split that the runs need."""
        train, val, test = f"{self.packed}/train", f"{self.packed}/val", f"{self.packed_for_test}/val"
        return [f"{place}.manifest.json" for place in dict.fromkeys((train, val, test))]

    def of_runs(self, pattern: str) -> list[str]:
        """`pattern` for each run, `{run}` in it replaced by the run's name."""
        return [pattern.replace("{run}", name) for name in self.runs]

    def dependency_weights(self, run: str, role: str) -> list[str]:
        """The weights that a run needs in the `role` of `teacher` or `start`: one file or none."""
        before = getattr(self.trained[run], role)
        return [f"results/runs/{before.name}/weights.safetensors"] if before else []

    def file_of_weights(self, run: str) -> list[str]:
        """A person's file that an imported run takes its weights from: one file or none."""
        return list(filter(None, [self.imported[run].file]))

    def mean_image(self, run: str) -> list[str]:
        """The mean image of the training pictures, where a run subtracts it: one file or none."""
        subtracts = self.trained[run].spec.normalization == "mean_image"
        return [f"{self.packed}/train.mean_image.npy"] if subtracts else []

    def predictions(self) -> list[str]:
        """The predictions of every run by every protocol."""
        return [str(prediction_file.prediction_file(run, p)) for run in self.runs for p in self.params.protocols]

    def damaged_predictions(self) -> list[str]:
        """Predictions that are there but cut short or of an older format: Snakemake would believe in them."""
        return [path for path in self.predictions() if Path(path).exists() and not prediction_file.is_whole(Path(path))]


def read(values: Any, where: str) -> Pipeline:
    """The pipeline of the values that a configuration file holds.

    Raises:
        ValueError: a key is unknown or a value is not allowed.
    """
    return Pipeline(parse(Params, values, where=where))


def find_own_programs() -> None:
    """Lets jobs find this environment's programs, whether or not a person activated it."""
    own = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join((own, os.environ.get("PATH", os.defpath)))


def hold_the_lock() -> None:
    """One pipeline at a time in a folder; the kernel lets go of the lock however this process ends.

    Raises:
        BlockingIOError: another one holds it; the message names its process.
    """
    lock = locks.try_lock(LOCK_FILE)
    if lock is None:
        process = locks.holder(LOCK_FILE)
        raise BlockingIOError(f"another snakemake (process {process}) works in this folder; wait for it or stop it")
    _HELD.append(lock)


def one_of(names: Iterable[str]) -> str:
    """A wildcard's constraint: one of `names`, and nothing where there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"
