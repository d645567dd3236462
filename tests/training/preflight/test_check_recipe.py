"""The stage that says whether a recipe can start, on a few digits."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_training
import torch
import yaml
from commands import run_verb
from torch import Tensor, nn

from ilsvrc.config import packed_formats, params
from ilsvrc.loading.batches import Batch
from ilsvrc.models.common.layers import Classifier
from ilsvrc.models.common.normalization import Normalization
from ilsvrc.packing.beton import open_packed
from ilsvrc.pipeline import wiring
from ilsvrc.runtime.distributed import World
from ilsvrc.runtime.precision import autocast
from ilsvrc.training.labels import MultiLabel
from ilsvrc.training.loss import Objective
from ilsvrc.training.optimizer import make_optimizer
from ilsvrc.training.preflight import checks, setup
from ilsvrc.training.preflight.checks import FirstStep, Try
from ilsvrc.training.preflight.probe import Finding, Probe
from ilsvrc.training.schedule import Schedule
from ilsvrc.training.state import Training

QUICK = {"batch_size": 16, "crop_px": 32, "batch_norm_group": 16}
CHECKS = ["start", "first loss", "signal", "gradients", "first step", "overfit"]


class Chain(Classifier):
    """Linear, ReLU, linear on the red of 2 x 2 pixels."""

    def __init__(self, bias: float = 0.0) -> None:
        super().__init__()
        self.hidden, self.relu, self.head = nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4)
        nn.init.constant_(self.hidden.bias, bias)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.relu(self.hidden(images[:, 0].flatten(1))))


def probe(network: Classifier, rate: float = 0.1, **changes: Any) -> Probe:
    """Four images of four classes."""
    images = torch.randint(256, (4, 2, 2, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    planned = Schedule("constant", rate, 100, 10, **changes)
    training = Training(
        network=network, objective=Objective(network, Normalization([128.0] * 3, [64.0] * 3)),
        optimizer=make_optimizer(network, "sgd", momentum=0.9, weight_decay=0.0, decay="all"), schedule=planned,
        batch_size=4, seed=0, world=World(), autocast=autocast("float32", torch.device("cpu")),
    )  # fmt: skip
    spec = small_training.run(initialization="he_normal").spec
    return Probe(spec, training, Batch(images, torch.arange(4), torch.arange(4)), planned, num_classes=4)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packed digits at the place where params.yaml has them."""
    folder = tmp_path_factory.mktemp("digits")
    flow = wiring.Pipeline(params.load(write(folder, "resnet18")))
    (folder / flow.packed).mkdir(parents=True)
    small_training.pack_digits(folder / flow.packed, packed_formats.form_spec(flow.params))
    return folder


def write(folder: Path, architecture: str, **training: Any) -> Path:
    book = {"dataset": "digits", "architectures": [architecture], "recipe": "quick", "protocols": ["single_crop"]}
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(book | {"training": QUICK | training}))
    return path


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, architecture: str = "resnet18", **training: Any) -> None:
    write(folder, architecture, **training)
    monkeypatch.chdir(folder)
    words = ["--loader", "pillow", "--threads", "1", "--gpus", "0", "--seconds", "60"]
    run_verb("check", *words)


def verdicts(text: str) -> dict[str, str]:
    """Check -> its verdict."""
    lines = [line[24:].split(":")[0] for line in text.splitlines()]
    return {line[:14].strip(): line[14:] for line in lines}


def test_a_sound_recipe_passes_every_check(digits, monkeypatch, capsys):
    run(digits, monkeypatch)
    assert verdicts(capsys.readouterr().out) == dict.fromkeys(CHECKS, "ok")


def test_pixels_on_their_scale_under_an_initialization_for_a_deviation_of_one_are_named(digits, monkeypatch, capsys):
    monkeypatch.setattr(checks, "STEPS", 11)
    with pytest.raises(ValueError, match=r"to change.*alexnet \(first loss\)"):
        run(digits, monkeypatch, "alexnet", crop_px=67, normalization="none")
    out = capsys.readouterr().out
    assert verdicts(out)["first loss"] == "to change"
    assert "normalization: none leaves pixels on their scale: set normalization: mean_std" in out


def test_a_rate_that_is_too_high_is_named(digits, monkeypatch, capsys):
    with pytest.raises(ValueError, match=r"resnet18 \(first step\)"):
        run(digits, monkeypatch, learning_rate=1e6, warmup_epochs=0)
    out = capsys.readouterr().out
    assert verdicts(out)["first step"] == "to change"
    assert "set a lower learning_rate" in out


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"batch_size": 1000}, "batch_size = 1000 must lie between"),
        ({"batch_size": 16, "batch_norm_group": 5}, "not a multiple of batch_norm_group = 5"),
        ({"dropout": 0.3}, "resnet18 has no dropout"),
        ({"crop_px": 8, "short_side_px": [8, 8]}, "takes images of 32 px or more"),
        ({"warmup_epochs": 0, "warmup_iterations": 10000}, "a warm-up of 10000 steps leaves none"),
    ],
)
def test_what_cannot_start_is_said_in_one_line(digits, monkeypatch, capsys, training: dict[str, Any], said: str):
    with pytest.raises(ValueError, match=r"1 to change.*resnet18 \(start\)"):
        run(digits, monkeypatch, **training)
    out = capsys.readouterr().out
    assert verdicts(out) == {"start": "to change"}
    assert said in out


def test_the_images_are_the_first_of_each_class_and_then_the_second_ones(digits, monkeypatch):
    monkeypatch.setattr(setup, "NUM_IMAGES", 16)
    beton = next(digits.rglob("train.beton"))
    labels, chosen = open_packed(beton).labels, setup.indices_of_all_classes(beton)
    assert labels[chosen].tolist() == [*range(10), *range(6)]
    assert chosen.tolist() == [int(np.flatnonzero(labels == i % 10)[i // 10]) for i in range(16)]


def test_a_layer_whose_activations_are_all_zero_is_named():
    first = FirstStep(probe(Chain(bias=-1e6)))
    assert first.silent == ["relu"]
    found = checks.signal(first)
    assert found.fits is False
    assert "all activations are 0 at relu" in found.message


def test_layers_that_begin_at_zero_are_no_dead_ones():
    network = Chain()
    nn.init.zeros_(network.head.weight)
    nn.init.zeros_(network.head.bias)
    first = FirstStep(probe(network))
    assert first.silent == []
    assert checks.signal(first).fits


def test_activations_and_gradients_that_are_nan_or_infinite_are_named():
    probed = probe(Chain(bias=float("inf")))
    first = FirstStep(probed)
    assert first.broken[0] == "hidden"
    assert checks.signal(first).fits is False
    assert checks.gradients(probed, first).fits is False


def test_a_parameter_without_gradient_is_named():
    network = Chain()
    network.unused = nn.Linear(2, 2)
    probed = probe(network)
    found = checks.gradients(probed, FirstStep(probed))
    assert found.fits is False
    assert "none at unused.weight, unused.bias" in found.message


def test_a_step_is_measured_in_units_of_the_weights():
    probed = probe(Chain(), rate=0.25)
    before = probed.training.network.head.weight.detach().clone()
    first = FirstStep(probed)
    step = (probed.training.network.head.weight.detach() - before).flatten().tolist()
    by_hand = sum(x * x for x in step) ** 0.5 / sum(x * x for x in before.flatten().tolist()) ** 0.5
    assert first.ratios["head.weight"] == pytest.approx(by_hand, rel=1e-5)
    assert set(first.ratios) == {"hidden.weight", "head.weight"}
    assert by_hand > 0


@pytest.mark.parametrize(
    ("ratios", "warmup_steps", "fits"),
    [
        ([1e-3, 2e-3, 1e-2], 0, True),
        ([1e-3, 2e-3, 15.0], 0, False),
        ([1e-3, 2e-3, 15.0], 2, True),  # half the rate at first
        ([0.0, 1e-9, 1e-2], 0, False),
        ([1e-3, 2e-3, float("nan")], 0, False),
    ],
)
def test_steps_longer_than_the_weights_or_below_rounding_are_refused(
    ratios: list[float], warmup_steps: int, fits: bool
):
    probed = probe(Chain(), warmup_steps=warmup_steps)
    first = FirstStep(probed)
    first.ratios = dict(zip("abc", ratios, strict=True))
    assert checks.first_update(probed, first).fits is fits


@pytest.mark.parametrize(
    ("scale", "fits"),
    # one class right, three wrong by 4 x scale: ln 4 is 1.386
    [(0.0, True), (0.5, True), (2.0, False), (-2.0, False)],
)
def test_the_first_loss_is_judged_by_its_distance_from_ln_k(scale: float, fits: bool):
    probed = probe(Chain())
    first = FirstStep(probed)
    first.logits = -4 * scale * torch.eye(4)
    loss = float(np.log(np.exp(-4 * scale) + 3) + 4 * scale)
    found = checks.first_loss(probed, first)
    assert found.fits is fits
    assert found.message.startswith(f"{loss:.3g}, ln 4 is 1.39")


def test_four_images_are_overfitted_and_the_weights_begin_anew_at_each_rate():
    torch.manual_seed(0)
    probed = probe(Chain())
    start = {name: value.clone() for name, value in probed.training.network.state_dict().items()}
    found = checks.overfit(probed, start, until=float("inf"))
    assert found.fits
    probed.training.network.load_state_dict(start)
    first = checks.try_rate(probed, 1.0, float("inf"))
    probed.training.network.load_state_dict(start)
    again = checks.try_rate(probed, 1.0, float("inf"))
    assert first == again
    assert first.overfitted
    assert 1 < first.steps < checks.STEPS
    assert first.losses[-1] < 0.1 * np.log(4) < first.losses[0]


def test_the_time_ends_a_try():
    assert checks.try_rate(probe(Chain()), 1e-9, until=0.0).steps == 1


BAD = Try(1.0, 3, [2.3, float("nan")], overfitted=False)
GOOD = Try(0.1, 9, [2.3, 0.1], overfitted=True)
WHOLE = Try(1.0, checks.STEPS, [2.3, 2.2], overfitted=False)
STILL = WHOLE._replace(losses=[1.4, 1.39])
SHORT = Try(1.0, 5, [2.3, 2.2], overfitted=False)


@pytest.mark.parametrize(
    ("tries", "fits", "said"),
    [
        ([GOOD._replace(factor=1.0)], True, "2.3 to 0.1 in 9 steps at 1 of its rate"),
        ([WHOLE, GOOD], True, "at 0.1 of its rate"),
        ([BAD, GOOD], False, "learning_rate = 0.1 is too high"),
        ([BAD._replace(losses=[2.3, 5e14]), GOOD], False, "learning_rate = 0.1 is too high"),
        ([WHOLE, WHOLE, WHOLE], False, "not overfitted: set another initialization"),
        ([STILL, STILL, BAD], False, "not overfitted: set another initialization"),
        ([BAD, BAD, BAD], False, "not overfitted: learning_rate = 0.1 is too high"),
        ([WHOLE, SHORT, SHORT], None, "--seconds gives more time"),
        ([BAD, SHORT, BAD], None, "--seconds gives more time"),
    ],
)
def test_tries_at_three_rates_are_judged_together(tries: list[Try], fits: bool | None, said: str):
    found = checks.judged(probe(Chain()), tries)
    assert found.fits is fits
    assert said in found.message


def test_an_undecided_check_is_no_failure(digits, monkeypatch, capsys):
    monkeypatch.setattr(checks, "overfit", lambda *_: Finding("overfit", None, "too slow"))
    run(digits, monkeypatch)
    assert verdicts(capsys.readouterr().out)["overfit"] == "undecided"


def test_a_papers_initialization_may_be_slow_but_not_blow_up():
    probed = probe(Chain())
    recipe = probed.spec.recipe.model_copy(update={"initialization": "paper"})
    probed = probed._replace(spec=probed.spec.model_copy(update={"recipe": recipe}))
    assert checks.judged(probed, [STILL, STILL, BAD]).fits is None
    assert checks.judged(probed, [BAD, STILL, STILL]).fits is False


def test_several_classes_an_image_begin_near_k_times_ln_2_and_are_overfitted():
    torch.manual_seed(0)
    network = Chain()
    probed = probe(network)
    probed.training.objective.labels = MultiLabel([[0, 1], [1, 2, 3], [], [3]], 4)
    start = {name: value.clone() for name, value in network.state_dict().items()}
    found = checks.first_loss(probed, FirstStep(probed))
    assert found.fits and "4 ln 2 is 2.77" in found.message
    network.load_state_dict(start)
    tried = checks.try_rate(probed, 1.0, math.inf)
    assert tried.overfitted and tried.losses[-1] < 0.277
    with torch.no_grad():
        logits = network(probed.training.objective.normalization(probed.batch.images))
    assert torch.equal(logits > 0, probed.labels.targets(probed.batch.labels).bool())


def test_logits_that_are_too_large_for_sigmoids_are_named():
    probed = probe(Chain())
    probed.training.objective.labels = MultiLabel([[0, 1], [1, 2, 3], [], [3]], 4)
    first = FirstStep(probed)
    first.logits = 20 * torch.ones(4, 4)
    found = checks.first_loss(probed, first)
    assert found.fits is False and found.message.startswith("50, 4 ln 2 is 2.77")  # ten of sixteen answers cost 20
