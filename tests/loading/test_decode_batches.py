import ctypes
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from images import jpeg_bytes, photo, without_last_scans
from PIL import Image

from ilsvrc.loading.decode_batches import BatchDecoder
from ilsvrc.loading.random_crops import NO_PADDING, CropBoxes
from ilsvrc.loading.view_layout import ViewLayout
from ilsvrc.packing import beton_layout, c_extension, jpeg

SAMPLINGS = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2, "grey": 3, "4:4:0": 4, "4:1:1": 5}  # libjpeg-turbo's numbers
FILTERS = [Image.Resampling.BILINEAR, Image.Resampling.BOX, Image.Resampling.NEAREST, Image.Resampling.BICUBIC]
WIDTH, HEIGHT, CROPS = 203, 149, 60

pytestmark = pytest.mark.skipif(c_extension.path() is None, reason="the kernels in C are not compiled here")


def image() -> Image.Image:
    return photo(3).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def encoded(sampling: str) -> bytes:
    """The image as libjpeg-turbo encodes it: Pillow knows three of the samplings only."""
    library = jpeg.turbojpeg()
    library.tjInitCompress.restype = ctypes.c_void_p
    handle, result, size = ctypes.c_void_p(library.tjInitCompress()), ctypes.c_void_p(), ctypes.c_ulong()
    pixels = np.asarray(image()).tobytes()
    options = (ctypes.byref(result), ctypes.byref(size), SAMPLINGS[sampling], 90, 0)
    assert library.tjCompress2(handle, pixels, WIDTH, 0, HEIGHT, jpeg.RGB_PIXELS, *options) == 0
    content = ctypes.string_at(result, size.value)
    library.tjFree(result)
    library.tjDestroy(handle)
    return content


def crops(content: bytes, side: int, width: int = WIDTH) -> tuple[np.ndarray, np.ndarray]:
    """Crops `[CROPS, side, side, 3]` of a JPEG that is decoded in part, and those of the whole one."""
    random, ones = np.random.default_rng(side), np.ones(CROPS, np.int64)
    left, top = random.integers(width - side + 1, size=CROPS), random.integers(HEIGHT - side + 1, size=CROPS)
    left[:4], top[:4] = (0, width - side, 0, width - side), (0, 0, HEIGHT - side, HEIGHT - side)
    boxes = np.column_stack((left, top, ones * side, ones * side))
    windows = np.column_stack((ones * side, ones * side, 0 * ones, 0 * ones, 0 * ones))[:, None]
    columns = (ones * beton_layout.JPEG).astype(np.uint8), ones * width, ones * HEIGHT, 0 * ones, ones * len(content)
    shown = np.empty((CROPS, 1, side, side, 3), np.uint8)
    stored = np.frombuffer(content, np.uint8)
    decoder = BatchDecoder(2)
    assert not decoder.show_crops(stored, columns, CropBoxes(boxes, windows, 0 * ones), shown, NO_PADDING).any()
    decoder.close()
    whole = jpeg.decode(content, width, HEIGHT)
    return shown[:, 0], np.stack([whole[y : y + side, x : x + side] for x, y in zip(left, top, strict=True)])


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("side", [1, 8, 33, 149])
def test_a_part_of_a_jpeg_has_the_pixels_of_the_whole(sampling: str, side: int):
    part, whole = crops(encoded(sampling), side)
    assert (part == whole).all()


@pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_rows": 1}, {"restart_marker_blocks": 3}])
def test_progressive_files_and_restart_markers_do_not_matter(options: dict[str, object]):
    part, whole = crops(jpeg_bytes(image(), **options), 40)
    assert (part == whole).all()


@pytest.mark.parametrize("kept", [1, 4, 9])
def test_a_part_is_smoothed_as_the_whole_where_scans_are_missing(kept: int):
    part, whole = crops(without_last_scans(jpeg_bytes(image(), progressive=True), kept), 40)
    assert (part == whole).all()


@pytest.mark.parametrize("factors", [(0x41, 0x21, 0x11), (0x41, 0x11, 0x21), (0x42, 0x11, 0x11), (0x22, 0x11, 0x12)])
def test_a_narrow_part_of_an_odd_sampling_has_the_pixels_of_the_whole(factors: tuple[int, ...]):
    """Right of column 191 a part of its own has 3 columns."""
    width = 195
    blocks = -(-width // (8 * (factors[0] >> 4))), -(-HEIGHT // (8 * (factors[0] & 15)))
    content = simple_blocks(width, factors, sum((f >> 4) * (f & 15) for f in factors) * blocks[0] * blocks[1])
    for side in (1, 2, 5, 33):
        part, whole = crops(content, side, width)
        assert (part == whole).all() and len(np.unique(whole)) > 2


def simple_blocks(width: int, factors: tuple[int, ...], num_blocks: int) -> bytes:
    """A baseline JPEG of `width` x HEIGHT whose blocks have a mean and a slope at random."""

    def segment(marker: int, content: bytes) -> bytes:
        return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content

    random = np.random.default_rng(0)
    # the mean's difference: 0, or bits 10 and its sign; a slope: 10 and its sign; 0 for "no more coefficients"
    bits = "".join(random.choice(["01000", "01010", "1001010", "1011000"], num_blocks))
    bits += "1" * (-len(bits) % 8)
    scan = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)).replace(b"\xff", b"\xff\0")
    components = b"".join(bytes([name, factor, 0]) for name, factor in enumerate(factors, 1))
    return b"".join(
        (
            jpeg.START,
            segment(0xDB, b"\0" + b"\xa0" * 64),
            segment(0xC0, struct.pack(">BHHB", 8, HEIGHT, width, 3) + components),
            segment(0xC4, b"\0" + bytes([1, 1, *[0] * 14, 0, 1])),
            segment(0xC4, b"\x10" + bytes([1, 1, *[0] * 14, 0, 1])),
            segment(0xDA, bytes([3, 1, 0, 2, 0, 3, 0, 0, 63, 0])),
            scan,
            jpeg.END,
        )
    )


@pytest.mark.parametrize(
    "box", [(-1, 0, 9, 9), (0, -1, 9, 9), (0, 0, 0, 9), (0, 0, 9, 0), (195, 0, 9, 9), (0, 141, 9, 9)]
)
def test_a_part_that_leaves_the_image_is_refused(box: tuple[int, ...]):
    function = ctypes.CFUNCTYPE(
        ctypes.c_int64, ctypes.c_char_p, ctypes.c_size_t, *6 * [ctypes.c_int64], ctypes.c_void_p, ctypes.c_int64
    )
    decode_part = function(c_extension.address("ilsvrc_decode_part"))
    content, room = jpeg_bytes(image()), np.zeros(200 * 40 * 3, np.uint8)
    assert decode_part(content, len(content), WIDTH, HEIGHT, 0, 0, 9, 9, room.ctypes.data, 123) == 0
    assert decode_part(content, len(content), WIDTH, HEIGHT, *box, room.ctypes.data, 123) == -1


def test_a_library_compiled_before_it_could_be_asked_is_not_used(monkeypatch):
    monkeypatch.setattr(c_extension, "path", lambda: jpeg.turbojpeg()._name)  # it has none of the functions
    assert c_extension.address.__wrapped__("ilsvrc_decode_part") is None
    assert c_extension.address.__wrapped__("ilsvrc_across") is None


def test_training_decodes_no_rows_below_the_crop():
    content = encoded("4:2:0")
    content = content[: len(content) // 2] + jpeg.END  # the upper half of the rows, or a little more
    ones = np.ones(1, np.int64)
    columns = (ones * beton_layout.JPEG).astype(np.uint8), ones * WIDTH, ones * HEIGHT, 0 * ones, ones * len(content)
    box, window = np.array([[0, 0, 32, 32]]), np.array([[[32, 32, 0, 0, 0]]])
    shown, stored = np.empty((1, 1, 32, 32, 3), np.uint8), np.frombuffer(content, np.uint8)
    decoder = BatchDecoder(1)
    assert decoder.show_crops(stored, columns, CropBoxes(box, window, 0 * ones), shown, NO_PADDING) == 0
    whole = ViewLayout(np.array([[[32, 32, 0, 0, 32, 32, 32, 32]]]), 0 * ones, np.zeros((1, 1), np.int64), shown.size)
    assert decoder.show_views(stored, columns, whole, shown) == 1
    decoder.close()


@pytest.mark.parametrize("kind", range(4))
def test_resized_crops_of_a_part_are_those_of_the_whole(kind: int):
    """Boxes, sizes and places at random; views of a test are cut from the whole image."""
    random, content, side = np.random.default_rng(kind), encoded("4:2:0"), 24
    width, height = random.integers(1, WIDTH, CROPS), random.integers(1, HEIGHT, CROPS)
    left, top = random.integers(WIDTH - width + 1), random.integers(HEIGHT - height + 1)
    boxes, sizes = np.column_stack((left, top, width, height)), random.integers(side, 90, (CROPS, 2))
    places = random.integers(sizes - side + 1)
    mirrored = random.integers(2, size=(CROPS, 1))
    crop_boxes = np.concatenate((sizes, places, mirrored), axis=1)[:, None]
    ones = np.ones(CROPS, np.int64)
    columns = beton_layout.JPEG * ones, WIDTH * ones, HEIGHT * ones, 0 * ones, len(content) * ones
    shown, decoder = np.empty((CROPS, 1, side, side, 3), np.uint8), BatchDecoder(2)
    stored = np.frombuffer(content, np.uint8)
    assert not decoder.show_crops(stored, columns, CropBoxes(boxes, crop_boxes, kind * ones), shown, NO_PADDING).any()
    decoder.close()
    whole = Image.fromarray(jpeg.decode(content, WIDTH, HEIGHT))
    for crop, (x, y, w, h), size, place, flip in zip(shown[:, 0], boxes, sizes, places, mirrored, strict=True):
        resized = np.asarray(whole.crop((x, y, x + w, y + h)).resize(tuple(size.tolist()), FILTERS[kind]))
        expected = resized[place[1] : place[1] + side, place[0] : place[0] + side]
        assert (crop == (expected[:, ::-1] if flip else expected)).all()


def test_passes_without_avx2_give_the_same(tmp_path: Path):
    if shutil.which("gcc") is None:
        pytest.skip("wants gcc")
    source = Path(c_extension.__file__).with_name("kernels") / "passes.c"
    library = tmp_path / "passes.so"
    subprocess.run(["gcc", "-O1", "-DWITHOUT_VECTORS", "-shared", "-fPIC", source, "-o", library], check=True)
    random, plain = np.random.default_rng(2), ctypes.CDLL(str(library))
    for _ in range(100):
        height, width, count, taps = (int(n) for n in random.integers(1, 90, 4))
        pixels = random.integers(0, 256, (height, width, 3), np.uint8)
        for name, side in (("ilsvrc_across", width), ("ilsvrc_down", height)):
            number = random.integers(1, min(taps, side) + 1, count)
            first = random.integers(side - number + 1)
            weights = random.integers(-(1 << 20), 1 << 21, (count, taps)).astype(np.int32)
            table = first.ctypes.data, number.ctypes.data, weights.ctypes.data, taps, count
            found = []
            for function in (c_extension.address(name), ctypes.cast(getattr(plain, name), ctypes.c_void_p).value):
                last, result = np.zeros(3 * width + 1, np.uint8), np.zeros((3 * max(height, width) * count), np.uint8)
                size = (width, height) if name == "ilsvrc_across" else (3 * width, 3 * width)
                rooms = (last.ctypes.data, result.ctypes.data) if name == "ilsvrc_across" else (result.ctypes.data,)
                arguments = [pixels.ctypes.data, *size, *table, *rooms]
                kinds = [ctypes.c_void_p if value > 1 << 20 else ctypes.c_int64 for value in arguments]
                ctypes.CFUNCTYPE(None, *kinds)(function)(*arguments)
                found.append(result)
            assert (found[0] == found[1]).all()
