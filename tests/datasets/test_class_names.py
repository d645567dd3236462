import os

import pytest

from ilsvrc.datasets._card import Sample
from ilsvrc.datasets._census import with_names
from ilsvrc.datasets._readers import class_names


def test_names_that_look_the_same_are_one():
    assert class_names.united(["iris", "iris ", "Lo\u0308we", "L\u00f6we", "rose"]) == {
        "iris": "iris",
        "iris ": "iris",
        "Lo\u0308we": "L\u00f6we",
        "L\u00f6we": "L\u00f6we",
        "rose": "rose",
    }


def test_names_without_a_second_form_stay_as_they_are_written():
    assert class_names.united(["iris ", "Lo\u0308we"]) == {}


@pytest.mark.parametrize("name", [".", "..", "", " ", os.fsdecode(b"Schl\xfcssel")])
def test_the_name_of_a_class_that_cannot_be_shown_is_refused(name: str):
    sample = Sample("train", name, "a.jpg", "a.jpg", 0, 1)
    with pytest.raises(ValueError, match=r"a class is called .*rename"):
        list(with_names([sample]))
    several = Sample("train", "iris;..", "a.jpg", "a.jpg", 0, 1, multilabel=True)
    with pytest.raises(ValueError, match=r"a class is called '\.\.'"):
        list(with_names([several]))
