"""The contract of data sets' modules."""

import sys
from types import ModuleType

import pytest

from ilsvrc.config import registry
from ilsvrc.datasets import digits
from ilsvrc.datasets._card import check_plugin


def module(*names: str) -> ModuleType:
    """A module with some of the digits' names."""
    made = ModuleType("ilsvrc.datasets.flags")
    made.__file__ = "src/ilsvrc/datasets/flags.py"
    for name in names:
        setattr(made, name, getattr(digits, name))
    return made


@pytest.mark.parametrize("name", registry.names("datasets"))
def test_every_data_set_keeps_the_contract(name: str):
    check_plugin(registry.load("datasets", name))


@pytest.mark.parametrize(
    ("names", "lacking"),
    [
        ((), "CARD, acquire, samples, fingerprint"),
        (("acquire", "samples", "fingerprint"), "CARD"),
        (("CARD", "fingerprint"), "acquire, samples"),
        (("CARD", "acquire", "samples"), "fingerprint"),
    ],
)
def test_a_module_without_a_part_of_the_contract_is_refused_in_one_sentence(names: tuple[str, ...], lacking: str):
    with pytest.raises(ValueError) as refusal:
        check_plugin(module(*names))
    assert str(refusal.value) == (
        f"src/ilsvrc/datasets/flags.py is no data set, for it lacks {lacking}: a data set's module has CARD: Card,"
        " acquire(raw, options), samples(raw, options) and fingerprint(options) (see ilsvrc/datasets/_card.py)"
    )


def test_the_registry_refuses_a_plug_in_without_a_card(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ilsvrc.datasets.flags", module("acquire", "samples", "fingerprint"))
    monkeypatch.setattr(registry, "has", lambda kind, name: True)
    with pytest.raises(ValueError, match=r"flags\.py is no data set, for it lacks CARD:"):
        registry.load("datasets", "flags")
