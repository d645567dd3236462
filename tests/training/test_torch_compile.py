"""Compiled trainings: the same weights' names, the same draws, and what happens where nothing can be compiled."""

import pytest
import tiny
import torch
from torch import Tensor, nn

from ilsvrc.models.common.layers import Classifier, LocalResponseNorm
from ilsvrc.models.common.normalization import Normalization
from ilsvrc.runtime.batch_rng import draw_for_batch
from ilsvrc.runtime.distributed import World
from ilsvrc.training import batch_norm, checkpoint, dropout, health_checks, loop, state, torch_compile
from ilsvrc.training.loss import Objective
from ilsvrc.training.torch_compile import choose

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("asked", "device", "steps", "expected"),
    [
        ("auto", GPU, torch_compile.MIN_STEPS, "on"),
        ("auto", GPU, torch_compile.MIN_STEPS - 1, "off"),
        ("auto", CPU, 10_000_000, "off"),
        ("on", CPU, 1, "on"),
        ("off", GPU, 10_000_000, "off"),
        ("True", CPU, 1, "on"),
        ("False", GPU, 10_000_000, "off"),
    ],
)
def test_auto_is_a_rule_on_device_and_length(asked, device, steps, expected):
    assert choose(asked, device, steps) == expected


def test_other_words_are_refused():
    with pytest.raises(ValueError, match=r"compile = 'yes'; it can be auto, on, off \(profile\)"):
        choose("yes", CPU, 1)


class Rich(Classifier):
    """What papers' networks have: response normalisation, dropouts of one input, batch norm, an auxiliary head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lrn, self.norm = nn.Conv2d(3, 8, 3), LocalResponseNorm(), nn.BatchNorm2d(8)
        self.dropout, self.other_dropout = nn.Dropout(0.5), nn.Dropout(0.5)
        self.head, self.auxiliary = nn.Linear(8, tiny.CLASSES), nn.Linear(8, tiny.CLASSES)

    def outputs(self, images: Tensor) -> list[tuple[float, Tensor]]:
        features = self.norm(self.lrn(self.conv(images)).relu()).mean((2, 3))
        return [(1.0, self.head(self.dropout(features))), (0.3, self.auxiliary(self.other_dropout(features)))]

    def forward(self, images: Tensor) -> Tensor:
        return self.outputs(images)[0][1]


def rich(not_compiled=None, parts: int = 1, frozen: bool = False) -> state.Training:
    torch.manual_seed(0)
    training = tiny.training(rate=0.5, micro_batches=parts)
    network = Rich()
    batch_norm.group_statistics(network, 2, tiny.BATCH, World(), parts)
    dropout.draw_for_whole_batch(network)
    for parameter in network.conv.parameters() if frozen else ():
        parameter.requires_grad_(False)
    changes = {
        "network": network, "objective": Objective(network, Normalization([128.0] * 3, [64.0] * 3), 0.1),
        "optimizer": torch.optim.SGD(network.parameters(), lr=1.0, momentum=0.9), "not_compiled": not_compiled,
        "frozen": [network.norm] if frozen else [],
    }  # fmt: skip
    return state.Training(**{k: v for k, v in vars(training).items() if k != "distributed"} | changes)


def stepped(training: state.Training, sides=(6, 6, 6)) -> dict[str, Tensor]:
    """The weights after a step at each of the sizes."""
    loop.in_training_mode(training)
    for step, side in enumerate(sides):
        noise = torch.Generator().manual_seed(step)
        images = torch.randint(256, (tiny.BATCH, side, side, 3), dtype=torch.uint8, generator=noise)
        loop.train_step(training, tiny.Batch(images, torch.arange(tiny.BATCH) % tiny.CLASSES), step)
    return training.network.state_dict()


@pytest.fixture
def without_code(monkeypatch):
    """Programs are traced as ever, and run by torch: seconds of g++ less."""
    monkeypatch.setattr(torch_compile, "COMPILER", {"backend": "aot_eager"})


@pytest.mark.parametrize("how", [{}, {"parts": 2}, {"frozen": True}], ids=["whole", "in parts", "frozen"])
def test_a_compiled_training_draws_and_learns_what_a_plain_one_does(how, without_code):
    said = []
    found, expected = stepped(rich(said.append, **how)), stepped(rich(**how))
    assert not said
    assert list(found) == list(expected)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_pictures_of_another_size_are_another_program(without_code):
    training = rich(pytest.fail)
    found = stepped(training, (6, 6, 8, 8))
    assert [shapes[0][0][1] for shapes in sorted(training.distributed.tried, key=str)] == [6, 8]
    expected = stepped(rich(), (6, 6, 8, 8))
    torch.testing.assert_close(found["conv.weight"], expected["conv.weight"], rtol=1e-4, atol=1e-6)


class Drawing(Rich):
    """Its layers differ from step to step."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * (2.0 if draw_for_batch() < 0.5 else 1.0)

    def outputs(self, images: Tensor) -> list[tuple[float, Tensor]]:
        return [(1.0, super().outputs(images)[0][1] * (2.0 if draw_for_batch() < 0.5 else 1.0))]


def test_what_is_no_one_program_is_trained_as_it_is_and_this_is_said_once(without_code):
    def drawing(not_compiled=None) -> state.Training:
        training = rich(not_compiled)
        training.network.__class__ = Drawing
        return training

    said = []
    found, expected = stepped(drawing(said.append), (6, 6, 8)), stepped(drawing(), (6, 6, 8))
    assert len(said) == 1 and "\n" not in said[0]
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_without_a_compiler_training_goes_on_and_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    said = []
    with torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",)}):
        found, expected = stepped(rich(said.append)), stepped(rich())
    assert len(said) == 1 and said[0]
    assert all(torch.equal(found[name], expected[name]) for name in expected)


class StoppedError(Exception):
    """In the middle."""


def test_a_compiled_training_that_was_stopped_goes_on_to_the_same_bits(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    monkeypatch.setattr(health_checks, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(health_checks, "MAX_STEPS_BETWEEN_CHECKS", 1)
    whole, saves = tiny.training(not_compiled=pytest.fail), []
    loop.train(whole, tiny.Batches(), tiny.validation, state.Progress(), tiny.Listener())
    assert whole.distributed.tried
    training = tiny.training(not_compiled=pytest.fail)

    def save_and_stop(progress: state.Progress) -> None:
        checkpoint.save(tmp_path, training, progress, identity={})
        saves.append(progress.step)
        if len(saves) == 6:  # inside the second epoch
            raise StoppedError

    with pytest.raises(StoppedError):
        loop.train(training, tiny.Batches(), tiny.validation, state.Progress(), tiny.Listener(save_and_stop))
    assert saves[-1] == 2
    again = tiny.training(not_compiled=pytest.fail)
    progress = checkpoint.restore(checkpoint.load(tmp_path, {})[0], again)
    loop.train(again, tiny.Batches(), tiny.validation, progress, tiny.Listener())
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name
