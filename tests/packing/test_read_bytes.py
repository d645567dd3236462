import zlib

import numpy as np
import pytest

from ilsvrc.config.specs import FormSpec
from ilsvrc.datasets._card import Sample
from ilsvrc.packing.encode import store
from ilsvrc.packing.read_bytes import MAX_BYTES, image_content, refuse_oversized, sample_bytes


def sample(kind: str = "", size: int = 3) -> Sample:
    return Sample("train", "a", "a/1", "file", 2, size, kind)


def test_an_encoded_image_is_its_own_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"..abc..")
    assert image_content(sample(), sample_bytes(sample(), tmp_path)) == b"abc"


def test_a_file_that_ends_too_early_says_to_acquire_again(tmp_path):
    (tmp_path / "file").write_bytes(b"..a")
    with pytest.raises(OSError, match="a/1 has 1 of 3 bytes: run acquire again"):
        sample_bytes(sample(), tmp_path)


def test_planes_become_pixels():
    content = bytes([1, 2, 3, 4, 11, 12, 13, 14, 21, 22, 23, 24])
    expected = [[[1, 11, 21], [2, 12, 22]], [[3, 13, 23], [4, 14, 24]]]
    assert image_content(sample("planes:3x2x2"), content).tolist() == expected


def test_grey_rows_become_three_equal_channels():
    assert image_content(sample("rows:1x2"), bytes([7, 9])).tolist() == [[[7, 7, 7], [9, 9, 9]]]


def test_a_deflated_image_is_inflated():
    squeezed = zlib.compressobj(wbits=-15)
    content = squeezed.compress(b"abc" * 9) + squeezed.flush()
    assert image_content(sample("deflated:27"), content) == b"abc" * 9


@pytest.mark.parametrize("side", [None, 16])
def test_pixels_are_stored_raw_as_they_are_or_resized(side: int | None):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    stored = store(pixels, FormSpec(data="t", encoding="raw", short_side_px=side))
    assert (stored.width, stored.height, stored.how) == (side or 32, side or 32, "raw")
    assert side or stored.payload == pixels.tobytes()
    assert store(pixels, FormSpec(data="t")).how == "encoded"


def test_a_file_that_grew_since_it_was_found_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"longer than before")
    with pytest.raises(OSError, match=r"a\.jpg is longer than it was"):
        sample_bytes(Sample("train", "cat", "a.jpg", "a.jpg", 0, 6), tmp_path)


@pytest.mark.parametrize("kind", ["", "stored:00000000", f"deflated:{MAX_BYTES + 1}:00000000", f"deflated:{2**64 - 1}"])
def test_more_bytes_than_an_image_has_are_refused_by_their_declared_size(kind: str):
    size = 100 if kind.startswith("deflated") else MAX_BYTES + 1
    with pytest.raises(ValueError, match=r"\d+ bytes; more than 268435456 are no image of a data set"):
        refuse_oversized(sample(kind, size))


@pytest.mark.parametrize("kind", ["", "stored:00000000", f"deflated:{MAX_BYTES}", "planes:3x32x32"])
def test_large_images_are_read(kind: str):
    refuse_oversized(sample(kind, 3072))
