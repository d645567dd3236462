import csv
import io

import pytest

from ilsvrc.artifacts import spreadsheet
from ilsvrc.evaluation import scores

FORMULAS = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\tx", "\rx", "'=1+1", "''-x"]


@pytest.mark.parametrize("text", FORMULAS)
def test_text_that_a_spreadsheet_would_run_begins_with_an_apostrophe_and_comes_back(text: str):
    assert spreadsheet.escaped(text) == f"'{text}"
    assert spreadsheet.plain(spreadsheet.escaped(text)) == text


@pytest.mark.parametrize("value", [-0.5, 3, "-0.5", "+1e-3", "-inf", "cat", "'s-Gravenhage", "-", "", None, "a=b"])
def test_numbers_and_other_text_stay(value: object):
    assert spreadsheet.escaped(value) == spreadsheet.plain(value) == value


def test_tables_of_scores_escape_names_of_classes():
    text = scores.as_csv([{"class": "=1+1", "num_images": 3, "change": -0.5}], ["class", "num_images", "change"])
    assert list(csv.reader(io.StringIO(text)))[1] == ["'=1+1", "3", "-0.5"]
