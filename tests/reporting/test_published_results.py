"""The tables of published numbers: their schema, and a few of their numbers."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from ilsvrc.config import registry
from ilsvrc.models.common import reference_counts
from ilsvrc.reporting import published_results

ROWS = published_results.results()
COUNTS = ("year", "parameters", "parameters_with_auxiliary_heads", "multiply_adds")


def test_no_result_is_lost():
    assert len(ROWS) == 505


def test_kinds_and_confidences_are_the_known_ones():
    assert {row.kind for row in ROWS} == {"error", "ablation_delta"}
    assert {row.confidence for row in ROWS} == {"exact", "derived", "from memory"}


def test_every_row_reports_a_number_and_says_of_what_and_where():
    for row in ROWS:
        assert row.top1_error_percent is not None or row.top5_error_percent is not None
        assert all([row.title, row.paper, row.dataset, row.protocol, row.source])


def test_errors_lie_between_0_and_100_and_top_5_below_top_1():
    for row in (row for row in ROWS if row.kind == "error"):
        numbers = [n for n in (row.top5_error_percent, row.top1_error_percent) if n is not None]
        assert all(0 < n < 100 for n in numbers)
        assert numbers == sorted(numbers)


def test_signed_changes_are_kept_apart_from_errors():
    deltas = [row for row in ROWS if row.kind == "ablation_delta"]
    assert len(deltas) == 8
    assert all(abs(row.top1_error_percent) < 10 for row in deltas)
    assert all("change in" in row.protocol for row in deltas)
    assert not any("change in" in row.protocol for row in ROWS if row.kind == "error")


def test_years_models_and_crops_are_plausible():
    assert all(2012 <= row.year <= 2022 for row in ROWS)
    assert all(row.models is None or 1 <= row.models <= 7 for row in ROWS)


def test_architectures_are_ours():
    named = {name for row in ROWS if row.architecture for name in published_results.networks(row.architecture)}
    assert named <= set(registry.names("models"))


def test_an_ensembles_networks_are_as_many_as_its_models():
    mixed = [row for row in ROWS if row.architecture and " " in row.architecture]
    assert len(mixed) == 9
    assert all(row.networks.total() == row.models for row in mixed)


def test_a_protocols_name_has_the_form_of_one_only_where_it_is_ours():
    named = {row.protocol for row in ROWS if row.protocol.isidentifier()}
    assert named - {"ensemble"} <= set(registry.names("protocols"))


def test_cells_hold_no_stray_white_space():
    with Path(published_results.__file__).with_suffix(".csv").open(newline="") as file:
        assert not [row for row in csv.DictReader(file) for cell in row.values() if cell != cell.strip()]


def test_architectures_rows_are_complete_and_in_numbers():
    for name, row in reference_counts.architectures().items():
        assert all(row[key] for key in ("paper", "section", "source")), name
        assert all(int(row[key]) > 0 for key in COUNTS), name


def test_architectures_are_listed_once_and_are_ours():
    with Path(reference_counts.__file__).with_suffix(".csv").open(newline="") as file:
        listed = [row["name"] for row in csv.DictReader(file)]
    assert sorted(listed) == sorted(registry.names("models"))


@pytest.mark.parametrize(
    ("counted", "figure", "agrees"),
    [
        (1_794_805_760, "1.8G", True),
        (1_749_999_999, "1.8G", False),
        (1_850_000_000, "1.8G", True),
        (60_965_224, "60M", False),
        (60_965_224, "61M", True),
        (467_000, "467K", True),
        (1_730_000, "1.7M", True),
    ],
)
def test_a_count_agrees_with_a_printed_figure_that_it_rounds_to(counted, figure, agrees):
    assert reference_counts.agrees(counted, figure) is agrees


def test_a_count_agrees_within_a_fraction_of_a_printed_figure():
    assert reference_counts.agrees(7_532_000_000, "7.609G", within=0.011)
    assert not reference_counts.agrees(7_532_000_000, "7.609G", within=0.01)


@pytest.mark.parametrize(
    ("asked", "top1", "top5", "paper"),
    [
        (("alexnet", "ILSVRC-2012 val", "ten_crop"), 40.7, 18.2, "Krizhevsky et al. 2012"),
        (("alexnet", "ILSVRC-2010 test", "ten_crop"), 37.5, 17.0, "Krizhevsky et al. 2012"),
        (("googlenet", "ILSVRC-2012 val", "single_crop"), None, 10.07, "Szegedy et al. 2014"),
        (("googlenet", "ILSVRC-2012 val", "ten_crop"), None, 9.15, "Szegedy et al. 2014"),
        (("5 alexnet", "ILSVRC-2012 val", "ten_crop"), 38.1, 16.4, "Krizhevsky et al. 2012"),
        (("7 googlenet", "ILSVRC-2012 val", "ten_crop"), None, 7.62, "Szegedy et al. 2014"),
        (("resnet18", "ILSVRC-2012 val", "ten_crop"), 27.88, None, "He et al. 2015"),
        (("resnet18_b", "ILSVRC-2012 val", "single_crop"), 30.43, 10.76, "Gross & Wilber 2016 (fb.resnet.torch)"),
    ],
)
def test_published_errors_are_the_papers(asked, top1, top5, paper):
    row = published_results.published_error(*asked)
    assert (row.top1_error_percent, row.top5_error_percent, row.paper) == (top1, top5, paper)


@pytest.mark.parametrize(
    "asked",
    [
        ("alexnet", None, "ten_crop"),
        ("alexnet", "CIFAR-10 (no augmentation)", "ten_crop"),
        ("resnet18_b", "ILSVRC-2012 val", "ten_crop"),  # published for ten crops of the whole rectangle only
        ("a network of one's own", "ILSVRC-2012 val", "ten_crop"),
    ],
)
def test_what_nobody_reports_has_no_published_error(asked):
    assert published_results.published_error(*asked) is None


def test_an_ensemble_is_not_taken_for_one_model():
    assert [row.models for row in published_results.published("alexnet") if row.protocol == "ten_crop"] == [1, 5, 5, 1]
    assert published_results.published_error("alexnet", "ILSVRC-2012 test", "ten_crop") is None


def test_networks_of_several_architectures_are_found_whatever_their_order():
    rows = published_results.published_of("inception_v4 + 3 inception_resnet_v2")
    assert [(row.dataset, row.top5_error_percent) for row in rows] == [
        ("ILSVRC-2012 val", 3.1),
        ("ILSVRC-2012 val", 3.1),
        ("ILSVRC-2012 test", 3.08),
    ]
    assert rows[0].networks == {"inception_v4": 1, "inception_resnet_v2": 3}
    assert published_results.published_of("inception_v4 + inception_resnet_v2") == []


def test_a_networks_own_paper_comes_first():
    papers = [row.paper for row in published_results.published("googlenet")]
    assert papers[0] == "Szegedy et al. 2014"
    assert papers == sorted(papers, key=lambda paper: paper != "Szegedy et al. 2014")


def test_the_tables_are_read_without_torch():
    code = "import sys; from ilsvrc.reporting import published_results as p; p.results(); exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
