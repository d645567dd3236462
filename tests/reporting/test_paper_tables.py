"""Papers' tables as printed, with what was measured beside them."""

import pandas as pd
import pytest

from ilsvrc.reporting import paper_tables, published_results, summary
from ilsvrc.reporting.paper_tables import Measured

IMAGENET = "ILSVRC-2012 val"
OWNERS = {"alexnet": "Krizhevsky et al. 2012", "googlenet": "Szegedy et al. 2014"}


def alexnet(protocol: str = "ten_crop", networks: str = "alexnet", training: str = "", top1: float = 42.0) -> Measured:
    return Measured("ours", "run", networks, protocol, 1, 50_000, top1, 19.0, training)


def table(*found: Measured, data: str | None = IMAGENET, paper: str = "Krizhevsky et al. 2012", name: str = "Table 2"):
    made = paper_tables.tables(published_results.results(), found, data, OWNERS)
    return next(each for each in made if (each.paper, each.table) == (paper, name))


def test_a_table_has_the_papers_rows_in_its_order_with_the_difference_beside_ours() -> None:
    rows = table(alexnet()).rows
    assert [(row["title"], row["published_top1_error_percent"]) for row in rows[:2]] == [
        ("AlexNet, 1 CNN", 40.7),
        ("AlexNet, 5 CNNs", 38.1),
    ]
    assert len(rows) == 6
    assert (rows[0]["top1_error_percent"], rows[0]["top1_difference"], rows[0]["top5_difference"]) == (42.0, 1.3, 0.8)
    # Wilson at 42 % of 50,000: 41.5680 to 42.4332
    assert (rows[0]["top1_difference_low"], rows[0]["top1_difference_high"]) == (0.868, 1.7332)
    assert (rows[0]["comparable"], rows[0]["why_not"]) == (True, "")
    assert "measured" not in rows[1]


def test_an_ensemble_stands_beside_the_row_of_as_many_networks() -> None:
    rows = table(alexnet(networks="5 alexnet", top1=38.0)).rows
    assert [row.get("measured") for row in rows] == [None, "ours", None, None, None, None]
    assert rows[1]["top1_difference"] == -0.1


def test_other_data_has_no_difference_and_stands_once() -> None:
    rows = table(alexnet(networks="5 alexnet", training="recipe quick"), data=None).rows
    assert [row.get("measured") for row in rows] == [None, "ours", None, None, None, None]
    assert rows[1]["top1_error_percent"] == 42.0
    assert "top1_difference" in rows[1]
    assert rows[1]["top1_difference"] is None
    assert (rows[1]["comparable"], rows[1]["why_not"]) == (False, "other data, other training")


def test_another_training_on_the_papers_test_is_not_comparable_but_its_difference_is_told() -> None:
    row = table(alexnet(training="recipe quick, not the paper's")).rows[0]
    assert row["top1_difference"] == 1.3
    assert (row["comparable"], row["why_not"]) == (False, "other training")
    assert row["training"] == "recipe quick, not the paper's"


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        (IMAGENET, IMAGENET, ""),
        ("ILSVRC-2012 test", IMAGENET, "other split"),
        (IMAGENET, None, "other data"),
        ("SVHN", IMAGENET, "other data"),
    ],
)
def test_data_and_split_are_told_apart(theirs: str, ours: str | None, expected: str) -> None:
    assert paper_tables.other_data(theirs, ours) == expected


def test_what_no_row_reports_follows_under_the_table() -> None:
    found = table(alexnet(), alexnet("single_crop"), alexnet(networks="2 alexnet"))
    assert [(row["networks"], row["measured_protocol"], row["why_not"]) for row in found.ours] == [
        ("alexnet", "single_crop", "other test protocol"),
        ("2 alexnet", "ten_crop", "another number of networks"),
    ]


def test_a_paper_of_which_no_network_was_run_is_left_out_and_others_reports_come_last() -> None:
    made = paper_tables.tables(published_results.results(), [alexnet()], IMAGENET, OWNERS)
    assert {each.paper for each in made if each.own} == {"Krizhevsky et al. 2012"}
    assert "Szegedy et al. 2014" not in {each.paper for each in made}
    owned = [each.own for each in made]
    assert owned == sorted(owned, reverse=True)


def test_two_of_a_network_share_its_printed_row() -> None:
    rows = table(alexnet(), alexnet(top1=41.0)).rows
    assert [row.get("top1_error_percent") for row in rows[:2]] == [42.0, 41.0]
    assert "title" not in rows[1]
    assert rows[2]["title"] == "AlexNet, 5 CNNs"


def test_a_row_of_two_tables_stands_in_both() -> None:
    row = next(row for row in published_results.results() if row.source.startswith("Tables 2 and 3"))
    assert row.tables == ("Table 2", "Table 3")
    both = next(row for row in published_results.results() if row.source.startswith("Tables 2-4"))
    assert both.tables == ("Table 2", "Table 3", "Table 4")
    assert next(row for row in published_results.results() if row.source == "section 6").tables == ("in the text",)


def test_seeds_are_averaged_and_sweeps_told_apart() -> None:
    row = {"architecture": "alexnet", "recipe": "quick", "protocol": "ten_crop", "networks": "alexnet"}
    errors = pd.DataFrame(
        [
            row | {"run": f"{rate}/{seed}", "learning_rate": rate, "num_images": 8}
            | {"top1_error_percent": 10.0 + seed, "top5_error_percent": float("nan")}
            for rate in (0.1, 0.2)
            for seed in (0, 1)
        ]
    )  # fmt: skip
    found = paper_tables.measured(errors, ["learning_rate"], {"0.1/0": "recipe quick"})
    assert [(each.name, each.seeds, each.top1_error_percent, each.training) for each in found] == [
        ("alexnet learning_rate=0.1", 2, 10.5, "recipe quick"),
        ("alexnet learning_rate=0.2", 2, 10.5, ""),
    ]
    frame = paper_tables.as_frame([table(*found)])
    assert list(frame.columns) == list(paper_tables.COLUMNS)
    assert frame["top5_error_percent"].isna().all()


def test_the_summary_says_what_is_not_as_in_the_papers() -> None:
    errors = pd.DataFrame([{"run": "run", "architecture": "alexnet", "seed": 0}])

    def said(found: Measured, data: str | None) -> list[tuple[str, tuple[str, ...]]]:
        made = paper_tables.tables(published_results.results(), [found], data, OWNERS)
        return [tuple(line) for line in summary.deviations(errors, made, {"run": found.training}, data, [])]

    assert said(alexnet(), IMAGENET) == []
    assert said(alexnet("single_crop", training="recipe quick"), None) == [
        ("Data", ("not the papers', which report on ILSVRC-2012",)),
        ("Training", ("alexnet: recipe quick",)),
        ("Tests", ("alexnet: by no protocol of the paper's tables",)),
    ]
