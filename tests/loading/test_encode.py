import io
import struct
import zlib

import numpy as np
import pytest
from pictures import jpeg_bytes, photo
from PIL import Image

from ilsvrc.loading import layout
from ilsvrc.loading.encode import store
from ilsvrc.runs import FormSpec

FORM = FormSpec(data="t")
RAW = FormSpec(data="t", encoding="raw")


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def pixels(stored) -> np.ndarray:
    assert stored.mode == layout.RAW
    return np.frombuffer(stored.payload, np.uint8).reshape(stored.height, stored.width, 3)


def flat(mode: str, value: object) -> Image.Image:
    return Image.new(mode, (8, 6), value)


def palette(**options: object) -> bytes:
    picture = Image.new("P", (8, 6), 1)
    picture.putpalette([9, 9, 9, 200, 30, 40])
    return encoded(picture, "PNG", **options)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (encoded(flat("L", 77), "PNG"), (77, 77, 77)),
        (palette(), (200, 30, 40)),
        (palette(transparency=1), (200, 30, 40)),
        (encoded(flat("RGBA", (200, 30, 40, 90)), "PNG"), (200, 30, 40)),
        (encoded(flat("LA", (77, 90)), "PNG"), (77, 77, 77)),
        (encoded(flat("1", 1), "PNG"), (255, 255, 255)),
        (encoded(flat("I;16", 257 * 100), "PNG"), (100, 100, 100)),
        (encoded(flat("I;16", 65535), "TIFF"), (255, 255, 255)),
        (encoded(flat("RGB", (200, 30, 40)), "GIF"), (200, 30, 40)),
        (encoded(flat("RGB", (200, 30, 40)), "WEBP", lossless=True), (200, 30, 40)),
        (encoded(flat("CMYK", (0, 0, 0, 0)), "JPEG", quality=100), (255, 255, 255)),
        (encoded(flat("CMYK", (0, 0, 0, 255)), "JPEG", quality=100), (0, 0, 0)),
    ],
)
def test_unusual_pictures_become_rgb(content: bytes, expected: tuple[int, int, int]):
    assert (pixels(store(content, RAW)) == expected).all()


@pytest.mark.parametrize(
    "content",
    [jpeg_bytes(photo(0)), jpeg_bytes(photo(1).convert("L")), jpeg_bytes(photo(2), progressive=True),
     jpeg_bytes(photo(3), subsampling=0), jpeg_bytes(Image.new("RGB", (1, 1)))],
    ids=["colour", "grey", "progressive", "4:4:4", "1x1"],
)  # fmt: skip
def test_a_jpeg_is_stored_with_its_own_bytes(content: bytes):
    stored = store(content, FORM)
    assert (stored.how, stored.payload) == ("passed_through", content)


@pytest.mark.parametrize("name", ["cmyk", "png named .JPEG"])
def test_what_cannot_pass_through_is_encoded(name: str):
    content = encoded(flat("CMYK", (0, 0, 0, 0)), "JPEG") if name == "cmyk" else encoded(photo(0), "PNG")
    stored = store(content, FORM)
    assert stored.how == "encoded"
    assert Image.open(io.BytesIO(stored.payload)).mode == "RGB"


def test_rgb_jpegs_of_adobe_are_encoded_as_ycbcr():
    content = encoded(photo(0), "JPEG", keep_rgb=True, quality=95)
    adobe = content[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0" + content[2:]
    assert store(adobe, FORM).how == "encoded"
    assert np.abs(pixels(store(adobe, RAW)).astype(int) - np.asarray(photo(0))).mean() < 4


def test_bytes_after_the_picture_are_left_out():
    content = jpeg_bytes(photo(0))
    assert store(content + b"\0" * 100, FORM).payload == content


def test_the_short_side_is_resized_as_pillow_does_it():
    stored = store(encoded(photo(0), "PNG"), FormSpec(data="t", encoding="raw", short_side_px=20))
    assert (stored.width, stored.height) == (26, 20)
    assert (pixels(stored) == np.asarray(photo(0).resize((26, 20), Image.Resampling.BILINEAR))).all()


def test_small_pictures_grow_only_where_the_form_says_so():
    content = jpeg_bytes(photo(0))
    assert store(content, FormSpec(data="t", short_side_px=96)).how == "passed_through"
    grown = store(content, FormSpec(data="t", short_side_px=96, upscale=True))
    assert (grown.how, grown.width, grown.height) == ("encoded", 128, 96)


def test_a_picture_of_the_very_short_side_passes_through():
    assert store(jpeg_bytes(photo(0)), FormSpec(data="t", short_side_px=48, upscale=True)).how == "passed_through"


def test_a_long_thin_picture_keeps_a_side_of_one_pixel():
    stored = store(encoded(Image.new("RGB", (2000, 3)), "PNG"), FormSpec(data="t", short_side_px=1, encoding="raw"))
    assert (stored.width, stored.height) == (666, 1)


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return jpeg_bytes(photo(0), exif=exif)


def test_exif_orientation_is_ignored_unless_asked_for():
    stored = store(rotated(), FORM)
    assert (stored.how, stored.width, stored.height) == ("passed_through", 64, 48)


def test_exif_orientation_is_applied_where_asked_for():
    form = FormSpec(data="t", exif_orientation="apply")
    stored = store(rotated(), form)
    assert (stored.how, stored.width, stored.height) == ("encoded", 48, 64)
    assert store(jpeg_bytes(photo(0)), form).how == "passed_through"


def damaged_middle() -> bytes:
    content = bytearray(jpeg_bytes(photo(0)))
    middle = len(content) * 2 // 3
    content[middle : middle + 200] = b"\xff\xd0" * 100
    return bytes(content)


def huge_png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 70000, 1, 8, 0, 0, 0, 0)
    lines = zlib.compress(b"\0" * 70001)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"<html><body>404</body></html>", "not a picture"),
        (jpeg_bytes(photo(0))[:-300], "damaged JPEG|truncated"),
        (jpeg_bytes(photo(0))[:300], "(?i)truncated"),
        (damaged_middle(), "damaged JPEG"),
        (encoded(photo(0), "PNG")[:-200], "truncated|broken|incomplete"),
        (encoded(Image.new("F", (4, 4), 0.5), "TIFF"), "floating point"),
        (huge_png(), "no side may exceed 65535"),
    ],
    ids=["zero bytes", "html", "cut jpeg", "jpeg's head", "damaged middle", "cut png", "float", "70000 wide"],
)
@pytest.mark.parametrize("form", [FORM, RAW], ids=["jpeg", "raw"])
def test_broken_pictures_are_refused_with_the_reason(content: bytes, reason: str, form: FormSpec):
    with pytest.raises(ValueError, match=reason):
        store(content, form)
