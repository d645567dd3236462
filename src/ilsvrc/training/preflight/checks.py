"""Checks of a training's first steps on a handful of images, and what to change where a finding is not sound."""

import math
import time
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ilsvrc.config.recipe import Recipe
from ilsvrc.training import loop
from ilsvrc.training.preflight.probe import Finding, Probe
from ilsvrc.training.schedule import Schedule

BELOW, ABOVE = 1.0, 3.0  # an even loss, see `first_loss`
MIN_RATIO, MAX_RATIO = 1e-7, 10.0  # see `first_update`
STEPS, WARMUP_STEPS = 300, 10
RATES = (1.0, 0.1, 10.0)  # in units of the recipe's
OVERFIT_LOSS = 0.1  # the loss in units of an even one
WAITS = "slow, as some papers' plain networks are at first; initialization: he_normal starts at once"


class FirstStep:
    """Observations of the first step, at the rate that follows the warm-up.

    `silent` are layers that make zeros of something else, `broken` those whose activations are NaN or infinite, `norms`
    the gradients', `ratios` how far weights moved in units of their norm (matrices and filters).
    """

    def __init__(self, probe: Probe) -> None:
        training = probe.training
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
        training.schedule = Schedule("constant", probe.planned.rate, STEPS, STEPS)
        loop.train_step(training, probe.batch, 0)
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
    """True if a layer's weights are all 0, as zero_last_gamma and some papers have them."""
    weight = getattr(module, "weight", None)
    return isinstance(weight, nn.Parameter) and not bool(weight.any())


@torch.no_grad()
def moved(before: Tensor, after: Tensor) -> float:
    """The norm of a parameter's step in units of the parameter's, 0 where that was 0."""
    norm = float(before.norm())
    return float((after - before).norm()) / norm if norm else 0.0


def first_loss(probe: Probe, first: FirstStep) -> Finding:
    """Finding on the first loss: the main head's plain cross entropy, which is near ln K where no class is preferred.

    Near K ln 2 where an image has several classes, and its range is that of K sigmoids (`labels.first_loss_scale`).

    Logits of deviation s add about s^2 / 2: 1 where `he_normal` makes the classifier (s^2 = 2, of inputs whose mean
    square is 1), 2 or a little more behind a last stage of two residual blocks, whose sum doubles that. Eight images
    leave a deviation of s / 3. Up to 3 above and 1 below are therefore usual; pixels on their scale add tens.
    """
    loss, even, room = probe.loss(first.logits), probe.even_loss, probe.labels.first_loss_scale(probe.num_classes)
    deviation = float(first.logits.std(dim=1).mean())
    pixels = float(probe.training.objective.normalization(probe.batch.images).std())
    formula = probe.labels.even_loss_formula.format(probe.num_classes)
    numbers = f"{loss:.3g}, {formula} is {even:.3g}; logits deviate by {deviation:.2g}, pixels by {pixels:.2g}"
    if -BELOW * room <= loss - even <= ABOVE * room:
        return Finding("first loss", True, numbers)
    if loss < even:
        return Finding("first loss", False, f"{numbers}; the labels are known beforehand: are they the images'?")
    return Finding("first loss", False, f"{numbers}; {smaller_logits(probe.spec.recipe)}")


def smaller_logits(recipe: Recipe) -> str:
    """Advice that makes a network's first logits small, the likeliest change first."""
    if recipe.normalization in ("mean", "mean_image", "none") and recipe.initialization != "paper":
        return (
            f"initialization: {recipe.initialization} is made for a deviation of 1, and normalization: "
            f"{recipe.normalization} leaves pixels on their scale: set normalization: mean_std or initialization: paper"
        )
    if recipe.normalization in ("mean_std", "unit") and recipe.initialization == "paper":
        return "the paper's initialization may be for pixels on their scale: set initialization: he_normal"
    return "set normalization: mean_std, or another initialization"


def signal(first: FirstStep) -> Finding:
    """Finding on the signal: layers whose activations are all 0, or NaN or infinite."""
    if first.broken:
        return Finding("signal", False, f"NaN or infinite from {some(first.broken)} on; set another initialization")
    if first.silent:
        return Finding("signal", False, f"all activations are 0 at {some(first.silent)}; set another initialization")
    return Finding("signal", True, "no layer is all 0" + (", but what begins so" if first.zeros_are_meant else ""))


def gradients(probe: Probe, first: FirstStep) -> Finding:
    """Finding on the gradients: each parameter that is trained has a finite one."""
    asked = [name for name, p in probe.training.network.named_parameters() if p.requires_grad]
    without = [name for name in asked if name not in first.norms]
    broken = [name for name, norm in first.norms.items() if not math.isfinite(norm)]
    if without or broken:
        what = f"none at {some(without)}" if without else f"NaN or infinite at {some(broken)}"
        return Finding("gradients", False, f"{what}; set another initialization, or leave such layers out")
    norm = math.hypot(*first.norms.values())
    return Finding("gradients", True, f"finite in each of {len(asked)} parameters, norm {norm:.3g}")


def first_update(probe: Probe, first: FirstStep) -> Finding:
    """Finding on the first step: weights move by a part of their norm, usually 1e-3 (Karpathy et al., CS231n).

    A step below a float32's rounding (6e-8) moves nothing; one of ten times the weights leaves nothing of the
    initialisation. Between lie the papers' own: from 5e-6 in the middle (VGG, which waits for many steps) to once or
    twice the first filters before a batch norm, which undoes their length. Steps grow with the learning rate: the
    largest is judged at that of the first step, the middle one at that after the warm-up.
    """
    middle = median(first.ratios.values())
    largest, where = max((math.inf if math.isnan(ratio) else ratio, name) for name, ratio in first.ratios.items())
    largest *= probe.planned.learning_rate(0) / probe.planned.rate
    message = f"by {middle:.2g} of weights in the middle, by {largest:.2g} at most ({where})"
    if largest > MAX_RATIO:
        return Finding("first step", False, f"{message}; set a lower learning_rate, a warmup_epochs or a clip_norm")
    if middle < MIN_RATIO:
        return Finding("first step", False, f"{message}; set a higher learning_rate or another initialization")
    return Finding("first step", True, message)


def overfit(probe: Probe, start: dict[str, Tensor], until: float) -> Finding:
    """Overfits the batch with the recipe's optimizer, at its rate, a tenth of it or ten times it.

    The rate is constant, after a short warm-up where the recipe has one. The batch is overfitted when each image is
    right and the main head's cross entropy below a tenth of ln K; where an image has several classes, when each class
    is right and it is below a tenth of K ln 2.
    """
    tries: list[Try] = []
    for factor in RATES:
        now = time.perf_counter()
        share = (until - now) / (1 if factor == RATES[-1] else 2)
        probe.training.network.load_state_dict(start)
        tries.append(try_rate(probe, factor, now + share))
        if tries[-1].overfitted:
            break
    return judged(probe, tries)


class Try(NamedTuple):
    """Losses of overfitting at a rate."""

    factor: float
    steps: int
    losses: list[float]
    overfitted: bool

    @property
    def blew_up(self) -> bool:
        """True if the loss is NaN, or a thousand times the first."""
        return not self.losses[-1] <= 1000 * max(1.0, self.losses[0])

    def __str__(self) -> str:
        return f"{self.losses[0]:.3g} to {self.losses[-1]:.3g} in {self.steps} steps at {self.factor:g} of its rate"


def try_rate(probe: Probe, factor: float, until: float) -> Try:
    """Steps until the batch is overfitted, the loss blows up, STEPS are made or the time is over."""
    training, targets, losses = probe.training, probe.labels.targets(probe.batch.labels), []
    training.optimizer.state.clear()
    warmup = WARMUP_STEPS if probe.planned.warmup_steps else 0
    training.schedule = Schedule("constant", probe.planned.rate * factor, STEPS, STEPS, warmup_steps=warmup)
    kept: list[Tensor] = []
    hook = training.objective.register_forward_hook(lambda module, inputs, outputs: kept.append(outputs[1].detach()))
    for step in range(STEPS):
        loop.train_step(training, probe.batch, step)
        logits = kept.pop()
        losses.append(probe.loss(logits))
        right = float(probe.labels.wrong(logits, targets)) == 0
        overfitted = right and losses[-1] < OVERFIT_LOSS * probe.even_loss
        tried = Try(factor, step + 1, losses, overfitted)
        if overfitted or tried.blew_up or time.perf_counter() > until:
            break
    hook.remove()
    return tried


def judged(probe: Probe, tries: list[Try]) -> Finding:
    """Finding on the tries together."""
    own, last = tries[0], tries[-1]
    message = f"{len(probe.batch.labels)} images: cross entropy {'; '.join(map(str, tries))}"
    lower = f"learning_rate = {probe.planned.rate:.3g} is too high: set a lower one, a warmup_epochs or a clip_norm"
    if last.overfitted:
        return Finding("overfit", not own.blew_up, f"{message}; {lower}" if own.blew_up else message)
    if any(not each.blew_up and each.steps < STEPS for each in tries):
        return Finding("overfit", None, f"{message}; --seconds gives more time")
    if probe.spec.recipe.initialization == "paper" and not own.blew_up:
        return Finding("overfit", None, f"{message}; {WAITS}")
    change = lower if own.blew_up else "set another initialization, normalization or optimizer"
    return Finding("overfit", False, f"{message}; not overfitted: {change}")


def some(names: list[str]) -> str:
    """The first names of many."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
