"""The contract of test protocols: each module keeps it, and one that breaks it is refused in a sentence."""

from types import ModuleType

import pytest

from ilsvrc.config import registry
from ilsvrc.evaluation import protocol_contract
from ilsvrc.evaluation.load_protocol import load_protocol
from ilsvrc.evaluation.protocols import single_crop


@pytest.mark.parametrize("name", registry.names("protocols"))
def test_every_protocol_keeps_the_contract(name: str) -> None:
    assert load_protocol(name).views(80)


def test_a_protocol_that_breaks_the_contract_is_refused_where_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(single_crop, "revision")
    with pytest.raises(ValueError, match=r"protocols/single_crop\.py has no revision; a test protocol defines"):
        load_protocol("single_crop")


BREACHES = {
    "views": "has no views", "revision": "has no revision", "AVERAGE": "has no AVERAGE",
}  # fmt: skip
WRONG = [
    ("views", lambda: [], "views that is no function of one or two arguments"),
    ("revision", "first", "revision = 'first'"),
    ("AVERAGE", "median", "AVERAGE = 'median'"),
]


def module(**changes: object) -> ModuleType:
    made = ModuleType("mine")
    made.__file__ = "protocols/mine.py"
    parts = {"views": single_crop.views, "revision": 1, "AVERAGE": "logits"} | changes
    for name, value in parts.items():
        if value is not None:
            setattr(made, name, value)
    return made


@pytest.mark.parametrize("name", BREACHES)
def test_a_protocol_without_a_part_is_refused_by_its_file_and_the_contract(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^protocols/mine\.py {BREACHES[name]}; a test protocol defines views\(crop"):
        protocol_contract.check_plugin(module(**{name: None}))


@pytest.mark.parametrize(("name", "value", "fault"), WRONG)
def test_a_part_of_the_wrong_kind_is_named(name: str, value: object, fault: str) -> None:
    with pytest.raises(ValueError, match=rf"^protocols/mine\.py has {fault}; .* and AVERAGE \('probabilities' or 'log"):
        protocol_contract.check_plugin(module(**{name: value}))
