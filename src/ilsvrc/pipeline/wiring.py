"""Wiring of the Snakefile: the paths and parameters that one params.yaml leads to. Never imports torch."""

import json
import os
import re
import sys
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from ilsvrc.config import cost_specs, packed_formats, recipe_files, registry, runs, specs
from ilsvrc.config.ensembles import find
from ilsvrc.config.params import Params
from ilsvrc.config.schema import parse, read_yaml
from ilsvrc.evaluation import prediction_file
from ilsvrc.models.common import reference_counts
from ilsvrc.pipeline import contracts
from ilsvrc.runtime import locks

LOCK_FILE = Path("work/snakemake.lock")
_HELD: list[object] = []  # a lock is released when nothing refers to it


class Pipeline:
    """Every file and every rule's parameters of a validated params.yaml."""

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
    def remarks(self) -> list[str]:
        """Lines on what a run does otherwise than its recipe without being asked to: recipes' warm-ups give way."""
        asked = {*self.params.training, *self.params.sweep}
        short: dict[tuple[str, str], dict[str, None]] = {}
        for run in self.trained.values():
            if recipe_files.shortened(run.changes, asked):
                unit = "epochs" if "epochs" in run.changes else "iterations"
                length = f"{unit}: {run.changes[unit]}"
                short.setdefault((run.recipe_name, length), {})[run.spec.architecture] = None
        return [
            f"recipe {recipe}: its warm-up gives way to {length} ({', '.join(networks)}); a shorter one can be asked "
            "for by training: {warmup_epochs: ...}"
            for (recipe, length), networks in short.items()
        ]

    @cached_property
    def source_spec(self) -> str:
        """Specification of acquiring, with a fingerprint of the user's own images."""
        data_set = registry.load("datasets", self.params.dataset)
        fingerprint = data_set.fingerprint(self.params.data.model_dump())
        return specs.specification(packed_formats.source_spec(self.params, fingerprint))

    def check_pictures(self) -> None:
        """Refuses pictures that are not there, unless they were acquired before.

        Raises:
            ValueError: `data.path` names nothing.
        """
        path = self.params.data.path
        if path and not Path(path).exists() and not Path(self.raw, "source.json").exists():
            raise ValueError(f"data: path: {path} is not there (seen from {Path.cwd()}); no folder, archive or table")

    @property
    def archives(self) -> list[str]:
        """Archives that acquiring leaves in the raw folder."""
        return [f"{self.raw}/{name}" for name in registry.load("datasets", self.params.dataset).CARD.archives]

    @cached_property
    def training_priorities(self) -> dict[str, int]:
        """Priority by run, 1 for the shortest training: the longest begins first, so that it does not end alone."""

        def length(name: str) -> float:
            spec = self.trained[name].spec
            assert isinstance(spec, specs.TrainSpec)
            multiply_adds = reference_counts.architectures().get(spec.architecture, {}).get("multiply_adds") or 0
            return float(multiply_adds) * (spec.recipe.epochs or spec.recipe.iterations or 0)

        return {name: place for place, name in enumerate(sorted(self.trained, key=length), 1)}

    @property
    def results_spec(self) -> str:
        """Specification of scores and report: the runs, the protocols, the swept keys and the ensembles."""
        ensembles = [ensemble.model_dump() for ensemble in self.ensembles]
        spec = {"runs": list(self.runs), "protocols": list(self.params.protocols), "swept": list(self.params.sweep)}
        return json.dumps(spec | ({"ensembles": ensembles} if ensembles else {}))

    @cached_property
    def costs(self) -> cost_specs.Plan:
        """Measurements of the networks' costs."""
        return cost_specs.plan(self.runs.values(), self.params.costs, self.label)

    @property
    def cost_table_spec(self) -> str:
        """Specification of the table and the figure of costs: the runs' files, and the protocols."""
        by_run, quantized = self.costs.by_run, self.costs.quantized
        return json.dumps({"runs": by_run, "int8": quantized, "protocols": list(self.params.protocols)})

    def cost_results(self) -> list[str]:
        """Tables and figure of costs, where any are measured."""
        names = ("tables/costs.csv", "tables/error_against_costs.csv", "figures/error_against_costs.svg")
        return [f"results/{name}" for name in names] if self.params.costs else []

    @cached_property
    def inspected(self) -> list[str]:
        """Runs that are inspected: each network's first, a sweep's first point with the first seed."""
        if self.params.inspect is None:
            return []
        first: dict[str, str] = {}
        for run in self.runs.values():
            first.setdefault(run.spec.architecture if run.is_trained_here else run.name, run.name)
        return list(first.values())

    def inspections(self) -> list[str]:
        """Files of the inspections."""
        return [f"results/inspect/{run}/inspect.json" for run in self.inspected]

    @property
    def nearest_of(self) -> int:
        """Number of training images among which the nearest are searched; 0 where no network is inspected."""
        return self.params.inspect.nearest_of if self.params.inspect else 0

    def training_images(self, run: str) -> list[str]:
        """Packed training split that a run's images are compared with: one file, none for pretrained weights."""
        return [f"{self.packed}/train.beton"] if run in self.trained else []

    @property
    def whole_spec(self) -> str:
        """Specification of the record: the whole configuration."""
        return self.params.model_dump_json(exclude_defaults=True)

    def manifests(self) -> list[str]:
        """Manifests of every packed split that the runs need."""
        train, val, test = f"{self.packed}/train", f"{self.packed}/val", f"{self.packed_for_test}/val"
        return [f"{place}.manifest.json" for place in dict.fromkeys((train, val, test))]

    def for_each_run(self, pattern: str) -> list[str]:
        """`pattern` for each run, `{run}` in it replaced by the run's name."""
        return [pattern.replace("{run}", name) for name in self.runs]

    def dependency_weights(self, run: str, role: str) -> list[str]:
        """Weights that a run needs in the `role` of `teacher` or `start`: one file or none."""
        before = getattr(self.trained[run], role)
        return [f"results/runs/{before.name}/weights.safetensors"] if before else []

    def file_of_weights(self, run: str) -> list[str]:
        """A person's file that an imported run takes its weights from: one file or none."""
        return list(filter(None, [self.imported[run].file]))

    def mean_image(self, run: str) -> list[str]:
        """Mean image of the training images, where a run subtracts it: one file or none."""
        subtracts = self.trained[run].spec.normalization == "mean_image"
        return [f"{self.packed}/train.mean_image.npy"] if subtracts else []

    def predictions(self) -> list[str]:
        """Files of predictions of every run by every protocol."""
        return [str(prediction_file.prediction_file(run, p)) for run in self.runs for p in self.params.protocols]


def read(values: Any, where: str, read_from: Iterable[str | Path] = ()) -> Pipeline:
    """Pipeline of the values of a configuration file, or of the files `read_from` that were merged to them.

    Raises:
        ValueError: a key is unknown or stands twice in a file, or a value is not allowed.
    """
    for path in read_from:
        read_yaml(path)  # names keys that Snakemake, which read the values, has overwritten
    return Pipeline(parse(Params, values, where=where))


def find_own_programs() -> None:
    """Puts this environment's programs on the jobs' path, even if nobody activated it."""
    own = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join((own, os.environ.get("PATH", os.defpath)))


def hold_the_lock() -> None:
    """Takes the folder's lock, once: one pipeline at a time runs there. The kernel releases it with this process.

    Raises:
        BlockingIOError: another one holds it; the message names its process.
    """
    if _HELD:
        return
    lock = locks.try_lock(LOCK_FILE)
    if lock is None:
        process = locks.holder(LOCK_FILE)
        raise BlockingIOError(f"another snakemake (process {process}) works in this folder; wait for it or stop it")
    _HELD.append(lock)


def one_of(names: Iterable[str]) -> str:
    """Constraint of a wildcard to one of `names`; it matches nothing where there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"
