import pytest
from images import jpeg_bytes, photo, without_last_scans

from ilsvrc.packing import jpeg


@pytest.mark.parametrize("kept", range(1, 11))
def test_blocks_are_smoothed_until_the_last_scan_of_low_coefficients_is_there(kept: int):
    content = jpeg_bytes(photo(0), progressive=True)
    assert content.count(b"\xff\xda") == 10
    frame = jpeg.frame(without_last_scans(content, kept))
    assert (frame.plain, frame.smoothed, frame.portable) == (True, kept < 10, kept == 10)


@pytest.mark.parametrize("kind", ["L", "RGB"])
def test_whole_files_are_not_smoothed(kind: str):
    for options in ({}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 0, "progressive": True}):
        frame = jpeg.frame(jpeg_bytes(photo(1).convert(kind), **options))
        assert frame == (*photo(1).size, True, False)


def test_a_damaged_progressive_file_is_left_to_the_decoder():
    content = jpeg_bytes(photo(0), progressive=True)
    assert jpeg.frame(content[:-200]).portable
    with pytest.raises(ValueError, match="damaged JPEG"):
        jpeg.decode(content[:-200], *photo(0).size)
