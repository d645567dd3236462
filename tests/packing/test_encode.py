import io
import struct
import zlib

import numpy as np
import pytest
from images import jpeg_bytes, photo, without_last_scans
from PIL import Image, features

from ilsvrc.config.specs import FormSpec
from ilsvrc.packing import beton_layout, jpeg
from ilsvrc.packing.encode import store

FORM = FormSpec(data="t")
RAW = FormSpec(data="t", encoding="raw")


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(stored) -> np.ndarray:
    assert stored.mode == beton_layout.RAW
    return np.frombuffer(stored.payload, np.uint8).reshape(stored.height, stored.width, 3)


def flat(mode: str, value: object) -> Image.Image:
    return Image.new(mode, (8, 6), value)


def palette(**options: object) -> bytes:
    image = Image.new("P", (8, 6), 1)
    image.putpalette([9, 9, 9, 200, 30, 40])
    return encoded(image, "PNG", **options)


def png(
    colour_type: int, bits: int, line: bytes, width: int = 8, height: int = 6, num_lines: int | None = None
) -> bytes:
    """A PNG that Pillow cannot write: `num_lines` times the same line, by default `height` times."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    lines = zlib.compress((b"\0" + line) * (num_lines or height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


def sixteen_bits(*values: int) -> bytes:
    return struct.pack(f">{len(values)}H", *values) * 8


def ycck() -> bytes:
    """Y 150, Cb 100, Cr 180, K 255, as Adobe writes it: YCbCr of red 223, green 122, blue 100, each inverted."""
    content = bytearray(encoded(flat("CMYK", (255 - 150, 255 - 100, 255 - 180, 0)), "JPEG", quality=100))
    content[content.index(b"Adobe") + 11] = 2  # the transform: YCCK
    return bytes(content)


def adobe_rgb() -> bytes:
    content = encoded(flat("RGB", RED), "JPEG", keep_rgb=True, quality=100)
    return content[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0" + content[2:]


def red_jpeg(width: int = 8, height: int = 6, **options: object) -> bytes:
    return encoded(Image.new("RGB", (width, height), RED), "JPEG", quality=100, **options)


def turned(kind: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    return encoded(flat("RGB", RED), kind, exif=exif, **({"quality": 100} if kind == "JPEG" else {}))


def animated(kind: str, **options: object) -> bytes:
    return encoded(flat("RGB", RED), kind, save_all=True, append_images=[flat("RGB", BLACK)], **options)


def with_thumbnail(content: bytes, thumbnail: bytes) -> bytes:
    """A whole JPEG, start and end included, in a segment before the image's own."""
    segment = b"thumbnail" + thumbnail
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + content[2:]


def sized(content: bytes, width: int, height: int) -> bytes:
    """The JPEG with another size in its head."""
    place = content.index(b"\xff\xc0") + 5
    return content[:place] + struct.pack(">HH", height, width) + content[place + 4 :]


ONES = "01" * 64
ARITHMETIC = bytes.fromhex(  # libjpeg-turbo's of the same image
    f"ffd8ffe000104a46494600010100000100010000ffdb004300{ONES}ffdb0043{ONES}"
    "01ffc90011080006000803011100021101031101ffcc000a0010100501101105ffda000c03010002110311003f00ff00ee4f"
    "a713d3a4ceffd9"
)
RED, GREY, WHITE, BLACK = (200, 30, 40), (77, 77, 77), (255, 255, 255), (0, 0, 0)
ODD_IMAGES = {
    # name: (bytes, how they are stored as JPEG, size, colour)
    "grey JPEG": (encoded(flat("L", 77), "JPEG", quality=100), "passed_through", (8, 6), GREY),
    "progressive JPEG": (red_jpeg(progressive=True), "passed_through", (8, 6), RED),
    "JPEG 4:4:4": (red_jpeg(subsampling=0), "passed_through", (8, 6), RED),
    "JPEG with restart markers": (red_jpeg(100, 60, restart_marker_rows=1), "passed_through", (100, 60), RED),
    "JPEG and bytes behind it": (red_jpeg() + b"\0" * 100, "passed_through", (8, 6), RED),
    "JPEG of one pixel": (red_jpeg(1, 1), "passed_through", (1, 1), RED),
    "JPEG 20000x100": (red_jpeg(20000, 100), "passed_through", (20000, 100), RED),
    "JPEG turned by EXIF": (turned(), "passed_through", (8, 6), RED),
    "JPEG named .PNG": (red_jpeg(), "passed_through", (8, 6), RED),  # names are not looked at
    "JPEG with a thumbnail": (with_thumbnail(red_jpeg(), jpeg_bytes(photo(1))), "passed_through", (8, 6), RED),
    "JPEG with 16-bit quantisation": (red_jpeg(qtables=[[1] + [300] * 63] * 2), "passed_through", (8, 6), RED),
    "JPEGs in one file (MPO)": (animated("MPO", quality=100), "passed_through", (8, 6), RED),
    "arithmetic JPEG": (ARITHMETIC, "encoded", (8, 6), RED),
    "progressive JPEG without its last scans": (
        without_last_scans(red_jpeg(progressive=True), 7), "encoded", (8, 6), RED,
    ),
    "RGB JPEG of Adobe": (adobe_rgb(), "encoded", (8, 6), RED),
    "CMYK JPEG, white": (encoded(flat("CMYK", (0, 0, 0, 0)), "JPEG", quality=100), "encoded", (8, 6), WHITE),
    "CMYK JPEG, black": (encoded(flat("CMYK", (0, 0, 0, 255)), "JPEG", quality=100), "encoded", (8, 6), BLACK),
    "YCCK JPEG": (ycck(), "encoded", (8, 6), (255 - 223, 255 - 122, 255 - 100)),
    "PNG named .JPEG": (encoded(flat("RGB", RED), "PNG"), "encoded", (8, 6), RED),
    "PNG of one pixel": (encoded(Image.new("RGB", (1, 1), RED), "PNG"), "encoded", (1, 1), RED),
    "PNG 20000x100": (encoded(Image.new("RGB", (20000, 100), RED), "PNG"), "encoded", (20000, 100), RED),
    "PNG turned by EXIF": (turned("PNG"), "encoded", (8, 6), RED),
    "grey PNG": (encoded(flat("L", 77), "PNG"), "encoded", (8, 6), GREY),
    "palette": (palette(), "encoded", (8, 6), RED),
    "palette with a transparent colour": (palette(transparency=1), "encoded", (8, 6), RED),
    "RGBA": (encoded(flat("RGBA", (*RED, 90)), "PNG"), "encoded", (8, 6), RED),
    "grey and alpha": (encoded(flat("LA", (77, 90)), "PNG"), "encoded", (8, 6), GREY),
    "one bit": (encoded(flat("1", 1), "PNG"), "encoded", (8, 6), WHITE),
    "16-bit grey PNG": (encoded(flat("I;16", 257 * 77), "PNG"), "encoded", (8, 6), GREY),
    "16-bit grey PNG, rounded": (encoded(flat("I;16", 257 * 77 + 128), "PNG"), "encoded", (8, 6), GREY),
    "16-bit grey TIFF": (encoded(flat("I;16", 65535), "TIFF"), "encoded", (8, 6), WHITE),
    "16-bit RGB PNG": (png(2, 16, sixteen_bits(*(257 * v for v in RED))), "encoded", (8, 6), RED),
    "16-bit RGBA PNG": (png(6, 16, sixteen_bits(*(257 * v for v in RED), 9)), "encoded", (8, 6), RED),
    "16-bit RGB PNG, rounded": (
        png(2, 16, sixteen_bits(*(257 * v - 128 for v in RED))), "encoded", (8, 6), RED,
    ),
    "16-bit grey PNG with alpha, rounded": (png(4, 16, sixteen_bits(257 * 77 - 128, 9)), "encoded", (8, 6), GREY),
    "moving GIF": (animated("GIF"), "encoded", (8, 6), RED),
    "moving WebP": (animated("WEBP", lossless=True), "encoded", (8, 6), RED),
    "moving PNG": (animated("PNG"), "encoded", (8, 6), RED),
    "JPEG 2000": (encoded(flat("RGB", RED), "JPEG2000"), "encoded", (8, 6), RED),
    "GIF": (encoded(flat("RGB", RED), "GIF"), "encoded", (8, 6), RED),
    "WebP": (encoded(flat("RGB", RED), "WEBP", lossless=True), "encoded", (8, 6), RED),
    "BMP": (encoded(flat("RGB", RED), "BMP"), "encoded", (8, 6), RED),
}  # fmt: skip


@pytest.mark.parametrize(("content", "how", "size", "colour"), ODD_IMAGES.values(), ids=ODD_IMAGES)
@pytest.mark.parametrize("verify", ["decode", "structure"])
def test_odd_images_are_stored_right(content: bytes, how: str, size: tuple, colour: tuple, verify: str):
    stored = store(content, FormSpec(data="t", verify=verify), measured=verify == "decode")
    assert (stored.how, stored.width, stored.height) == (how, *size)
    shown = Image.open(io.BytesIO(stored.payload)).convert("RGB")
    assert (how == "encoded") or content.startswith(stored.payload)
    assert np.abs(np.asarray(shown).astype(int) - colour).max() <= 4
    assert stored.measured is None or np.abs(stored.measured.sums[0] / (size[0] * size[1]) - colour).max() <= 4


@pytest.mark.parametrize(("content", "how", "size", "colour"), ODD_IMAGES.values(), ids=ODD_IMAGES)
def test_odd_images_become_raw_rgb(content: bytes, how: str, size: tuple, colour: tuple):
    shown = pixels(store(content, RAW))
    assert shown.shape == (size[1], size[0], 3)
    assert np.abs(shown.astype(int) - colour).max() <= (1 if b"JFIF" in content or b"Adobe" in content else 0)


@pytest.mark.parametrize("number", range(4))
def test_a_jpeg_is_stored_with_its_own_bytes(number: int):
    content = jpeg_bytes(photo(number), progressive=number == 2)
    assert store(content, FORM).payload == content


@pytest.mark.parametrize("kind", ["L", "RGB"])
def test_pixels_of_a_jpeg_are_pillows(kind: str):
    content = jpeg_bytes(photo(0).convert(kind))
    assert (pixels(store(content, RAW)) == np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))).all()


def test_the_short_side_is_resized_as_pillow_does_it():
    stored = store(encoded(photo(0), "PNG"), FormSpec(data="t", encoding="raw", short_side_px=20))
    assert (stored.width, stored.height) == (26, 20)
    assert (pixels(stored) == np.asarray(photo(0).resize((26, 20), Image.Resampling.BILINEAR))).all()


def test_small_images_grow_only_where_the_form_says_so():
    content = jpeg_bytes(photo(0))
    assert store(content, FormSpec(data="t", short_side_px=96)).how == "passed_through"
    grown = store(content, FormSpec(data="t", short_side_px=96, upscale=True))
    assert (grown.how, grown.width, grown.height) == ("encoded", 128, 96)


def test_a_image_of_the_very_short_side_passes_through():
    assert store(jpeg_bytes(photo(0)), FormSpec(data="t", short_side_px=48, upscale=True)).how == "passed_through"


def test_a_long_thin_image_keeps_a_side_of_one_pixel():
    stored = store(encoded(Image.new("RGB", (2000, 3)), "PNG"), FormSpec(data="t", short_side_px=1, encoding="raw"))
    assert (stored.width, stored.height) == (666, 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("form", [FORM, RAW], ids=["jpeg", "raw"])
def test_exif_orientation_is_applied_where_asked_for(kind: str, form: FormSpec):
    stored = store(turned(kind), form.model_copy(update={"exif_orientation": "apply"}))
    assert (stored.how == "passed_through", stored.width, stored.height) == (False, 6, 8)


def test_a_jpeg_that_stands_upright_passes_through_where_orientation_is_applied():
    assert store(red_jpeg(), FormSpec(data="t", exif_orientation="apply")).how == "passed_through"


def damaged_middle() -> bytes:
    content = bytearray(jpeg_bytes(photo(0)))
    middle = len(content) * 2 // 3
    content[middle : middle + 200] = b"\xff\xd0" * 100
    return bytes(content)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="8" height="6"/>'
TWELVE_BITS = red_jpeg().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c")
BROKEN_IMAGES = {
    # name: (bytes, the reason that is named, whether a JPEG's structure alone shows it)
    "zero bytes": (b"", "empty file", True),
    "text": (b"a picture of a cat", "not a picture", True),
    "a web page": (b"<html><body>404</body></html>", "not a picture .* HTML, as a failed download leaves", True),
    "a JPEG's start": (jpeg_bytes(photo(0))[:2], "truncated|not a picture", True),
    "JPEG cut in its head": (jpeg_bytes(photo(0))[:300], "(?i)truncated", True),
    "JPEG cut in its scan": (jpeg_bytes(photo(0))[:-300], "damaged JPEG|truncated", True),
    "progressive JPEG cut": (jpeg_bytes(photo(2), progressive=True)[:-300], "damaged JPEG", True),
    "JPEG cut, its thumbnail whole": (
        with_thumbnail(jpeg_bytes(photo(0))[:-300], jpeg_bytes(photo(1))),
        "damaged JPEG|truncated|not a picture",
        True,
    ),
    "JPEG without a scan": (jpeg_bytes(photo(0))[:300] + b"\xff\xd9", "(?i)truncated|broken|identify|not a", True),
    "JPEG damaged in its middle": (damaged_middle(), "damaged JPEG", False),
    "PNG cut": (encoded(photo(0), "PNG")[:-200], "truncated|broken|incomplete", True),
    "floating point": (encoded(Image.new("F", (4, 4), 0.5), "TIFF"), "floating point", True),
    "HEIC": (HEIC, "not a picture .* HEIC/HEIF, .* convert it to JPEG", True),
    "a film": (b"\0\0\0 ftypisom" + bytes(20), "not a picture .* a film", True),
    "JPEG XL": (b"\xff\x0a" + bytes(20), "not a picture .* JPEG XL", True),
    "SVG": (SVG, "not a picture .* SVG", True),
    "PostScript": (encoded(flat("RGB", RED), "EPS"), "not a picture", True),  # a program, which Pillow has run
    "12-bit JPEG": (TWELVE_BITS, "not a picture", True),
    "JPEG bomb": (sized(red_jpeg(), 60000, 60000), "60000 x 60000 pixels.* bomb", True),
    "PNG bomb": (png(0, 8, b"\0" * 20000, 20000, 20000, num_lines=1), "bomb", True),
    "values of more than 16 bits": (encoded(flat("I", 70000), "TIFF"), "span 70000 to 70000; 16 bits", True),
    "JPEG 2000 cut": (encoded(photo(0), "JPEG2000")[:200], "(?i)broken|truncated|unrecognized", True),
    "texture of an unknown kind": (b"DDS " + struct.pack("<I", 124) + bytes(120), ".", True),
    "70000 pixels wide": (png(0, 8, b"\0" * 70000, 70000, 1), "no side may exceed 65535", True),
}


@pytest.mark.parametrize(("content", "reason", "structure"), BROKEN_IMAGES.values(), ids=BROKEN_IMAGES)
@pytest.mark.parametrize("form", [FORM, RAW], ids=["jpeg", "raw"])
def test_broken_images_are_refused_with_the_reason(content: bytes, reason: str, structure: bool, form: FormSpec):
    with pytest.raises(ValueError, match=reason):
        store(content, form)


@pytest.mark.parametrize(("content", "reason", "structure"), BROKEN_IMAGES.values(), ids=BROKEN_IMAGES)
def test_structure_alone_shows_most_of_what_is_broken(content: bytes, reason: str, structure: bool):
    form = FormSpec(data="t", verify="structure")
    if structure:
        with pytest.raises(ValueError, match=reason):
            store(content, form, measured=False)
    else:
        assert store(content, form, measured=False).payload == content


@pytest.mark.parametrize(("content", "reason", "structure"), BROKEN_IMAGES.values(), ids=BROKEN_IMAGES)
def test_broken_images_are_refused_where_they_are_to_be_turned(content: bytes, reason: str, structure: bool):
    with pytest.raises(ValueError, match=reason):
        store(content, FormSpec(data="t", exif_orientation="apply"))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "GIF", "WEBP", "BMP", "JPEG2000", "DDS", "ICO"])
def test_no_damage_raises_anything_but_the_reason(kind: str):
    random, whole = np.random.default_rng(0), encoded(photo(0), kind)
    for _ in range(200):
        content = bytearray(whole)
        for place in random.integers(len(content) if random.integers(2) else 128, size=3):
            content[place] = random.integers(256)
        try:
            store(bytes(content), RAW)
        except ValueError as error:
            assert str(error)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif_is_read_and_named_where_it_is_cut():
    content = encoded(flat("RGB", RED), "AVIF", quality=100)
    assert np.abs(pixels(store(content, RAW)).astype(int) - RED).max() <= 2
    with pytest.raises(ValueError, match=r"(?i)fail|truncated|not a picture"):
        store(content[:-20], FORM)


def test_a_side_that_no_jpeg_can_have_is_refused_or_stored_raw():
    content = png(0, 8, b"\x07" * 65510, 65510, 1)
    assert store(content, RAW).width == 65510
    with pytest.raises(ValueError, match="no side of a JPEG may exceed 65500 pixels, and one has 65510"):
        store(content, FORM)


@pytest.mark.parametrize("orientation", [0, 1, 9])
def test_an_orientation_that_turns_nothing_lets_a_jpeg_pass_through(orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert store(red_jpeg(exif=exif), FormSpec(data="t", exif_orientation="apply")).how == "passed_through"


def test_a_16_bit_colour_png_is_turned_where_asked_for():
    exif = Image.Exif()
    exif[0x0112] = 6
    chunk = b"eXIf" + exif.tobytes()[6:]
    content = png(2, 16, sixteen_bits(*(257 * v - 128 for v in RED)))
    turned_png = content[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    stored = store(turned_png + content[33:], RAW.model_copy(update={"exif_orientation": "apply"}))
    assert (stored.width, stored.height) == (6, 8)
    assert (pixels(stored) == RED).all()


def test_a_progressive_jpeg_without_its_last_scans_has_pillows_pixels():
    content = without_last_scans(jpeg_bytes(photo(0), progressive=True), 4)
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    assert (pixels(store(content, RAW)) == expected).all()
    assert store(content, FORM).how == store(content, FormSpec(data="t", verify="structure"), False).how == "encoded"


def test_a_jpeg_of_more_than_500_scans_is_refused():
    content = jpeg_bytes(photo(0), progressive=True)
    start = content.index(b"\xff\xda")
    scan = content[start : content.index(b"\xff\xc4", start)]
    with pytest.raises(ValueError, match="more than 500 scans"):
        jpeg.decode(content[:start] + scan * 600 + content[start:], 64, 48)


@pytest.mark.parametrize("number", range(10))
def test_a_jpeg_cut_anywhere_is_refused_by_its_structure(number: int):
    content = jpeg_bytes(photo(number), progressive=number % 2 == 0)
    for end in np.random.default_rng(number).integers(2, len(content) - 2, 30):
        with pytest.raises(ValueError, match=r"(?i)damaged JPEG|truncated|not a picture|broken|cannot load"):
            store(content[:end], FormSpec(data="t", verify="structure"), measured=False)


def test_a_jpeg_with_bytes_between_its_segments_is_not_passed_through():
    content = jpeg_bytes(photo(0))
    first_table = content.index(b"\xff\xdb")
    patched = content[:first_table] + b"patch" + content[first_table:]
    assert store(patched, FORM).how == "encoded"  # Pillow reads it
    with pytest.raises(ValueError, match="damaged JPEG"):
        jpeg.check_structure(patched)


def test_a_cut_jpeg_is_refused_without_libturbojpeg_too(monkeypatch):
    monkeypatch.setattr(jpeg, "turbojpeg", lambda: None)
    with pytest.raises(ValueError, match="damaged JPEG"):
        store(jpeg_bytes(photo(0))[:-300], FORM)
