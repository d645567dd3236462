"""Which runs an ensemble of params.yaml is of, and what a person reads where it is of none."""

import pytest

from ilsvrc.config import ensembles
from ilsvrc.pipeline import wiring

BOOK = {
    "dataset": "digits",
    "architectures": ["alexnet", "resnet18"],
    "recipe": "quick",
    "protocols": ["single_crop", "ten_crop"],
    "seeds": [0, 1, 2],
}


def find(ensemble: object, **book: object) -> ensembles.ResolvedEnsemble:
    (found,) = wiring.read({**BOOK, **book, "ensembles": {"mine": ensemble}}, where="params.yaml").ensembles
    return found


def short(ensemble: object, **book: object) -> list[str]:
    """Members as `architecture seed`."""
    names = [name.split("/") for name in find(ensemble, **book).members]
    return [f"{architecture} {last[5]}" for _, architecture, _, last in names]


def message(ensemble: object, **book: object) -> str:
    with pytest.raises(ValueError) as error:
        find(ensemble, **book)
    return str(error.value)


def test_an_architecture_stands_for_all_its_runs() -> None:
    assert short(["alexnet"]) == short({"members": "alexnet"}) == ["alexnet 0", "alexnet 1", "alexnet 2"]


def test_a_number_takes_the_first_runs() -> None:
    found = find({"members": {"alexnet": 1, "resnet18": 2}})
    assert found.networks == "alexnet + 2 resnet18"
    assert short({"members": {"alexnet": 1, "resnet18": 2}}) == ["alexnet 0", "resnet18 0", "resnet18 1"]


def test_a_run_goes_by_the_whole_of_its_name_by_its_beginning_or_by_a_pattern() -> None:
    assert short(["alexnet,seed=1", "resnet18,seed=0"]) == ["alexnet 1", "resnet18 0"]
    assert short(["*,seed=2"]) == ["alexnet 2", "resnet18 2"]
    swept = {"sweep": {"label_smoothing": [0.0, 0.1]}, "seeds": [0, 1]}
    assert short(["resnet18,label_smoothing=0.1"], **swept) == ["resnet18 0", "resnet18 1"]
    assert len(short(["resnet18"], **swept)) == 4


def test_each_protocol_is_by_itself_unless_they_are_averaged_together() -> None:
    assert find(["alexnet"]).protocols == (("single_crop",), ("ten_crop",))
    assert find({"members": ["alexnet"], "protocols": ["ten_crop"]}).protocols == (("ten_crop",),)
    assert find({"members": ["alexnet,seed=0"], "together": True}).protocols == (("single_crop", "ten_crop"),)


def test_a_name_of_no_run_is_an_error_that_lists_the_runs() -> None:
    assert "ensembles.mine: no run is called 'alexnett'; the runs are alexnet,seed=0; alexnet" in message(["alexnett"])


def test_more_runs_than_there_are_is_an_error() -> None:
    assert "alexnet: 5 are asked for, but there are 3: alexnet,seed=0;" in message({"members": {"alexnet": 5}})


def test_one_network_by_one_protocol_is_no_ensemble() -> None:
    assert "(alexnet,seed=1) is no ensemble" in message(["alexnet,seed=1"])


def test_a_run_that_two_names_stand_for_is_an_error() -> None:
    assert "members name alexnet,seed=0 twice" in message(["alexnet", "*,seed=0"])


def test_a_protocol_that_is_not_tested_by_is_an_error_that_lists_those_that_are() -> None:
    text = message({"members": ["alexnet"], "protocols": ["whole"]})
    assert "whole is none of the protocols of params.yaml (single_crop, ten_crop)" in text


def test_a_misspelt_key_is_named_with_those_there_are() -> None:
    assert "ensembles.mine.member is not a key; did you mean members? (there are: members, pro" in message(
        {"member": 1}
    )
    assert "average = 'log': input should be 'probabilities' or 'log_probabilities'" in message(
        {"members": ["alexnet"], "average": "log"}
    )


def test_an_ensemble_is_not_called_like_an_architecture() -> None:
    with pytest.raises(ValueError, match=r"ensembles\.alexnet is called like one of the architectures"):
        wiring.read({**BOOK, "ensembles": {"alexnet": ["alexnet"]}}, where="params.yaml")


def test_what_depends_on_the_scores_names_ensembles_only_where_there_are_some() -> None:
    assert "ensembles" not in wiring.read(BOOK, where="params.yaml").results_spec
    assert '"name": "mine"' in wiring.read({**BOOK, "ensembles": {"mine": ["*"]}}, where="params.yaml").results_spec
