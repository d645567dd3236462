"""The contract that every architecture keeps: a new builder is held to it as soon as it is there.

Exact counts are held for every name. Sizes, gradients, repeatability, saving, memory formats and bfloat16 are tried on
the smallest network of each file and of each class, and on all others in tests marked slow (`make test-all`). Whatever
weights do not matter for runs on the meta device; real numbers run at the least size that a network takes.
"""

import copy
import inspect
import re
from functools import cache

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ilsvrc.config import registry
from ilsvrc.models.common import flops, reference_counts
from ilsvrc.training import initialization

NAMES = registry.names("models")
TABLE = reference_counts.architectures()


def builder(name):
    """The function behind a name."""
    build = registry.architecture(name)
    return getattr(build, "func", build)


def built_class(name):
    """The class that the builder of a name says it returns."""
    returned = inspect.signature(builder(name)).return_annotation
    return getattr(inspect.getmodule(builder(name)), returned) if isinstance(returned, str) else returned


def representatives():
    """The networks with the fewest parameters of each file of `models` and of each class."""
    smallest = {}
    for name in sorted(set(NAMES) & set(TABLE), key=lambda name: (-int(TABLE[name]["parameters"]), name)):
        smallest[builder(name).__module__] = smallest[built_class(name)] = name
    return {*smallest.values(), "resnet18"}  # the smallest of its file, plain18, has no shortcuts


def slow_unless(fast):
    return [pytest.param(name, marks=() if fast(name) else pytest.mark.slow) for name in NAMES]


# A network of a thousand layers takes a minute, and its shallower relatives are the same code.
EACH = slow_unless(lambda name: not re.search(r"\d{4}", name))
ONE_OF_EACH_CLASS = slow_unless(representatives().__contains__)


@cache
def weightless(name, **options):
    """The network on the meta device, by default at its paper's input."""
    with torch.device("meta"):
        return registry.architecture(name)(**options)


@cache
def defaults(name):
    parameters = inspect.signature(registry.architecture(name)).parameters
    return {key: parameter.default for key, parameter in parameters.items()}


@cache
def counts(name):
    return flops.count(weightless(name), defaults(name)["input_px"])


@cache
def smallest_px(name):
    """The least side that the network takes, as its refusal of a smaller one says."""
    with pytest.raises(ValueError, match=r"takes images of (\d+) px or more, not 3.*crop_px") as error:
        weightless(name, input_px=3)
    return int(re.search(r"of (\d+) px or more", str(error.value)).group(1))


def middling_px(name):
    """A side that leaves more than one pixel at the end of most networks: rounding averages out."""
    return max(smallest_px(name), min(64, registry.input_px(name)))


def without_chance(name):
    """Options that switch off whatever training draws."""
    return {key: 0.0 for key in ("dropout", "drop_path") if key in defaults(name)}


def meta_images(height, width=None):
    return torch.empty(2, 3, height, width or height, device="meta")


@pytest.fixture(scope="module", params=ONE_OF_EACH_CLASS)
def trained(request):
    """(network for 10 classes at its least size, its outputs on 4 pictures in training, name), gradients computed.

    It starts by He's initialisation, not its paper's: some papers start batch norms at 0, behind which gradients are 0.
    """
    name = request.param
    torch.manual_seed(0)
    side = smallest_px(name)
    network = registry.architecture(name)(num_classes=10, input_px=side, **without_chance(name))
    initialization.initialize(network, "he_normal", seed=0)
    outputs = network.outputs(torch.randn(4, 3, side, side))
    labels = torch.tensor([0, 3, 3, 9])
    sum(weight * nn.functional.cross_entropy(logits, labels) for weight, logits in outputs).backward()
    return network, outputs, name


@pytest.fixture(scope="module", params=ONE_OF_EACH_CLASS)
def tested(request):
    """(network for 10 classes, in evaluation, 2 pictures of 64 px or CIFAR's 32, its logits on them, name)."""
    name = request.param
    torch.manual_seed(0)
    side = middling_px(name)
    network = registry.architecture(name)(num_classes=10, input_px=side, **without_chance(name))
    initialization.initialize(network, "paper", seed=0)
    with torch.no_grad():
        for _ in range(8):  # running statistics
            network(torch.randn(8, 3, side, side))
        images = torch.randn(2, 3, side, side)
        return network.eval(), images, network(images), name


@pytest.mark.parametrize("name", EACH)
def test_the_builder_defaults_to_the_papers_classes_and_input(name):
    assert defaults(name)["num_classes"] in (10, 1000)
    assert defaults(name)["input_px"] == registry.input_px(name)


@pytest.mark.parametrize("name", ONE_OF_EACH_CLASS)
def test_two_pictures_of_the_papers_size_give_two_rows_of_logits(name):
    images = meta_images(registry.input_px(name))
    assert weightless(name).eval()(images).shape == (2, defaults(name)["num_classes"])


@pytest.mark.parametrize("num_classes", [10, 1000])
@pytest.mark.parametrize("name", ONE_OF_EACH_CLASS)
def test_a_network_takes_any_number_of_classes_at_its_least_size(name, num_classes):
    side = smallest_px(name)
    network = weightless(name, num_classes=num_classes, input_px=side).train()
    assert all(logits.shape == (2, num_classes) for _, logits in network.outputs(meta_images(side)))


@pytest.mark.parametrize("name", ONE_OF_EACH_CLASS)
def test_the_least_size_is_at_most_the_papers_and_80_px_of_imagenets(name):
    assert smallest_px(name) <= min(registry.input_px(name), 80)


@pytest.mark.parametrize("shape", [(4, 5), (5, 5), (3, 4)], ids=["wide", "large", "small and wide"])
@pytest.mark.parametrize("name", ONE_OF_EACH_CLASS)
def test_other_sizes_than_the_one_built_for_work_or_are_refused_with_both_sizes(name, shape):
    side = registry.input_px(name)
    height, width = (max(smallest_px(name), side * part // 4) for part in shape)
    try:
        assert weightless(name).eval()(meta_images(height, width)).shape == (2, defaults(name)["num_classes"])
    except ValueError as error:
        assert re.search(rf"built for images of {side} x {side} px.*crop_px", str(error))


@pytest.mark.parametrize("name", EACH)
def test_parameters_are_exactly_the_reference_tables(name):
    assert counts(name).parameters == int(TABLE[name]["parameters"])
    assert counts(name).parameters_with_auxiliary_heads == int(TABLE[name]["parameters_with_auxiliary_heads"])


@pytest.mark.parametrize("name", EACH)
def test_multiply_adds_are_exactly_the_reference_tables(name):
    assert counts(name).multiply_adds == int(TABLE[name]["multiply_adds"])


@pytest.mark.parametrize("name", EACH)
def test_published_counts_are_met_or_the_table_says_why_not(name):
    row = TABLE[name]
    parameters, multiply_adds = row["published_parameters"], row["published_multiply_adds"]
    met = [
        not parameters
        or reference_counts.agrees(counts(name).parameters, parameters)
        or reference_counts.agrees(counts(name).parameters_with_auxiliary_heads, parameters),
        not multiply_adds or reference_counts.agrees(counts(name).multiply_adds, multiply_adds, within=0.01),
    ]
    assert all(met) is not bool(row["deviation"])


@pytest.mark.parametrize("name", ONE_OF_EACH_CLASS)
def test_multiply_adds_agree_with_torchs_count_of_every_operation(name):
    side = registry.input_px(name)
    with FlopCounterMode(display=False) as counter:
        weightless(name).eval()(torch.empty(1, 3, side, side, device="meta"))
    assert 2 * counts(name).multiply_adds == counter.get_total_flops()


@pytest.mark.parametrize("name", EACH)
def test_the_docstring_states_the_counts_and_what_differs_from_the_paper(name):
    said = f"{inspect.getdoc(builder(name))} {inspect.getmodule(builder(name)).__doc__}"
    assert f"{counts(name).parameters:,}" in said
    assert f"{counts(name).multiply_adds:,}" in said
    assert "Differs from the paper:" in said


@pytest.mark.parametrize("name", ONE_OF_EACH_CLASS)
def test_only_auxiliary_heads_stand_beside_the_layers_that_work_at_test(name):
    network = weightless(name)
    at_work = sum(layer.parameters for layer in flops.layers(network, registry.input_px(name)))
    assert at_work == counts(name).parameters
    has_heads = counts(name).parameters < counts(name).parameters_with_auxiliary_heads
    side = registry.input_px(name)
    assert has_heads == (len(network.train().outputs(meta_images(side))) > 1) == bool(network.auxiliary_heads())


@pytest.mark.parametrize("name", [p for p in ONE_OF_EACH_CLASS if "dropout" in defaults(p.values[0])])
def test_dropout_replaces_every_rate_of_the_network(name):
    modules = weightless(name, dropout=0.25).modules()
    assert {m.p for m in modules if isinstance(m, nn.Dropout)} == {0.25}


def test_every_head_gives_finite_logits(trained):
    _, outputs, _ = trained
    assert all(logits.shape == (4, 10) and logits.isfinite().all() for _, logits in outputs)
    assert outputs[0][0] == 1.0


def test_every_parameter_gets_a_finite_gradient_that_is_not_zero(trained):
    network, _, _ = trained
    missing = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    silent = [name for name, p in network.named_parameters() if p.grad is not None and not p.grad.any()]
    assert (missing, silent) == ([], [])


def test_without_dropout_and_drop_path_training_repeats_itself_and_so_does_testing(trained):
    network, _, name = trained
    side = smallest_px(name)
    images = torch.randn(2, 3, side, side)
    with torch.no_grad():
        network.train()
        first, second = network.outputs(images), network.outputs(images)
        assert all(torch.equal(a, b) for (_, a), (_, b) in zip(first, second, strict=True))
        network.eval()
        assert torch.equal(network(images), network(images))
        assert torch.equal(network(images), network.outputs(images)[0][1])


def test_the_papers_initialisation_sets_every_parameter_from_torchs_generator(trained):
    network, _, _ = trained
    drawn = []
    for fill in (0.0, float("nan")):
        for parameter in network.parameters():
            nn.init.constant_(parameter, fill)
        initialization.initialize(network, "paper", seed=1)
        drawn.append([parameter.detach().double().sum() for parameter in network.parameters()])
    assert torch.equal(torch.stack(drawn[0]), torch.stack(drawn[1]))
    assert not torch.equal(torch.get_rng_state(), torch.Generator().manual_seed(1).get_state())


def test_saved_weights_give_the_same_logits_in_a_new_network(tested):
    network, images, logits, name = tested
    other = registry.architecture(name)(num_classes=10, input_px=middling_px(name)).eval()
    saved = safetensors.torch.save(network.state_dict())
    other.load_state_dict(safetensors.torch.load(saved))
    with torch.no_grad():
        assert torch.equal(other(images), logits)


def test_channels_last_memory_gives_the_same_logits(tested):
    network, images, logits, _ = tested
    with torch.no_grad():
        last = network.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
    network.to(memory_format=torch.contiguous_format)
    assert torch.allclose(last, logits, rtol=1e-4, atol=1e-4 * logits.abs().max().item())


def test_bfloat16_is_off_by_little_more_than_what_rounding_the_weights_brings(tested):
    # Random weights amplify rounding from block to block, in float32 too: half of the logits' size in some networks.
    network, images, logits, _ = tested
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        low = network(images).float()
    rounded = copy.deepcopy(network)
    for parameter in rounded.parameters():
        parameter.data = parameter.bfloat16().float()
    with torch.no_grad():
        amplified = (rounded(images.bfloat16().float()) - logits).norm()
    assert (low - logits).norm() <= max(0.02 * logits.norm(), 5 * amplified)
