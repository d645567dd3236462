"""Whether params.yaml's recipes can start, in half a minute for each network, on a handful of training pictures.

Needs the packed files (`snakemake --cores all data`); writes nothing. Each network is made and started as its first
run would, but in float32 (which a CPU has too), in one small batch, without teacher and weights to start from, and
without what is drawn: augmentation, mixing, dropout. Exits with 1 where something is to be changed.
"""

import argparse
import math
import os
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ilsvrc import config, hardware, pipeline, results, runs
from ilsvrc.loading import batches, packed
from ilsvrc.recipe import Recipe
from ilsvrc.stages import _beforehand, _recipe, _stage
from ilsvrc.training import batch_norm, distributed, loop
from ilsvrc.training.ahead import ahead
from ilsvrc.training.distributed import World
from ilsvrc.training.loop import Training
from ilsvrc.training.schedule import Schedule
from ilsvrc.views import View

PICTURES = 16
BELOW, ABOVE = 1.0, 3.0  # ln K, see `first_loss`
LEAST_RATIO, MOST_RATIO = 1e-7, 1.0  # see `first_update`
STEPS, WARMUP_STEPS = 200, 10
RATES = (1.0, 0.1, 10.0)  # in units of the recipe's
BY_HEART = 0.1  # cross entropy in units of ln K
STILL = {"dropout": 0.0, "drop_path": 0.0, "label_smoothing": 0.0, "precision": "float32"}


class Finding(NamedTuple):
    """What a check says; `fits` is None where the time was too short to tell."""

    check: str
    fits: bool | None
    said: str


class Look(NamedTuple):
    """A training and the one batch that it is looked at with."""

    spec: runs.TrainSpec
    training: Training
    batch: batches.Batch
    planned: Schedule  # the recipe's own


def main(given: argparse.Namespace) -> None:
    """Checks and prints; fails where a finding does."""
    flow = pipeline.Pipeline(config.load(given.params))
    beton = _beforehand.packed_train(flow)
    wrong = []
    with distributed.joined(given.gpus) as world:
        for spec in _beforehand.first_runs(flow, given.architectures):
            for check, fits, said in findings(beton, spec, world, given):
                print(f"{spec.architecture:<23} {check:<14}{verdict(fits)}: {said}", flush=True)
                wrong += [] if fits is not False else [f"{spec.architecture} ({check})"]
    if wrong:
        raise ValueError(f"{len(wrong)} to change, by training: {{...}} in params.yaml: {', '.join(wrong)}")


def verdict(fits: bool | None) -> str:
    """One word or two."""
    return "undecided" if fits is None else "ok" if fits else "to change"


def findings(beton: Path, spec: runs.TrainSpec, world: World, given: argparse.Namespace) -> Iterator[Finding]:
    """One after the other, within `given.seconds` but for the step that is being made."""
    until = time.perf_counter() + given.seconds
    manifest = results.read_json(beton.with_suffix(".manifest.json"))
    try:
        planned, said = plan(beton, spec, manifest, given)
        look = prepared(beton, spec, manifest, world, given, planned)
        yield Finding("start", True, said)
        start = {name: value.clone() for name, value in look.training.network.state_dict().items()}
        seen = Seen(look)
    except ValueError as error:
        yield Finding("start", False, str(error))
        return
    yield first_loss(look, seen)
    yield signal(seen)
    yield gradients(look, seen)
    yield first_update(look, seen)
    yield by_heart(look, start, until)


def plan(beton: Path, spec: runs.TrainSpec, manifest: results.Info, given: argparse.Namespace) -> tuple[Schedule, str]:
    """The recipe's schedule, and its batches in words.

    Raises:
        ValueError: they do not fit the data or each other.
    """
    recipe = spec.recipe
    with torch.device("meta"):
        _recipe.build(spec, 2)  # refuses rates that the network has not, which are 0 from here on
    opened = batches.open_training(
        given.loader, beton, look=_recipe.look_of(spec, manifest), batch_size=recipe.batch_size, seed=spec.seed,
        order=recipe.order, repeats=recipe.repeats,
    )  # fmt: skip
    with closing(opened):
        batch_norm.check_groups(min(recipe.batch_norm_group or 1, recipe.batch_size), recipe.batch_size, 1)
        planned = _recipe.schedule_of(recipe, len(opened))
    end = f"{planned.epochs} epochs of {len(opened)} steps of {recipe.batch_size} pictures"
    return planned, f"{end}, {spec.crop_px} px, learning rate {planned.learning_rate(0):.3g} to {planned.rate:.3g}"


def prepared(
    beton: Path, spec: runs.TrainSpec, manifest: results.Info, world: World, given: argparse.Namespace,
    planned: Schedule,
) -> Look:  # fmt: skip
    """The training as the recipe starts it, and a batch of different classes."""
    center = View(_recipe.short_side_px(spec), spec.crop_px)
    pictures = batches.open_testing(
        given.loader, beton, views=[center], batch_size=PICTURES, subset=of_all_classes(beton)
    )
    with closing(pictures):
        shown = next(ahead(iter(pictures), world.device))
    batch = shown._replace(images=shown.images[:, 0], windows=None)
    torch.set_num_threads(given.threads)  # ffcv's import sets it to one
    small = _beforehand.alone(spec, len(batch.labels))
    group = spec.recipe.batch_norm_group
    shared = None if group is None or len(batch.labels) % group else group
    small = small.model_copy(update={"recipe": small.recipe.model_copy(update=STILL | {"batch_norm_group": shared})})
    beside = _recipe.Given(mean_image=beton.with_suffix(".mean_image.npy"))
    training = _recipe.prepare(small, manifest, 1, world, "float32", beside)
    training.look = training.mix = training.averages = None
    training.network.train()
    return Look(spec, training, batch, planned)


def of_all_classes(beton: Path) -> np.ndarray:
    """Places of PICTURES training images or all: the first of each class, then the second, and so on."""
    labels = packed.open_packed(beton).labels
    by_class = np.argsort(labels, kind="stable")
    firsts = np.searchsorted(labels[by_class], labels[by_class])
    turn = np.arange(len(labels)) - firsts
    chosen: np.ndarray = by_class[np.lexsort((labels[by_class], turn))][:PICTURES]
    return chosen


class Seen:
    """What the first step shows, at the rate that follows the warm-up.

    `silent` are layers that make zeros of something else, `broken` those whose activations are no numbers, `norms` the
    gradients', `ratios` how far weights moved in units of their norm (matrices and filters).
    """

    def __init__(self, look: Look) -> None:
        training = look.training
        network = training.network
        self.logits = torch.zeros(0)
        self.silent: list[str] = []
        self.broken: list[str] = []
        self.norms: dict[str, float] = {}
        self.zeros_are_meant = any(map(begins_at_zero, network.modules()))
        before = {name: p.detach().clone() for name, p in network.named_parameters()}
        hooks: list[Any] = [training.objective.register_forward_hook(self._keep_logits)]
        for name, module in network.named_modules():
            if not any(True for _ in module.children()):
                hooks.append(module.register_forward_hook(partial(self._see_layer, name)))
        for name, p in network.named_parameters():
            if p.requires_grad:
                hooks.append(p.register_post_accumulate_grad_hook(partial(self._see_gradient, name)))  # type: ignore[no-untyped-call]
        training.schedule = Schedule("constant", look.planned.rate, STEPS, STEPS)
        loop.train_step(training, look.batch, 0)
        for hook in hooks:
            hook.remove()
        self.ratios = {name: moved(before[name], p) for name, p in network.named_parameters() if p.dim() > 1}

    def _keep_logits(self, module: nn.Module, inputs: Any, outputs: Any) -> None:
        self.logits = outputs[1].detach()

    def _see_layer(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            return
        if not bool(output.detach().isfinite().all()):
            self.broken.append(name)
        elif not bool(output.any()):
            came = bool(inputs[0].any())
            if not begins_at_zero(module) and (came or not self.zeros_are_meant):
                self.silent.append(name)

    def _see_gradient(self, name: str, p: Tensor) -> None:
        assert p.grad is not None
        self.norms[name] = float(p.grad.norm())


def begins_at_zero(module: nn.Module) -> bool:
    """A layer whose weights are all 0, as zero_last_gamma and some papers have them."""
    weight = getattr(module, "weight", None)
    return isinstance(weight, nn.Parameter) and not bool(weight.any())


@torch.no_grad()
def moved(before: Tensor, after: Tensor) -> float:
    """The norm of a parameter's step in units of the parameter's, 0 where that was 0."""
    norm = float(before.norm())
    return float((after - before).norm()) / norm if norm else 0.0


def first_loss(look: Look, seen: Seen) -> Finding:
    """The main head's plain cross entropy, which is near ln K where no class is preferred.

    Logits of deviation s add about s^2 / 2: 1 where `he_normal` makes the classifier (s^2 = 2, of inputs whose mean
    square is 1), 2 or a little more behind a last stage of two residual blocks, whose sum doubles that. PICTURES
    pictures leave a deviation of s / 4. Up to 3 above and 1 below are therefore usual; pixels on their scale add tens.
    """
    classes = seen.logits.shape[1]
    loss, even = float(F.cross_entropy(seen.logits, look.batch.labels)), math.log(classes)
    deviation = float(seen.logits.std(dim=1).mean())
    pixels = float(look.training.objective.normalization(look.batch.images).std())
    numbers = f"{loss:.3g}, ln {classes} is {even:.3g}; logits deviate by {deviation:.2g}, pixels by {pixels:.2g}"
    if -BELOW <= loss - even <= ABOVE:
        return Finding("first loss", True, numbers)
    if loss < even:
        return Finding("first loss", False, f"{numbers}; the labels are known beforehand: are they the pictures'?")
    return Finding("first loss", False, f"{numbers}; {smaller_logits(look.spec.recipe)}")


def smaller_logits(recipe: Recipe) -> str:
    """What makes a network's first logits small, the likeliest first."""
    if recipe.normalization in ("mean", "mean_image", "none") and recipe.initialization != "paper":
        return (
            f"initialization: {recipe.initialization} is made for a deviation of 1, and normalization: "
            f"{recipe.normalization} leaves pixels on their scale: set normalization: mean_std or initialization: paper"
        )
    if recipe.normalization in ("mean_std", "unit") and recipe.initialization == "paper":
        return "the paper's initialization may be for pixels on their scale: set initialization: he_normal"
    return "set normalization: mean_std, or another initialization"


def signal(seen: Seen) -> Finding:
    """No layer's activations are all 0, or no numbers."""
    if seen.broken:
        return Finding("signal", False, f"no numbers from {some(seen.broken)} on; set another initialization")
    if seen.silent:
        return Finding("signal", False, f"all activations are 0 at {some(seen.silent)}; set another initialization")
    return Finding("signal", True, "no layer is all 0" + (", but what begins so" if seen.zeros_are_meant else ""))


def gradients(look: Look, seen: Seen) -> Finding:
    """Each parameter that is trained has one, of numbers."""
    asked = [name for name, p in look.training.network.named_parameters() if p.requires_grad]
    without = [name for name in asked if name not in seen.norms]
    broken = [name for name, norm in seen.norms.items() if not math.isfinite(norm)]
    if without or broken:
        what = f"none at {some(without)}" if without else f"no numbers at {some(broken)}"
        return Finding("gradients", False, f"{what}; set another initialization, or leave such layers out")
    norm = math.hypot(*seen.norms.values())
    return Finding("gradients", True, f"of numbers in each of {len(asked)} parameters, norm {norm:.3g}")


def first_update(look: Look, seen: Seen) -> Finding:
    """The first step moves weights by a part of their norm: about 1e-3 is usual (Karpathy et al., CS231n).

    A step as long as the weights leaves nothing of the initialisation; one below a float32's rounding (6e-8) moves
    nothing. Between are the papers' own, from 1e-6 (AlexNet, which waits for many steps) to a third. Steps grow with
    the learning rate: the largest is judged at that of the first step, the middle one at that after the warm-up.
    """
    middle = median(seen.ratios.values())
    largest, where = max((math.inf if math.isnan(ratio) else ratio, name) for name, ratio in seen.ratios.items())
    largest *= look.planned.learning_rate(0) / look.planned.rate
    said = f"by {middle:.2g} of weights in the middle, by {largest:.2g} at most ({where})"
    if largest > MOST_RATIO:
        return Finding("first step", False, f"{said}; set a lower learning_rate, a warmup_epochs or a clip_norm")
    if middle < LEAST_RATIO:
        return Finding("first step", False, f"{said}; set a higher learning_rate or another initialization")
    return Finding("first step", True, said)


def by_heart(look: Look, start: dict[str, Tensor], until: float) -> Finding:
    """The pictures are learned by heart with the recipe's optimizer, at its rate, a tenth of it or ten times it.

    The rate is constant, after a short warm-up where the recipe has one. By heart is: each picture right, and the main
    head's cross entropy below a tenth of ln K.
    """
    tries: list[Try] = []
    for factor in RATES:
        now = time.perf_counter()
        share = (until - now) / (1 if factor == RATES[-1] else 2)
        look.training.network.load_state_dict(start)
        tries.append(try_rate(look, factor, now + share))
        if tries[-1].learned:
            break
    return judged(look, tries)


class Try(NamedTuple):
    """How learning by heart went at a rate."""

    factor: float
    steps: int
    losses: list[float]
    learned: bool

    def __str__(self) -> str:
        return f"{self.losses[0]:.3g} to {self.losses[-1]:.3g} in {self.steps} steps at {self.factor:g} of its rate"


def try_rate(look: Look, factor: float, until: float) -> Try:
    """Steps until the pictures are known by heart, the loss is no number, STEPS are made or the time is over."""
    training, labels, losses = look.training, look.batch.labels, []
    training.optimizer.state.clear()
    warmup = WARMUP_STEPS if look.planned.warmup_steps else 0
    training.schedule = Schedule("constant", look.planned.rate * factor, STEPS, STEPS, warmup_steps=warmup)
    kept: list[Tensor] = []
    hook = training.objective.register_forward_hook(lambda module, inputs, outputs: kept.append(outputs[1].detach()))
    learned = False
    for step in range(STEPS):
        loop.train_step(training, look.batch, step)
        logits = kept.pop()
        losses.append(float(F.cross_entropy(logits, labels)))
        right = bool((logits.argmax(dim=1) == labels).all())
        learned = right and losses[-1] < BY_HEART * math.log(logits.shape[1])
        if learned or not math.isfinite(losses[-1]) or time.perf_counter() > until:
            break
    hook.remove()
    return Try(factor, len(losses), losses, learned)


def judged(look: Look, tries: list[Try]) -> Finding:
    """What the tries say together."""
    own, last = tries[0], tries[-1]
    fell = not math.isfinite(own.losses[-1])
    said = f"{len(look.batch.labels)} pictures: cross entropy {'; '.join(map(str, tries))}"
    lower = f"learning_rate = {look.planned.rate:.3g} is too high: set a lower one, a warmup_epochs or a clip_norm"
    if last.learned:
        return Finding("by heart", not fell, f"{said}; {lower}" if fell else said)
    if any(math.isfinite(each.losses[-1]) and each.steps < STEPS for each in tries):
        return Finding("by heart", None, f"{said}; --seconds gives more time")
    change = lower if fell else "set another initialization, normalization or optimizer"
    return Finding("by heart", False, f"{said}; not learned: {change}")


def some(names: list[str]) -> str:
    """The first names of many."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def arguments() -> argparse.ArgumentParser:
    """The stage's arguments."""
    parser = _stage.parser(__doc__)
    parser.add_argument("architectures", nargs="*", help="those of params.yaml where none is named")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--seconds", type=float, default=30.0, help="for each architecture")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="on a CPU")
    parser.add_argument("--gpus", type=int, choices=(0, 1), default=min(1, hardware.num_gpus()))
    parser.add_argument("--loader", default="ffcv", help="ffcv or pillow")
    return parser


if __name__ == "__main__":
    _stage.run(main, arguments())
