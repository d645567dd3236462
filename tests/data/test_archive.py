import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from ilsvrc.card import Sample
from ilsvrc.data._archive import Member, decompress, extract, inner_members, members
from ilsvrc.loading.sources import own_bytes, picture

FILES = {"train/a/1.jpg": b"one" * 100, "train/b/2.jpg": b"two" * 50, "val/a/empty.jpg": b""}


def tar(path: Path, files: dict[str, bytes], format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=format) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def content(member: Member) -> bytes:
    sample = Sample("train", "a", "x", str(member.file), member.offset, member.size, member.kind)
    return picture(sample, own_bytes(sample, Path()))


def read(path: Path) -> dict[str, bytes]:
    return {member.name: content(member) for member in members(path)}


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_is_read_in_place(tmp_path, format: int):
    files = FILES | {f"{'long/' * 40}ü.jpg": b"deep", "train/a/läng.jpg": b"accent"}
    files = FILES if format == tarfile.USTAR_FORMAT else files  # which has no room for these names
    assert read(tar(tmp_path / "it.tar", files, format)) == files


def test_a_tar_of_tars_is_read_in_place(tmp_path):
    inner = {number: {f"n{number}_{k}.JPEG": bytes([number, k]) * 700 for k in range(3)} for number in (2, 1)}
    tars = {f"n{number}.tar": tar(tmp_path / "inner", files).read_bytes() for number, files in inner.items()}
    outer = tar(tmp_path / "outer.tar", tars)
    found = {member.name: content(member) for each in members(outer) for member in inner_members(each)}
    assert found == inner[1] | inner[2]


@pytest.mark.parametrize("kept", [1024, 1536])
def test_a_tar_without_its_end_is_truncated_and_does_not_run_into_the_next(tmp_path, kept: int):
    whole = tar(tmp_path / "inner", {"a_1.JPEG": b"x" * 512, "a_2.JPEG": b"y" * 512}).read_bytes()
    outer = tar(tmp_path / "outer.tar", {"a.tar": whole[:kept], "b.tar": whole})
    with pytest.raises(ValueError, match=r"outer.tar(: a.tar)? is truncated"):
        list(inner_members(next(members(outer))))
    (tmp_path / "cut.tar").write_bytes(whole[:kept])
    with pytest.raises(ValueError, match=r"cut.tar is truncated"):
        list(members(tmp_path / "cut.tar"))


def test_a_damaged_header_in_the_middle_loses_no_picture_in_silence(tmp_path):
    path = tar(tmp_path / "it.tar", {f"{k}.JPEG": b"x" * 512 for k in range(5)})
    data = bytearray(path.read_bytes())
    data[2 * 1024 + 150] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"it.tar is not a tar archive, or is damaged at byte 2048"):
        list(members(path))


def test_a_cut_inner_tar_is_named(tmp_path):
    whole = tar(tmp_path / "inner", {"a_1.JPEG": b"x" * 5000}).read_bytes()
    outer = tar(tmp_path / "outer.tar", {"b.tar": whole, "a.tar": whole[:1500]})
    *_, last = members(outer)
    with pytest.raises(
        ValueError, match=r"outer.tar: a.tar is truncated: it has 1500 bytes and a_1.JPEG would end beh"
    ):
        list(inner_members(last))


def test_an_inner_file_that_is_no_tar_is_named(tmp_path):
    outer = tar(tmp_path / "outer.tar", {"x": b"", "a.tar": b"<html>" * 200})
    *_, last = members(outer)
    with pytest.raises(ValueError, match=r"outer.tar: a.tar is not a tar archive"):
        list(inner_members(last))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_is_read_in_place(tmp_path, method: int):
    path = tmp_path / "it.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.mkdir("train")
        for name, data in FILES.items():
            archive.writestr(name, data)
    assert read(path) == FILES
    kinds = {member.kind for member in members(path)}
    assert kinds == {""} if method == zipfile.ZIP_STORED else {"deflated:300", "deflated:150", "deflated:0"}


def test_a_streamed_zip64_is_read_in_place(tmp_path):
    path = tmp_path / "it.zip"
    with zipfile.ZipFile(path, "w") as archive, archive.open("a/1.jpg", "w", force_zip64=True) as file:
        file.write(b"one" * 10)
    assert read(path) == {"a/1.jpg": b"one" * 10}


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_by_another_method_is_named(tmp_path, method: int):
    with zipfile.ZipFile(tmp_path / "it.zip", "w", method) as archive:
        archive.writestr("a/1.jpg", b"one" * 100)
    with pytest.raises(ValueError, match=r"it.zip: a/1.jpg is compressed by method \d+; store or deflate"):
        read(tmp_path / "it.zip")


def test_a_cut_zip_is_named(tmp_path):
    path = tmp_path / "it.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/1.jpg", os.urandom(5000))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"it.zip is not a whole zip archive"):
        read(path)


def test_a_damaged_deflated_picture_is_the_pictures_fault(tmp_path):
    path = tmp_path / "it.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.jpg", os.urandom(200) * 10)
    member = next(members(path))
    data = bytearray(path.read_bytes())
    data[member.offset : member.offset + 20] = b"\xff" * 20
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged in the zip archive"):
        content(member)


def test_a_deflated_picture_that_swells_is_cut_short(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.jpg", bytes(10_000_000))
    member = next(members(path))._replace(kind="deflated:1000")
    with pytest.raises(ValueError, match="it should have 1000 bytes"):
        content(member)


def test_a_gzip_becomes_a_plain_file(tmp_path):
    (tmp_path / "it.gz").write_bytes(gzip.compress(b"one" * 100_000))
    decompress(tmp_path / "it.gz", tmp_path / "it")
    assert (tmp_path / "it").read_bytes() == b"one" * 100_000


@pytest.mark.parametrize("damage", ["cut", "flipped", "no gzip"])
def test_a_damaged_gzip_leaves_nothing(tmp_path, damage: str):
    squeezed = bytearray(gzip.compress(os.urandom(50_000)))
    if damage == "flipped":
        squeezed[-6] ^= 1
    given = {"cut": squeezed[:-100], "flipped": squeezed, "no gzip": b"<html>not found</html>"}[damage]
    (tmp_path / "it.gz").write_bytes(given)
    with pytest.raises(ValueError, match=r"it.gz is damaged \(.+\): remove it and run again"):
        decompress(tmp_path / "it.gz", tmp_path / "it")
    assert [path.name for path in tmp_path.iterdir()] == ["it.gz"]


def test_only_the_asked_files_are_extracted_and_stay_in_the_folder(tmp_path):
    archive = tar(tmp_path / "it.tar", {"x/a.bin": b"a", "../../evil": b"e", "x/b.bin": b"b"})
    extract(archive, ["x/a.bin", "../../evil"], tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.bin", "evil"]


def test_a_file_that_the_archive_lacks_is_named(tmp_path):
    archive = tar(tmp_path / "it.tar", {"x/a.bin": b"a"})
    with pytest.raises(ValueError, match=r"it.tar lacks x/c.bin; it is not the archive that it should be"):
        extract(archive, ["x/a.bin", "x/c.bin"], tmp_path / "out")
