import struct

import pytest

from ilsvrc.datasets._readers import records

CLASSES = ("cat", "dog")
RECORD = 3 * 32 * 32


def batch(path, labels):
    path.write_bytes(b"".join(bytes([label]) + bytes([place]) * RECORD for place, label in enumerate(labels)))
    return path


def test_images_of_several_batches_are_numbered_through_and_come_by_class(tmp_path):
    files = [batch(tmp_path / "1.bin", [1, 0]), batch(tmp_path / "2.bin", [1])]
    found = [(s.name, s.file, s.offset, s.size, s.kind) for s in records.cifar("train", files, CLASSES)]
    assert found == [
        ("cat/000001", "1.bin", 3074, 3072, "planes:3x32x32"),
        ("dog/000000", "1.bin", 1, 3072, "planes:3x32x32"),
        ("dog/000002", "2.bin", 1, 3072, "planes:3x32x32"),
    ]


@pytest.mark.parametrize("kept", [0, 5000])
def test_a_cut_batch_is_named(tmp_path, kept: int):
    path = batch(tmp_path / "1.bin", [1, 0])
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=f"1.bin has {kept} bytes, which are no whole records of 3073"):
        list(records.cifar("train", [path], CLASSES))


def test_a_label_without_a_class_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"1\.bin holds the label 2; there are 2 classes"):
        list(records.cifar("train", [batch(tmp_path / "1.bin", [2])], CLASSES))


def idx(path, *shape: int, values: bytes = b"", magic: bytes = b"\0\0\x08"):
    path.write_bytes(magic + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + values)
    return path


def test_idx_images_come_by_class(tmp_path):
    images = idx(tmp_path / "images", 3, 2, 2, values=bytes(range(12)))
    labels = idx(tmp_path / "labels", 3, values=bytes([1, 0, 1]))
    found = [(s.name, s.offset, s.size, s.kind) for s in records.idx("val", images, labels, CLASSES)]
    assert found == [
        ("cat/00001", 20, 4, "rows:2x2"),
        ("dog/00000", 16, 4, "rows:2x2"),
        ("dog/00002", 24, 4, "rows:2x2"),
    ]


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        ({"shape": (3, 2, 2), "values": bytes(11)}, {"shape": (3,), "values": bytes(3)}, "27 bytes and should have 28"),
        ({"shape": (3, 2, 2), "values": bytes(12)}, {"shape": (2,), "values": bytes(2)}, "are no pair"),
        (
            {"shape": (3, 2, 2), "magic": b"\x1f\x8b\x08"},
            {"shape": (3,), "values": bytes(3)},
            "is no IDX file of bytes",
        ),
    ],
)
def test_wrong_idx_files_are_named(tmp_path, images: dict, labels: dict, message: str):
    pair = [
        idx(tmp_path / name, *given.pop("shape"), **given)
        for name, given in (("images", dict(images)), ("labels", dict(labels)))
    ]
    with pytest.raises(ValueError, match=message):
        list(records.idx("val", *pair, CLASSES))
