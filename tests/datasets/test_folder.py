import gzip
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from ilsvrc.datasets import folder
from ilsvrc.packing.read_bytes import image_content, sample_bytes

TREE = ["train/cat/b.jpg", "train/cat/a.jpg", "train/dog/c.png", "val/cat/d.jpg", "val/dog/e.jpg"]


def plant(root: Path, names: list[str] = TREE) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode() * 3)
    root.mkdir(exist_ok=True)
    return root


def packed_tar(root: Path, archive: Path, prefix: str = "") -> Path:
    with tarfile.open(archive, "w") as tar:
        tar.add(root, arcname=prefix or ".")
    return archive


@pytest.fixture(params=["folder", "tar", "prefixed tar"])
def path(request, tmp_path) -> Path:
    root = plant(tmp_path / "images")
    if request.param == "folder":
        return root
    return packed_tar(root, tmp_path / "images.tar", "some/where" if request.param.startswith("prefixed") else "")


def listed(path: Path, raw: Path, **options: object) -> list[tuple[str, str, str]]:
    found = folder.samples(raw, {"path": str(path), **options})
    return [(sample.split, sample.label_name, sample.name) for sample in found]


def test_images_come_by_split_class_and_name(path, tmp_path):
    assert listed(path, tmp_path) == [
        ("train", "cat", "cat/a.jpg"),
        ("train", "cat", "cat/b.jpg"),
        ("train", "dog", "dog/c.png"),
        ("val", "cat", "cat/d.jpg"),
        ("val", "dog", "dog/e.jpg"),
    ]


def test_offset_and_size_give_a_images_bytes(path, tmp_path):
    for sample in folder.samples(tmp_path, {"path": str(path)}):
        content = (tmp_path / sample.file).read_bytes()[sample.offset : sample.offset + sample.size]
        assert content == f"{sample.split}/{sample.name}".encode() * 3


def test_a_relative_path_stays_relative_to_the_raw_folder(tmp_path, monkeypatch):
    plant(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    raw = Path("data/raw/images")
    folder.acquire(raw, {"path": "images"})
    sample = next(folder.samples(raw, {"path": "images"}))
    assert sample.file == "../../../images/train/cat/a.jpg"
    assert (raw / sample.file).is_file()


@pytest.mark.parametrize("name", ["validation", "valid", "test"])
def test_other_names_of_the_test_split_are_val_here(tmp_path, name: str):
    path = plant(tmp_path / "p", [tree.replace("val/", f"{name}/") for tree in TREE])
    assert {split for split, *_ in listed(path, tmp_path)} == {"train", "val"}


def test_the_first_of_several_test_splits_is_taken(tmp_path):
    path = plant(tmp_path / "p", [*TREE, "test/cat/z.jpg", "test/dog/z.jpg"])
    assert ("val", "cat", "cat/z.jpg") not in listed(path, tmp_path)
    assert ("val", "cat", "cat/z.jpg") in listed(path, tmp_path, test_split="test")


def test_splits_may_have_any_name_that_is_given(tmp_path):
    path = plant(tmp_path / "p", ["a/x/1.jpg", "b/x/2.jpg"])
    found = listed(path, tmp_path, train_split="a", test_split="b")
    assert found == [("train", "x", "x/1.jpg"), ("val", "x", "x/2.jpg")]


def test_litter_is_passed_over(tmp_path):
    litter = [
        "train/cat/Thumbs.db",
        "train/.DS_Store",
        "train/cat/._a.jpg",
        "__MACOSX/train/cat/x.jpg",
        ".git/train/a/b",
    ]
    path = plant(tmp_path / "p", [*TREE, *litter])
    assert len(listed(path, tmp_path)) == 5
    assert len(listed(packed_tar(path, tmp_path / "p.tar"), tmp_path)) == 5


def test_names_that_begin_above_their_folder_are_not_hidden(tmp_path):
    path = packed_tar(plant(tmp_path / "p"), tmp_path / "p.tar", "../where")
    assert len(listed(path, tmp_path)) == 5


def test_links_are_followed_once(tmp_path):
    path = plant(tmp_path / "p", TREE[2:])
    plant(tmp_path / "elsewhere", ["cats/a.jpg"])
    (path / "train/cat").symlink_to(tmp_path / "elsewhere/cats")
    (path / "train/dog/again").symlink_to("..")
    (path / "again").symlink_to(".")
    assert listed(path, tmp_path) == [
        ("train", "cat", "cat/a.jpg"),
        ("train", "dog", "dog/c.png"),
        ("val", "cat", "cat/d.jpg"),
        ("val", "dog", "dog/e.jpg"),
    ]


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    path = plant(tmp_path / "p")
    (path / "train/cat/z.jpg").symlink_to("nowhere.jpg")
    with pytest.raises(ValueError, match=r"train/cat/z.jpg is a link that leads nowhere"):
        listed(path, tmp_path)


def test_what_is_neither_file_nor_folder_is_no_image(tmp_path):
    path = plant(tmp_path / "p")
    os.mkfifo(path / "train/cat/pipe.jpg")
    assert len(listed(path, tmp_path)) == 5


def test_a_folder_that_cannot_be_read_is_no_empty_one(tmp_path, monkeypatch):
    path, scandir = plant(tmp_path / "p"), os.scandir

    def refuse(folder):
        if Path(folder).name == "cat":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="train/cat"):
        listed(path, tmp_path)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_class_without_a_image_is_named(tmp_path, split: str):
    path = plant(tmp_path / "p", [*TREE, f"{split}/eel/.DS_Store"])
    with pytest.raises(ValueError, match=rf"p/{split} has folders without images: eel; fill or remove them"):
        listed(path, tmp_path)


def test_any_other_file_of_a_class_is_a_image_to_be_checked(tmp_path):
    path = plant(tmp_path / "p", [*TREE, "train/cat/notes.txt"])
    assert ("train", "cat", "cat/notes.txt") in listed(path, tmp_path)


def test_files_beside_the_splits_are_no_images(tmp_path):
    assert len(listed(plant(tmp_path / "p", [*TREE, "README.md"]), tmp_path)) == 5


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "is empty"),
        (["val/cat/a.jpg"], "has no split 'train', only folders: cat, val"),
        (["train/cat/a.jpg"], r"has no test split \(val, validation, valid, test\), only: train"),
        ([*TREE, "train/eel/f.jpg"], "the test split has no images of eel, which the train split has"),
        ([*TREE, "val/eel/f.jpg"], "the train split has no images of eel, which the test split has"),
        ([*TREE, "train/cat/kitten/f.jpg"], "kitten/f.jpg should be train/<class>/<image>"),
        ([*TREE, "train/f.jpg"], "train/f.jpg should be train/<class>/<image>"),
        ([f"{a}/{name}" for a in "pq" for name in TREE], "has 'train' in several folders: p, q"),
        ([".hidden"], r"is empty \(hidden files are passed over\)"),
        (["1.jpg", "2.jpg"], r"has no split 'train', only files: 1\.jpg, 2\.jpg"),
    ],
)
def test_a_wrong_layout_is_named(tmp_path, names: list[str], message: str):
    with pytest.raises(ValueError, match=message):
        folder.acquire(tmp_path / "raw", {"path": str(plant(tmp_path / "p", names))})


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none.tar' in params.yaml: there is no such folder or tar archive"):
        folder.acquire(tmp_path, {"path": str(tmp_path / "none.tar")})


def test_a_named_split_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="has no split 'holdout', only: train, val"):
        listed(plant(tmp_path / "p"), tmp_path, test_split="holdout")


def test_one_split_cannot_be_both(tmp_path):
    with pytest.raises(ValueError, match="are both 'train'"):
        listed(plant(tmp_path / "p"), tmp_path, test_split="train")


def test_a_compressed_archive_says_to_decompress(tmp_path):
    archive = packed_tar(plant(tmp_path / "p"), tmp_path / "p.tar")
    squeezed = tmp_path / "p.tar.gz"
    squeezed.write_bytes(gzip.compress(archive.read_bytes()))
    with pytest.raises(ValueError, match=r"is compressed \(gzip\).*decompress it to a plain \.tar"):
        listed(squeezed, tmp_path)


@pytest.mark.parametrize(("kept", "message"), [(700, "truncated|damaged"), (0, "not a tar archive|empty")])
def test_a_cut_archive_is_an_error(tmp_path, kept: int, message: str):
    big = plant(tmp_path / "p")
    (big / "train/cat/a.jpg").write_bytes(bytes(5000))
    archive = packed_tar(big, tmp_path / "p.tar")
    member = next(s for s in folder.samples(tmp_path, {"path": str(archive)}) if s.name == "cat/a.jpg")
    cut = tmp_path / "cut.tar"
    cut.write_bytes(archive.read_bytes()[: member.offset + 700 if kept else 0])
    with pytest.raises(ValueError, match=message):
        listed(cut, tmp_path)


def test_a_fingerprint_depends_on_names_and_sizes_alone(tmp_path):
    one = plant(tmp_path / "one")
    other = Path(shutil.copytree(one, tmp_path / "other"))
    os.utime(other / "train/cat/a.jpg", (1, 1))
    (other / ".DS_Store").touch()
    before = folder.fingerprint({"path": str(one)})
    assert folder.fingerprint({"path": str(other)}) == before
    (other / "train/cat/a.jpg").write_bytes(b"longer than it was, much longer")
    assert folder.fingerprint({"path": str(other)}) != before


def test_a_fingerprint_of_an_archive_sees_its_content(tmp_path):
    archive = packed_tar(plant(tmp_path / "p"), tmp_path / "p.tar")
    copy = Path(shutil.copy(archive, tmp_path / "copy.tar"))
    before = folder.fingerprint({"path": str(archive)})
    os.utime(copy, (1, 1))
    assert folder.fingerprint({"path": str(copy)}) == before
    content = bytearray(copy.read_bytes())
    content[1030] ^= 1
    copy.write_bytes(content)
    assert folder.fingerprint({"path": str(copy)}) != before


def test_a_fingerprint_says_where_nothing_stands(tmp_path):
    assert folder.fingerprint({"path": str(tmp_path / "none")}) == "missing"


def test_the_flowers_are_found_in_their_archive(shared_data, tmp_path):
    found = listed(shared_data / "flowers17.tar", tmp_path)
    assert (len(found), found[0]) == (1360, ("train", "00_daffodil", "00_daffodil/image_0001.jpg"))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_is_read_like_a_tar(tmp_path, method: int):
    root = plant(tmp_path / "p")
    with zipfile.ZipFile(tmp_path / "p.zip", "w", method) as archive:
        for name in (*TREE, "__MACOSX/train/cat/._a.jpg"):
            archive.writestr(f"top/{name}", (root / name).read_bytes() if name in TREE else b"litter")
    assert listed(tmp_path / "p.zip", tmp_path) == listed(root, tmp_path)
    for sample in folder.samples(tmp_path, {"path": str(tmp_path / "p.zip")}):
        content = image_content(sample, sample_bytes(sample, tmp_path))
        assert content == f"{sample.split}/{sample.name}".encode() * 3


def test_of_two_members_of_one_name_the_last_counts(tmp_path):
    path = packed_tar(plant(tmp_path / "p"), tmp_path / "p.tar")
    (tmp_path / "p/train/cat/a.jpg").write_bytes(b"newer")
    with tarfile.open(path, "a") as tar:
        tar.add(tmp_path / "p/train/cat/a.jpg", arcname="train/cat/a.jpg")
    found = [s for s in folder.samples(tmp_path, {"path": str(path)}) if s.name == "cat/a.jpg"]
    assert [sample.size for sample in found] == [5]


def test_a_class_in_two_forms_of_unicode_is_one(tmp_path):
    names = [name.replace("cat", "Lo\u0308we" if "train" in name else "L\u00f6we") for name in TREE]
    found = listed(plant(tmp_path / "images", names), tmp_path)
    assert {label for _, label, _ in found} == {"L\u00f6we", "dog"}
    assert ("val", "L\u00f6we", "L\u00f6we/d.jpg") in found


def test_two_folders_of_a_split_with_one_name_are_named(tmp_path):
    path = plant(tmp_path / "images", [*TREE, "train/cat /z.jpg"])
    with pytest.raises(ValueError, match="in train are one name to the eye"):
        listed(path, tmp_path)


def test_a_zip_with_backslashes_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for name in TREE:
            archive.writestr("images\\" + name.replace("/", "\\"), name)
    found = listed(tmp_path / "images.zip", tmp_path)
    assert [name for split, _, name in found if split == "val"] == ["cat/d.jpg", "dog/e.jpg"]


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_a_hidden_folder_beside_the_classes_is_said(tmp_path, form: str, caplog):
    root = plant(tmp_path / "images", [*TREE, "train/.net/a.jpg", "train/.ipynb_checkpoints/a.jpg"])
    path = root if form == "folder" else packed_tar(root, tmp_path / "images.tar")
    with caplog.at_level("INFO", "ilsvrc"):
        folder.acquire(tmp_path / "raw", {"path": str(path)})
    assert "train: .net is passed over, as hidden files are" in caplog.text
    assert "ipynb" not in caplog.text
