from pathlib import Path

import pytest

from ilsvrc.datasets import folder

ROWS = ["file,label,split", "a/1.jpg,cat,train", "b/1.jpg,cat,test", "a/2.jpg,dog,train", "b/3.jpg,dog,test"]


def table(root: Path, rows: list[str] = ROWS, encoding: str = "utf-8") -> Path:
    for row in ROWS[1:]:
        path = root / row.split(",")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(row.encode())
    (root / "images.csv").write_text("\n".join([*rows, ""]), encoding=encoding)
    return root / "images.csv"


def listed(path: Path, raw: Path, **options: str) -> list[tuple[str, str, str]]:
    folder.acquire(raw, {"path": str(path), **options})
    found = folder.samples(raw, {"path": str(path), **options})
    return [(sample.split, sample.label_name, sample.name) for sample in found]


EXPECTED = [
    ("train", "cat", "cat/a/1.jpg"),
    ("train", "dog", "dog/a/2.jpg"),
    ("val", "cat", "cat/b/1.jpg"),
    ("val", "dog", "dog/b/3.jpg"),
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_images_of_a_table_come_by_split_class_and_name(tmp_path, encoding: str):
    assert listed(table(tmp_path, encoding=encoding), tmp_path / "raw") == EXPECTED


def test_their_files_are_found_from_the_raw_folder(tmp_path, monkeypatch):
    table(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    raw = Path("data/raw/mine")
    raw.mkdir(parents=True)
    for options in ({"path": "mine/images.csv"}, {"path": str(tmp_path / "mine/images.csv")}):
        for sample in folder.samples(raw, options):
            assert (raw / sample.file).stat().st_size == sample.size > 0


def test_splits_of_a_table_may_have_any_names(tmp_path):
    rows = [row.replace(",train", ",fit").replace(",test", ",hold") for row in ROWS]
    assert listed(table(tmp_path, rows), tmp_path, train_split="fit", test_split="hold") == EXPECTED


def test_without_a_split_a_fifth_is_for_the_test(tmp_path):
    rows = ["file,label"]
    for number in range(1000):
        (tmp_path / f"{number}.jpg").touch()
        rows.append(f"{number}.jpg,{'cat' if number % 2 else 'dog'}")
    found = listed(table(tmp_path, rows), tmp_path)
    assert 170 < sum(split == "val" for split, _, _ in found) < 230
    assert found == listed(table(tmp_path, rows[:1] + rows[:0:-1]), tmp_path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["path,class", "a,b"], "has the columns path, class; it should have file,label"),
        ([], "it should have file,label"),
        ([*ROWS, "c/9.jpg,cat,train"], r"line 6: there is no file .*c/9\.jpg"),
        ([*ROWS, ",cat,train"], "line 6: file or label is empty"),
        ([*ROWS, ROWS[1]], r"lists a/1\.jpg more than once"),
        ([*ROWS, "images.csv,cat,other"], "has the splits 'other', 'test', 'train'; they should be 'train' and one"),
        (ROWS[:2], "has the splits 'train'"),
        ([*ROWS, "./a//1.jpg,cat,test"], r"lists a/1\.jpg more than once"),
        ([*ROWS, "a/1.jpg,cat"], "line 6: there should be a value for each of file,label,split; one with a comma"),
        ([*ROWS, "a,1.jpg,cat,train"], "line 6: there should be a value for each"),
        ([*ROWS, '"a/1.jpg,cat', *["x" * 1000] * 200], r"field larger than .* \(is a quote not closed\?\)"),
        ([*ROWS, f"{'x' * 5000},cat,train"], "line 6: there is no file .*xxx"),
        (["file,label,label", "a/1.jpg,cat,cat"], "each should have a name of its own"),
        ([row.replace(",", "|") for row in ROWS], r"has the columns file\|label\|split; .* separated by commas"),
        ([*ROWS[:3], ROWS[4]], "one of them has none of 'dog'"),
        ([*ROWS, "images.csv, ,train"], "line 6: file or label is empty"),
        ([*ROWS, "images.csv,cow,train"], "one of them has none of 'cow'"),
        (["file,label", "a/1.jpg,cat"], "one of them has none of 'cat' .*without a column split, .* two images"),
        (["file,label"], "one of them has none of nothing"),
    ],
)
def test_a_wrong_table_is_named(tmp_path, rows: list[str], message: str):
    with pytest.raises(ValueError, match=message):
        listed(table(tmp_path, rows), tmp_path)


@pytest.mark.parametrize(
    "rows",
    [
        [row.replace(",", ";") for row in ROWS],
        [row.replace(",", "\t") for row in ROWS],
        [row.replace(",", ", ") for row in ROWS],
        [row.replace(",cat,", ",cat ,") for row in ROWS[:2]] + ROWS[2:],
    ],
    ids=["semicolons", "tabs", "spaces", "a space behind one label"],
)
def test_separators_and_spaces_make_no_other_classes(tmp_path, rows: list[str]):
    path = table(tmp_path)
    path.write_text("\n".join([*rows, ""]))
    assert listed(path, tmp_path / "raw") == EXPECTED


def test_a_fingerprint_sees_the_files_of_a_table_with_semicolons(tmp_path):
    path = table(tmp_path)
    path.write_text("\n".join(ROWS).replace(",", "; "))
    before = folder.fingerprint({"path": str(path)})
    (tmp_path / "a/1.jpg").write_bytes(b"longer than it was before")
    assert folder.fingerprint({"path": str(path)}) != before


def test_a_third_split_is_left_out_as_a_folders_is(tmp_path):
    (tmp_path / "c.jpg").touch()
    rows = [row.replace(",test", ",val") for row in ROWS] + ["c.jpg,cat,test"]
    assert listed(table(tmp_path, rows), tmp_path / "raw") == EXPECTED
    with pytest.raises(ValueError, match="one of them has none of 'dog'"):
        listed(table(tmp_path, rows), tmp_path / "raw", test_split="test")


def test_without_a_split_small_classes_have_an_image_in_each(tmp_path):
    rows = ["file,label"]
    for number in range(39):
        (tmp_path / f"{number}.jpg").touch()
        rows.append(f"{number}.jpg,{('daffodil', 'iris', 'tulip')[number % 3]}")
    for number in range(2):
        (tmp_path / f"few{number}.jpg").touch()
        rows.append(f"few{number}.jpg,few")
    found = listed(table(tmp_path, rows), tmp_path / "raw")
    of_test = [label for split, label, _ in found if split == "val"]
    assert {label: of_test.count(label) for label in of_test} == {"daffodil": 2, "few": 1, "iris": 2, "tulip": 2}
    assert found == listed(table(tmp_path, rows[:1] + rows[:0:-1]), tmp_path / "raw")


def test_a_class_in_two_forms_of_unicode_is_one(tmp_path):
    rows = [row.replace("cat,train", "Lo\u0308we,train").replace("cat,test", "L\u00f6we,test") for row in ROWS]
    found = listed(table(tmp_path, rows), tmp_path / "raw")
    assert {label for _, label, _ in found} == {"L\u00f6we", "dog"}


def test_a_table_in_latin_1_is_named(tmp_path):
    rows = [*ROWS[:1], *(row.replace("cat", "Schl\u00fcssel") for row in ROWS[1:])]
    with pytest.raises(ValueError, match=r"line 2: b'Schl\\xfcssel' is not UTF-8 \(Latin-1\?\): save the table as CSV"):
        listed(table(tmp_path, rows, encoding="latin-1"), tmp_path / "raw")


def test_a_table_in_utf_16_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"images.csv is text in UTF-16: save it as CSV in UTF-8"):
        listed(table(tmp_path, encoding="utf-16"), tmp_path)


def test_carriage_returns_quotes_and_blank_lines_are_taken(tmp_path):
    (tmp_path / "a,b.jpg").touch()
    path = table(tmp_path, [*ROWS, "", '"a,b.jpg",cat,train'])
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert listed(path, tmp_path / "raw") == sorted([*EXPECTED, ("train", "cat", "cat/a,b.jpg")])


def test_a_fingerprint_of_a_wrong_table_is_left_to_the_check(tmp_path):
    path = table(tmp_path, [*ROWS, '"' + "x" * 200_000])
    assert len(folder.fingerprint({"path": str(path)})) == 16


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.csv' in params\.yaml: there is no such table"):
        listed(tmp_path / "none.csv", tmp_path)


def test_a_fingerprint_sees_the_table_and_the_sizes_of_its_files(tmp_path):
    options = {"path": str(table(tmp_path))}
    seen = {folder.fingerprint(options)}
    (tmp_path / "a/1.jpg").write_bytes(b"longer than it was before")
    seen.add(folder.fingerprint(options))
    (tmp_path / "a/1.jpg").unlink()
    seen.add(folder.fingerprint(options))
    table(tmp_path, ROWS[:-1])
    seen.add(folder.fingerprint(options))
    assert len(seen) == 4
    assert folder.fingerprint({"path": str(tmp_path / "none.csv")}) == "missing"
