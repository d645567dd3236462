import ctypes
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from images import jpeg_bytes, photo, without_last_scans
from PIL import Image

pytest.importorskip("numba")
from ilsvrc.loading import decode_crops, resample
from ilsvrc.loading.batches import open_training
from ilsvrc.loading.random_crops import CUBIC, NO_PADDING
from ilsvrc.packing import beton_layout, c_extension, jpeg

SAMPLINGS = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2, "grey": 3, "4:4:0": 4, "4:1:1": 5}  # libjpeg-turbo's numbers
WIDTH, HEIGHT, CROPS = 203, 149, 60

needs_compiled = pytest.mark.skipif(c_extension.path() is None, reason="kernels.c is not compiled here")


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
    assert not decode_crops.show_all(stored, *columns, boxes, windows, 0 * ones, shown, False, NO_PADDING).any()
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
@needs_compiled
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


@needs_compiled
def test_training_decodes_no_rows_below_the_crop():
    content = encoded("4:2:0")
    content = content[: len(content) // 2] + jpeg.END  # the upper half of the rows, or a little more
    ones = np.ones(1, np.int64)
    columns = (ones * beton_layout.JPEG).astype(np.uint8), ones * WIDTH, ones * HEIGHT, 0 * ones, ones * len(content)
    box, window = np.array([[0, 0, 32, 32]]), np.array([[[32, 32, 0, 0, 0]]])
    shown, stored = np.empty((1, 1, 32, 32, 3), np.uint8), np.frombuffer(content, np.uint8)
    assert decode_crops.show_all(stored, *columns, box, window, 0 * ones, shown, False, NO_PADDING) == 0
    assert decode_crops.show_all(stored, *columns, box, window, 0 * ones, shown, True, NO_PADDING) == 1


@pytest.mark.parametrize("kind", range(4))
def test_the_two_resizes_agree(kind: int):
    random = np.random.default_rng(2)
    for _ in range(100):
        height, width, length = (int(n) for n in random.integers(1, 90, 3))
        source = random.integers(0, 256, (height, width, 3), np.uint8)
        columns, rows = (resample._weights(kind, 0, side, length, 0, length) for side in (width, height))
        for one, other, *arguments in (
            (resample._across, resample._numba_across, height, columns),
            (resample._down, resample._numba_down, width, rows, kind == CUBIC),
        ):
            assert (one(source, 0, *arguments) == other(source, 0, *arguments)).all()


WITHOUT = """
import sys
from ilsvrc.packing import c_extension
c_extension.path, c_extension.address = lambda: None, lambda name: None
from ilsvrc.loading.batches import open_training
import torch
for beton, out in zip(sys.argv[1::2], sys.argv[2::2]):
    opened = open_training("ffcv", beton, crop="area_aspect", crop_px=32, flip=True, batch_size=12, seed=5, workers=2)
    torch.save([tuple(batch) for batch in opened.epoch(3)], out)
    opened.close()
"""


@needs_compiled
def test_batches_are_the_same_without_the_compiled_library(jpeg_beton: Path, raw_beton: Path, tmp_path: Path):
    torch = pytest.importorskip("torch")
    betons = {jpeg_beton: tmp_path / "jpeg.pt", raw_beton: tmp_path / "raw.pt"}
    words = [str(path) for pair in betons.items() for path in pair]
    subprocess.run([sys.executable, "-c", WITHOUT, *words], check=True)  # one process: it compiles for itself
    for beton, out in betons.items():
        opened = open_training("ffcv", beton, crop="area_aspect", crop_px=32, flip=True, batch_size=12, seed=5)
        pairs = zip(opened.epoch(3), torch.load(out), strict=True)
        assert all(torch.equal(a, b) for ours, theirs in pairs for a, b in zip(ours, theirs, strict=True))
        opened.close()
