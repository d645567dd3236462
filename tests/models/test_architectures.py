"""The contract that every architecture keeps: a new builder is held to it as soon as it is there."""

import inspect
from functools import cache

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ilsvrc import complexity, plugins, reference

NAMES = plugins.names("models")


@cache
def weightless(name, **options):
    """The network at its paper's input, on the meta device."""
    with torch.device("meta"):
        return plugins.architecture(name)(**options)


@pytest.fixture(scope="module", params=NAMES)
def trained(request):
    """(network for 10 classes at 80 px in training mode, its outputs on 4 pictures), after a backward pass."""
    torch.manual_seed(0)
    network = plugins.architecture(request.param)(num_classes=10, input_px=80)
    network.initialize_as_paper()
    outputs = network.outputs(torch.randn(4, 3, 80, 80))
    labels = torch.tensor([0, 3, 3, 9])
    sum(weight * nn.functional.cross_entropy(logits, labels) for weight, logits in outputs).backward()
    return network, outputs


@pytest.mark.parametrize("name", NAMES)
def test_every_architecture_has_a_row_in_the_reference_table(name):
    assert name in reference.architectures()


@pytest.mark.parametrize("name", NAMES)
def test_the_builder_defaults_to_a_thousand_classes_and_the_papers_input(name):
    defaults = {key: p.default for key, p in inspect.signature(plugins.architecture(name)).parameters.items()}
    assert defaults["num_classes"] == 1000
    assert defaults["input_px"] == reference.input_px(name)


@pytest.mark.parametrize("name", NAMES)
def test_two_pictures_of_the_papers_size_give_two_rows_of_logits(name):
    side = reference.input_px(name)
    assert weightless(name).eval()(torch.empty(2, 3, side, side, device="meta")).shape == (2, 1000)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_exactly_the_reference_tables(name):
    row, counts = reference.architectures()[name], complexity.count(weightless(name), reference.input_px(name))
    assert counts.parameters == int(row["parameters"])
    assert counts.parameters_with_auxiliary_heads == int(row["parameters_with_auxiliary_heads"])


@pytest.mark.parametrize("name", NAMES)
def test_multiply_adds_are_the_reference_tables_and_within_a_hundredth_of_the_published(name):
    row, counts = reference.architectures()[name], complexity.count(weightless(name), reference.input_px(name))
    assert counts.multiply_adds == int(row["multiply_adds"])
    assert counts.multiply_adds == pytest.approx(int(row["published_multiply_adds"]), rel=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_multiply_adds_agree_with_torchs_count_of_every_operation(name):
    side = reference.input_px(name)
    with FlopCounterMode(display=False) as counter:
        weightless(name).eval()(torch.empty(1, 3, side, side, device="meta"))
    assert 2 * complexity.count(weightless(name), side).multiply_adds == counter.get_total_flops()


def test_ten_classes_at_80_px_give_finite_logits_in_every_head(trained):
    _, outputs = trained
    assert all(logits.shape == (4, 10) and logits.isfinite().all() for _, logits in outputs)
    assert outputs[0][0] == 1.0


def test_every_parameter_gets_a_finite_gradient_that_is_not_zero(trained):
    network, _ = trained
    missing = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    silent = [name for name, p in network.named_parameters() if p.grad is not None and not p.grad.any()]
    assert (missing, silent) == ([], [])


def test_a_test_time_network_gives_the_same_logits_twice(trained):
    network, _ = trained
    network.eval()
    with torch.no_grad():
        images = torch.randn(2, 3, 80, 80)
        assert torch.equal(network(images), network(images))
    network.train()


def test_only_auxiliary_heads_stand_beside_the_layers_that_work_at_test(trained):
    network, outputs = trained
    counts = complexity.count(network, 80)
    assert sum(layer.parameters for layer in complexity.layers(network, 80)) == counts.parameters
    assert (counts.parameters < counts.parameters_with_auxiliary_heads) == (len(outputs) > 1)


def test_the_papers_initialisation_sets_every_parameter_from_torchs_generator(trained):
    network, _ = trained
    drawn = []
    for fill in (0.0, float("nan")):
        for parameter in network.parameters():
            nn.init.constant_(parameter, fill)
        torch.manual_seed(1)
        network.initialize_as_paper()
        drawn.append([parameter.detach().clone() for parameter in network.parameters()])
    assert all(torch.equal(first, second) for first, second in zip(*drawn, strict=True))


@pytest.mark.parametrize(
    "name", [n for n in NAMES if "dropout" in inspect.signature(plugins.architecture(n)).parameters]
)
def test_dropout_of_zero_makes_training_deterministic(name):
    torch.manual_seed(0)
    network = plugins.architecture(name)(num_classes=5, input_px=80, dropout=0.0).train()
    images = torch.randn(2, 3, 80, 80)
    with torch.no_grad():
        first, second = network.outputs(images), network.outputs(images)
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(first, second, strict=True))


@pytest.mark.parametrize(
    "name", [n for n in NAMES if "dropout" in inspect.signature(plugins.architecture(n)).parameters]
)
def test_dropout_replaces_every_rate_of_the_network(name):
    rates = {m.p for m in weightless(name, dropout=0.25).modules() if isinstance(m, nn.Dropout)}
    assert rates == {0.25}


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_too_small_is_refused_with_the_smallest_size(name):
    with pytest.raises(ValueError, match=r"takes pictures of (\d+) px or more, not 20.*crop_px") as error:
        weightless(name, input_px=20)
    smallest = int(str(error.value).split(" of ")[1].split()[0])
    assert smallest <= 80
    network = weightless(name, input_px=smallest)
    outputs = network.outputs(torch.empty(2, 3, smallest, smallest, device="meta"))
    assert all(logits.shape == (2, 1000) for _, logits in outputs)
