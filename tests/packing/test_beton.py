from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ilsvrc.packing import beton_layout
from ilsvrc.packing.beton import content_sha256, open_packed, read_back


def changed(beton: Path, folder: Path, change: Callable[[bytearray], object]) -> Path:
    content = bytearray(beton.read_bytes())
    result = change(content)
    path = folder / "changed.beton"
    path.write_bytes(result if isinstance(result, (bytes, bytearray)) else content)
    return path


def table_at(content: bytearray) -> int:
    return int(np.frombuffer(content, beton_layout.HEADER, 1)["table_at"][0])


def first_payload(content: bytearray) -> tuple[int, int]:
    row = np.frombuffer(content, beton_layout.ALLOCATION, 1, table_at(content))[0]
    return int(row["ptr"]), int(row["size"])


def records(content: bytearray) -> np.ndarray:
    return np.frombuffer(content, beton_layout.RECORD, 2, beton_layout.RECORDS_AT)


def zero_first_payload(content: bytearray) -> None:
    start, size = first_payload(content)
    content[start : start + size] = bytes(size)


def swap_table_sizes(content: bytearray) -> None:
    table = np.frombuffer(content, beton_layout.ALLOCATION, -1, table_at(content))
    table["size"][0] += 100


def zero_table(content: bytearray) -> None:
    content[table_at(content) :] = bytes(len(content) - table_at(content))


def set_record(field: str, value: int) -> Callable[[bytearray], None]:
    def change(content: bytearray) -> None:
        records(content)["f0"][field][0] = value

    return change


def set_header(field: str, value: int) -> Callable[[bytearray], None]:
    def change(content: bytearray) -> None:
        np.frombuffer(content, beton_layout.HEADER, 1)[field][0] = value

    return change


FAULTS = {
    "empty": (lambda c: b"", "truncated at 0 bytes"),
    "not packed": (lambda c: b"PK" * 5000, "version"),
    "cut in the records": (lambda c: c[:2200], "truncated"),
    "cut in the payloads": (lambda c: c[: len(c) // 2], "truncated"),
    "cut in the table": (lambda c: c[:-24], "truncated"),
    "bytes behind the table": (lambda c: c + b"\0", "does not end where its table does"),
    "never finished": (set_header("table_at", 0), "never finished"),
    "other version": (set_header("version", 1), "version 1"),
    "table of zeros": (zero_table, "empty entries"),
    "table with overlaps": (swap_table_sizes, "overlapping"),
    "unknown pointer": (set_record("data_ptr", 5), "not in its table"),
    "unknown mode": (set_record("mode", 7), "unknown mode"),
    "no pixels": (set_record("width", 0), "no pixels"),
    "zeroed image": (zero_first_payload, "image 0 is no whole JPEG"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_damage_is_found_when_the_file_is_opened(jpeg_beton, tmp_path, fault: str):
    change, message = FAULTS[fault]
    with pytest.raises(ValueError, match=message) as failure:
        open_packed(changed(jpeg_beton, tmp_path, change))
    assert "changed.beton" in str(failure.value)


def test_two_images_at_one_place_are_found(jpeg_beton, tmp_path):
    def change(content: bytearray) -> None:
        records(content)["f0"]["data_ptr"][0] = records(content)["f0"]["data_ptr"][1]

    with pytest.raises(ValueError, match="two images"):
        open_packed(changed(jpeg_beton, tmp_path, change))


def test_a_raw_image_has_three_bytes_a_pixel(raw_beton, tmp_path):
    with pytest.raises(ValueError, match="raw image 0 has not three bytes a pixel"):
        open_packed(changed(raw_beton, tmp_path, set_record("width", 50)))


def test_a_missing_file_names_the_rule_that_writes_it(tmp_path):
    with pytest.raises(ValueError, match=r"is not there; the rule `pack`"):
        open_packed(tmp_path / "none.beton")


def test_one_flipped_bit_changes_the_content_hash(jpeg_beton, tmp_path):
    def flip(content: bytearray) -> None:
        content[first_payload(content)[0] + 700] ^= 1

    assert content_sha256(changed(jpeg_beton, tmp_path, flip)) != content_sha256(jpeg_beton)
    with pytest.raises(ValueError, match="reads back differently"):
        read_back(changed(jpeg_beton, tmp_path, flip), [0])


def test_sizes_and_labels_are_read(jpeg_beton):
    packed = open_packed(jpeg_beton)
    assert packed.num_images == 53
    assert (packed.widths[:4].tolist(), packed.heights[:4].tolist()) == ([64, 48, 50, 91], [48, 64, 50, 60])
