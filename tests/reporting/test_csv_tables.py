from pathlib import Path

import pandas as pd

from ilsvrc.reporting import csv_tables


def test_a_table_comes_back_as_it_was_and_has_no_formulas(tmp_path: Path) -> None:
    table = pd.DataFrame({"class": ["=1+1", "cat", "-x"], "change": [-0.5, 1.0, 2.0], "num_images": [1, 2, 3]})
    text = csv_tables.as_csv(table)
    assert text == "class,change,num_images\n'=1+1,-0.5,1\ncat,1.0,2\n'-x,2.0,3\n"
    (tmp_path / "table.csv").write_text(text)
    pd.testing.assert_frame_equal(csv_tables.read(tmp_path / "table.csv"), table)


def test_a_table_without_formulas_is_written_as_pandas_does() -> None:
    table = pd.DataFrame({"class": ["cat", None], "change": [-0.5, None]})
    assert csv_tables.as_csv(table) == table.to_csv(index=False, lineterminator="\n")
