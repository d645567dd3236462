"""Architectures that the report could not place are refused."""

import pytest

from ilsvrc.config import recipe_files, registry
from ilsvrc.models.common import reference_counts
from ilsvrc.pipeline import contracts


@pytest.mark.parametrize("name", registry.names("models"))
def test_every_architecture_fulfils_the_contract(name):
    contracts.check_architecture(name)


def test_an_architecture_of_a_family_with_a_great_many_needs_no_row():
    contracts.check_architecture("wrn_22_3_cifar")


def test_an_architecture_without_a_row_of_counts_is_refused(monkeypatch):
    monkeypatch.setattr(reference_counts, "architectures", dict)
    with pytest.raises(ValueError, match=r"models/alexnet\.py: alexnet has no row in .*reference_counts\.csv; add its"):
        contracts.check_architecture("alexnet")


def test_an_architecture_without_a_recipe_is_refused(monkeypatch):
    monkeypatch.setattr(recipe_files, "_book", lambda name: {})
    with pytest.raises(ValueError, match=r"models/alexnet\.py: no recipe is of alexnet's paper; add alexnet"):
        contracts.check_architecture("alexnet")
