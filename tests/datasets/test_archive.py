import gzip
import io
import os
import random
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from ilsvrc.datasets._card import Sample
from ilsvrc.datasets._readers.archive import Member, inner_members, members
from ilsvrc.datasets._readers.unpack import decompress, extract
from ilsvrc.packing.read_bytes import image_content, sample_bytes

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
    return image_content(sample, sample_bytes(sample, Path()))


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


def test_a_damaged_header_in_the_middle_loses_no_image_in_silence(tmp_path):
    path = tar(tmp_path / "it.tar", {f"{k}.JPEG": b"x" * 512 for k in range(5)})
    data = bytearray(path.read_bytes())
    data[2 * 1024 + 150] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"it.tar is not a tar archive, or is damaged at byte 2048"):
        list(members(path))


def entry(name: str, kind: bytes, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_a_hard_link_is_the_image_that_it_names(tmp_path):
    path = tar(tmp_path / "it.tar", {"./a/1.jpg": b"one", "./a/2.jpg": b"two"})
    with tarfile.open(path, "a") as archive:
        archive.addfile(entry("./b/1.jpg", tarfile.LNKTYPE, "./a/1.jpg"))
        archive.addfile(entry("./b/2.jpg", tarfile.LNKTYPE, "a/2.jpg"))
    assert read(path) == {"a/1.jpg": b"one", "a/2.jpg": b"two", "b/1.jpg": b"one", "b/2.jpg": b"two"}


def test_a_hard_link_to_what_is_not_there_is_an_error(tmp_path):
    path = tar(tmp_path / "it.tar", {"a/1.jpg": b"one"})
    with tarfile.open(path, "a") as archive:
        archive.addfile(entry("b/1.jpg", tarfile.LNKTYPE, "c/1.jpg"))
    with pytest.raises(ValueError, match=r"it.tar: b/1.jpg is a link to c/1.jpg, which is not in it"):
        read(path)


def test_a_symbolic_link_in_a_tar_is_an_error_unless_it_is_hidden(tmp_path):
    path = tar(tmp_path / "it.tar", {"a/1.jpg": b"one"})
    with tarfile.open(path, "a") as archive:
        archive.addfile(entry(".git/link", tarfile.SYMTYPE, "x"))
    assert read(path) == {"a/1.jpg": b"one"}
    with tarfile.open(path, "a") as archive:
        archive.addfile(entry("b/1.jpg", tarfile.SYMTYPE, "../a/1.jpg"))
    with pytest.raises(ValueError, match=r"it.tar: b/1.jpg is a symbolic link, .* by tar with --dereference"):
        read(path)


def test_a_sparse_file_in_a_tar_is_an_error(tmp_path):
    info = tarfile.TarInfo("a/1.jpg")
    info.pax_headers = {"GNU.sparse.map": "0,3", "GNU.sparse.size": "3"}
    info.size = 3
    with tarfile.open(tmp_path / "it.tar", "w") as archive:
        archive.addfile(info, io.BytesIO(b"one"))
    with pytest.raises(ValueError, match=r"it.tar: a/1.jpg is sparse, .* by tar without --sparse"):
        read(tmp_path / "it.tar")


@pytest.mark.parametrize("zeros", [0, 10240, 3 << 20])
def test_tars_that_were_joined_lose_no_image_in_silence(tmp_path, zeros: int):
    first = tar(tmp_path / "first.tar", {"a/1.jpg": b"one"}).read_bytes()
    (tmp_path / "it.tar").write_bytes(first + bytes(zeros) + first)
    with pytest.raises(ValueError, match=rf"it.tar is several tars, joined at byte {len(first) + zeros}"):
        read(tmp_path / "it.tar")


@pytest.mark.parametrize("tail", [bytes(2 << 20), b"garbage" * 1000])
def test_what_is_no_tar_behind_a_tars_end_is_passed_over(tmp_path, tail: bytes):
    path = tar(tmp_path / "it.tar", FILES)
    path.write_bytes(path.read_bytes() + tail)
    assert read(path) == FILES


def test_a_cut_inner_tar_is_named(tmp_path):
    whole = tar(tmp_path / "inner", {"a_1.JPEG": b"x" * 5000}).read_bytes()
    outer = tar(tmp_path / "outer.tar", {"b.tar": whole, "a.tar": whole[:1500]})
    *_, last = members(outer)
    with pytest.raises(
        ValueError, match=r"outer.tar: a.tar is truncated: it has 1500 bytes and a_1.JPEG would end beh"
    ):
        list(inner_members(last))


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (gzip.compress(b"", mtime=0), r"gzip\).* \(gunzip"),
        (b"BZh9", r"bzip2\).* \(bunzip2"),
        (b"\xfd7zXZ\0", r"xz\).* \(unxz"),
        (b"\x28\xb5\x2f\xfd", r"zstd\).* \(unzstd"),
        (b"\x04\x22\x4d\x18", r"lz4\).* \(unlz4"),
        (b"7z\xbc\xaf\x27\x1c", r"7z\).* \(7z x"),
        (b"Rar!\x1a\x07", r"rar\).* \(unrar x"),
    ],
)
def test_a_compressed_archive_says_what_decompresses_it(tmp_path, start: bytes, words: str):
    (tmp_path / "it.tar").write_bytes(start)
    outer = tar(tmp_path / "outer.tar", {"x": b"", "inner.tar": start})
    *_, inner = members(outer)
    for name, found in (("it.tar", members(tmp_path / "it.tar")), ("outer.tar: inner.tar", inner_members(inner))):
        with pytest.raises(ValueError, match=f"{name} is compressed \\({words}"):
            list(found)


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
    kinds = [member.kind for member in members(path)]
    if method == zipfile.ZIP_STORED:
        assert kinds == [f"stored:{zlib.crc32(data):08x}" for data in FILES.values()]
    else:
        assert kinds == [f"deflated:{len(data)}:{zlib.crc32(data):08x}" for data in FILES.values()]


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


def changed(path: Path, at: int, value: int) -> Path:
    """A zip with another byte in the first entry of its directory."""
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + at] = value
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (6, 99, r"it.zip cannot be read \(zip file version 9.9\)"),
        (8, 1, r"it.zip: ä/1.jpg is encrypted"),
        (10, 9, r"it.zip: ä/1.jpg is compressed by method 9"),
        (46, 0xFF, r"it.zip is not a whole zip archive: .* can't decode byte 0xff"),
        (45, 0x7F, r"it.zip is not a whole zip archive: ä/1.jpg is not where the directory says"),
    ],
)
def test_a_zip_that_cannot_be_read_is_named(tmp_path, at: int, value: int, message: str):
    with zipfile.ZipFile(tmp_path / "it.zip", "w") as archive:
        archive.writestr("ä/1.jpg", b"one")
    with pytest.raises(ValueError, match=message):
        read(changed(tmp_path / "it.zip", at, value))


def test_a_symbolic_link_in_a_zip_is_an_error(tmp_path):
    link = zipfile.ZipInfo("a/1.jpg")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "it.zip", "w") as archive:
        archive.writestr(link, "../b/1.jpg")
    with pytest.raises(ValueError, match=r"it.zip: a/1.jpg is a symbolic link: write it by zip without --symlinks"):
        read(tmp_path / "it.zip")


def test_a_zip_behind_a_program_is_read_in_place(tmp_path):
    with zipfile.ZipFile(tmp_path / "it.zip", "w") as archive:
        archive.writestr("a/1.jpg", b"one")
    (tmp_path / "it.zip").write_bytes(b"#!/bin/sh\n" + (tmp_path / "it.zip").read_bytes())
    assert read(tmp_path / "it.zip") == {"a/1.jpg": b"one"}


def test_an_empty_zip_has_no_members(tmp_path):
    zipfile.ZipFile(tmp_path / "it.zip", "w").close()
    assert read(tmp_path / "it.zip") == {}


def test_a_cut_zip_is_named(tmp_path):
    path = tmp_path / "it.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/1.jpg", os.urandom(5000))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"it.zip is not a whole zip archive"):
        read(path)


def test_a_damaged_deflated_image_is_the_images_fault(tmp_path):
    path = tmp_path / "it.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.jpg", os.urandom(200) * 10)
    member = next(members(path))
    data = bytearray(path.read_bytes())
    data[member.offset : member.offset + 20] = b"\xff" * 20
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged in the zip archive"):
        content(member)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_bit_in_a_zip_is_seen_by_its_crc(tmp_path, method: int):
    path = tmp_path / "it.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a/1.bmp", os.urandom(200))
    member = next(members(path))
    data = bytearray(path.read_bytes())
    data[member.offset + 100] ^= 4
    path.write_bytes(data)
    with pytest.raises(ValueError, match="have not the CRC-32 that the archive names"):
        content(member)
    assert content(member._replace(kind=member.kind.rpartition(":")[0] if method else "")) != b""  # of earlier indexes


def test_a_zip_whose_directory_lies_about_its_place_is_refused(tmp_path):
    path = tmp_path / "it.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/1.jpg", b"one")
    data = bytearray(path.read_bytes())
    data[-6:-2] = (1 << 20).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"it\.zip is not a whole zip .*: a/1\.jpg is not where the directory says"):
        list(members(path))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_that_declares_gigabytes_is_refused_before_it_is_read(tmp_path, kind: bytes):
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, 8 << 30
    (tmp_path / "it.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    with pytest.raises(ValueError, match=r"it.tar is not a tar .*: a header at byte 512 declares 8589934592 bytes"):
        list(members(tmp_path / "it.tar"))


def test_headers_upon_headers_are_refused(tmp_path):
    info = tarfile.TarInfo("header")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 5
    (tmp_path / "it.tar").write_bytes((info.tobuf(tarfile.GNU_FORMAT) + b"a.jpg".ljust(512, b"\0")) * 3000)
    with pytest.raises(ValueError, match="its headers have no end"):
        list(members(tmp_path / "it.tar"))


def test_a_deflated_image_that_swells_is_cut_short(tmp_path):
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


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_no_damage_raises_anything_but_the_reason(tmp_path, suffix: str):
    path, chosen = tmp_path / f"it{suffix}", random.Random(0)
    if suffix == ".tar":
        whole = tar(path, FILES | {f"{'long/' * 40}x.jpg": b"deep"}).read_bytes()
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in FILES.items():
                archive.writestr(name, data)
        whole = path.read_bytes()
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(chosen.randint(1, 3)):
            damaged[chosen.randrange(len(damaged))] = chosen.randrange(256)
        path.write_bytes(damaged[: chosen.choice((len(damaged), chosen.randrange(len(damaged))))])
        try:
            read(path)
        except ValueError as error:
            assert str(error)
