"""Whether params.yaml's recipes can start, in half a minute for each network, on a handful of training pictures.

Needs the packed files (`snakemake --cores all data`); writes nothing. Each network is made and started as its first
run would, but in float32 (which a CPU has too), in one small batch, without teacher and weights to start from, and
without what is drawn: augmentation, mixing, dropout. Exits with 1 where something is to be changed.
"""

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from ilsvrc.config import params, specs
from ilsvrc.loading import batches
from ilsvrc.loading.views import View
from ilsvrc.packing.beton import open_packed
from ilsvrc.pipeline import first_runs, wiring
from ilsvrc.runtime import distributed, entry_point, files, hardware
from ilsvrc.runtime.distributed import World
from ilsvrc.training import batch_norm, build, data, inputs
from ilsvrc.training.prefetch import ahead
from ilsvrc.training.preflight import checks, setup
from ilsvrc.training.preflight.checks import Finding, Look, Seen
from ilsvrc.training.schedule import Schedule

PICTURES = 8
STILL = {"dropout": 0.0, "drop_path": 0.0, "label_smoothing": 0.0, "precision": "float32"}


def main(given: argparse.Namespace) -> None:
    """Checks and prints; fails where a finding does."""
    flow = wiring.Pipeline(params.load(given.params))
    beton = first_runs.packed_train(flow)
    wrong = []
    with distributed.joined(given.gpus) as world:
        for spec in first_runs.first_runs(flow, given.architectures):
            for check, fits, said in findings(beton, spec, world, given):
                print(f"{spec.architecture:<23} {check:<14}{verdict(fits)}: {said}", flush=True)
                wrong += [] if fits is not False else [f"{spec.architecture} ({check})"]
    if wrong:
        raise ValueError(f"{len(wrong)} to change, by training: {{...}} in params.yaml: {', '.join(wrong)}")


def verdict(fits: bool | None) -> str:
    """One word or two."""
    return "undecided" if fits is None else "ok" if fits else "to change"


def findings(beton: Path, spec: specs.TrainSpec, world: World, given: argparse.Namespace) -> Iterator[Finding]:
    """One after the other, within `given.seconds` but for the step that is being made."""
    until = time.perf_counter() + given.seconds
    manifest = files.read_json(beton.with_suffix(".manifest.json"))
    try:
        planned, said = plan(beton, spec, manifest, given)
        look = prepared(beton, spec, manifest, world, given, planned)
        yield Finding("start", True, said)
        start = {name: value.clone() for name, value in look.training.network.state_dict().items()}
        seen = Seen(look)
    except ValueError as error:
        yield Finding("start", False, str(error))
        return
    yield checks.first_loss(look, seen)
    yield checks.signal(seen)
    yield checks.gradients(look, seen)
    yield checks.first_update(look, seen)
    yield checks.by_heart(look, start, until)


def plan(beton: Path, spec: specs.TrainSpec, manifest: files.Info, given: argparse.Namespace) -> tuple[Schedule, str]:
    """The recipe's schedule, and its batches in words.

    Raises:
        ValueError: they do not fit the data or each other.
    """
    recipe = spec.recipe
    with torch.device("meta"):
        build.build(spec, 2)  # refuses rates that the network has not, which are 0 from here on
    opened = batches.open_training(
        given.loader, beton, look=data.loaded(spec, manifest), batch_size=recipe.batch_size, seed=spec.seed,
        order=recipe.order, repeats=recipe.repeats,
    )  # fmt: skip
    with closing(opened):
        batch_norm.check_groups(recipe.batch_norm_group, recipe.batch_size, 1)
        planned = build.schedule_of(recipe, len(opened))
    end = f"{planned.epochs} epochs of {len(opened)} steps of {recipe.batch_size} pictures"
    return planned, f"{end}, {spec.crop_px} px, learning rate {planned.learning_rate(0):.3g} to {planned.rate:.3g}"


def prepared(
    beton: Path, spec: specs.TrainSpec, manifest: files.Info, world: World, given: argparse.Namespace,
    planned: Schedule,
) -> Look:  # fmt: skip
    """The training as the recipe starts it, and a batch of different classes."""
    center = View(data.short_side_px(spec), spec.crop_px)
    pictures = batches.open_testing(
        given.loader, beton, views=[center], batch_size=PICTURES, subset=of_all_classes(beton)
    )
    with closing(pictures):
        shown = next(ahead(iter(pictures), world.device))
    batch = shown._replace(images=shown.images[:, 0], windows=None)
    torch.set_num_threads(given.threads)  # ffcv's import sets it to one
    small = setup.alone(spec, len(batch.labels))
    group = spec.recipe.batch_norm_group
    shared = group if isinstance(group, int) and len(batch.labels) % group == 0 else None
    small = small.model_copy(update={"recipe": small.recipe.model_copy(update=STILL | {"batch_norm_group": shared})})
    beside = inputs.Given(
        packed=beton, mean_image=beton.with_suffix(".mean_image.npy"), loader=given.loader, threads=given.threads
    )
    training = build.prepare(small, manifest, 1, world, "float32", beside)
    training.look = training.mix = training.averages = None
    training.network.train()
    return Look(spec, training, batch, planned, len(manifest["classes"]))


def of_all_classes(beton: Path) -> np.ndarray:
    """Places of PICTURES training images or all: the first of each class, then the second, and so on."""
    labels = open_packed(beton).labels
    by_class = np.argsort(labels, kind="stable")
    firsts = np.searchsorted(labels[by_class], labels[by_class])
    turn = np.arange(len(labels)) - firsts
    chosen: np.ndarray = by_class[np.lexsort((labels[by_class], turn))][:PICTURES]
    return chosen


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = entry_point.parser(__doc__)
    parser.add_argument("architectures", nargs="*", help="those of params.yaml where none is named")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--seconds", type=float, default=30.0, help="for each architecture")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="on a CPU")
    parser.add_argument("--gpus", type=int, choices=(0, 1), default=min(1, hardware.num_gpus()))
    parser.add_argument("--loader", default="ffcv", help="ffcv or pillow")
    return parser


if __name__ == "__main__":
    setup.with_trainings_memory()
    entry_point.run(main, arguments())
