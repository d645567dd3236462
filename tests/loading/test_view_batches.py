"""Views of any sizes: the pixels of Pillow in two steps, each image once, bounded memory."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from images import jpeg_bytes, photo
from PIL import Image

from ilsvrc.evaluation.protocols import (
    googlenet_144_crop,
    single_crop_cubic,
    ten_crop,
    twelve_crop,
    vgg_dense_multi_scale,
)
from ilsvrc.loading import view_batches, view_layout
from ilsvrc.loading.view_batches import ViewBatch, open_views
from ilsvrc.loading.views import View, view_box

LOADERS = ("ffcv", "pillow")
NUM_FLOWERS = 3


def unmirrored(*protocols: list[View]) -> list[View]:
    return list(dict.fromkeys(view._replace(mirrored=False) for views in protocols for view in views))


def every_kind(crop_px: int) -> list[View]:
    """72 windows of 144 crops, whole images at three sizes, a squeezed rectangle, one by the cubic filter."""
    return unmirrored(
        googlenet_144_crop.views(crop_px), vgg_dense_multi_scale.views(crop_px), twelve_crop.views(crop_px),
        single_crop_cubic.views(crop_px),
    )  # fmt: skip


def shown(loader: str, beton: Path, views: list[View], **options: int) -> list[ViewBatch]:
    opened = open_views(loader, beton, views=views, **options)
    batches = list(opened)
    opened.close()
    assert opened.num_images == sum(len(batch.labels) for batch in batches)
    return batches


def by_image(batches: list[ViewBatch]) -> dict[tuple[int, int], np.ndarray]:
    """(place in the file, view) -> pixels."""
    found = {}
    for batch in batches:
        for pixels, images, views in batch.shown:
            for shown, image, view in zip(pixels.numpy(), images.tolist(), views.tolist(), strict=True):
                key = int(batch.indices[image]), view
                assert key not in found
                found[key] = shown
    return found


def of_pillow(image: Image.Image, view: View) -> np.ndarray:
    """A view in Pillow's own words."""
    kind = {"bilinear": Image.Resampling.BILINEAR, "cubic": Image.Resampling.BICUBIC}[view.interpolation]
    width, height, left, top, part_width, part_height, *last = view_box(view, *image.size)
    part = image.resize((width, height), kind).crop((left, top, left + part_width, top + part_height))
    return np.asarray(part.resize(tuple(last), kind))


def require_pillows(found: dict[tuple[int, int], np.ndarray], images: list[Image.Image], views: list[View]) -> None:
    assert len(found) == len(images) * len(views)
    for (image, view), pixels in found.items():
        expected = of_pillow(images[image], views[view])
        assert pixels.shape == expected.shape and (pixels == expected).all(), (image, views[view])


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("form", [{"encoding": "raw"}, {}])
def test_every_view_has_the_pixels_of_pillow(packer, loader: str, form: dict) -> None:
    contents = [jpeg_bytes(photo(number)) for number in range(8)]  # 64 x 48, and seven other sizes
    beton, _ = packer(contents, **form)
    views = every_kind(32)
    images = [Image.open(io.BytesIO(content)).convert("RGB") for content in contents]
    require_pillows(by_image(shown(loader, beton, views, workers=2)), images, views)


@pytest.mark.parametrize("loader", LOADERS)
def test_views_of_photographs_have_the_pixels_of_pillow(packer, shared_data: Path, loader: str) -> None:
    with tarfile.open(shared_data / "flowers17.tar") as archive:
        members = [member for member in archive if member.isfile()][:: 1360 // NUM_FLOWERS][:NUM_FLOWERS]
        contents = [archive.extractfile(member).read() for member in members]
    beton, _ = packer(contents)
    views = every_kind(224)
    images = [Image.open(io.BytesIO(content)).convert("RGB") for content in contents]
    require_pillows(by_image(shown(loader, beton, views)), images, views)


@pytest.mark.parametrize("loader", [*LOADERS, "synthetic"])
@pytest.mark.parametrize("world_size", [1, 3])
def test_each_image_comes_once_at_any_number_of_processes(jpeg_beton, loader: str, world_size: int) -> None:
    views = [*unmirrored(ten_crop.views(32)), View(37, None, region="rectangle")]
    batches = [batch for rank in range(world_size) for batch in shown(loader, jpeg_beton, views, rank=rank,
                                                                     world_size=world_size)]  # fmt: skip
    found = torch.cat([batch.indices for batch in batches])
    assert sorted(found.tolist()) == list(range(53))
    labels = {int(i): int(label) for batch in batches for i, label in zip(batch.indices, batch.labels, strict=True)}
    assert labels == {i: i % 3 for i in range(53)}
    assert len(by_image(batches)) == 53 * 6


def test_more_processes_than_images_leave_some_without_any(jpeg_beton) -> None:
    assert shown("ffcv", jpeg_beton, [View(37, 32)], rank=53, world_size=54) == []


def test_images_of_one_size_lie_together(jpeg_beton) -> None:
    views = [View(37, 32), View(37, None, region="rectangle"), View(46, 40), View(32, 32)]
    (batch,) = shown("ffcv", jpeg_beton, views)
    sizes = [tuple(one.pixels.shape[1:3]) for one in batch.shown]
    assert len(set(sizes)) == len(sizes)
    squares = batch.shown[sizes.index((32, 32))]
    assert len(squares.pixels) == 2 * 53 and squares.views.tolist() == [0, 3] * 53
    assert sum(len(one.pixels) for one in batch.shown) == 4 * 53
    starts = [one.pixels.data_ptr() for one in batch.shown]
    assert max(starts) - min(starts) < sum(one.pixels.numel() for one in batch.shown)  # one memory


def test_crops_come_in_the_files_order_and_whole_images_by_size(jpeg_beton) -> None:
    (crops,) = shown("synthetic", jpeg_beton, [View(37, 32)])
    assert crops.indices.tolist() == list(range(53))
    (whole,) = shown("synthetic", jpeg_beton, [View(37, None, region="rectangle")])
    assert whole.indices.tolist() != list(range(53))
    assert len(whole.shown) == 8  # sizes: images of one come one after another
    assert [int(one.images.diff().max()) for one in whole.shown] == [1] * 8


@pytest.mark.parametrize("kind", ["crops", "whole"])
def test_a_batch_holds_bounded_bytes_whatever_its_views(jpeg_beton, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(view_batches, "BATCH_BYTES", 100_000)
    views = unmirrored(ten_crop.views(32)) if kind == "crops" else [View(64, None, region="rectangle")]
    batches = shown("synthetic", jpeg_beton, views)
    num_bytes = [sum(one.pixels.numel() for one in batch.shown) for batch in batches]
    assert max(num_bytes) <= 100_000
    if kind == "crops":  # 5 x 32 x 32 x 3 = 15360 bytes an image
        assert [len(batch.labels) for batch in batches] == [6] * 8 + [5]
    assert sum(num_bytes[:-1]) / len(num_bytes[:-1]) > 50_000  # and not far fewer


def test_each_worker_has_an_image_even_where_their_views_are_many() -> None:
    sides = np.full(600, 2)
    large = [View(4000, 4000), View(4001, 4000), View(4002, 4000)]  # 144 MB an image
    assert [len(places) for places in view_batches.cut(large, sides[:5], sides[:5], 2)] == [2, 2, 1]
    assert [len(places) for places in view_batches.cut([View(2, 2)], sides, sides, 2)] == [256, 256, 88]


def test_images_of_one_size_follow_each_other_in_the_files_order() -> None:
    widths, heights = np.array([5, 8, 4, 8, 5, 16]), np.array([4, 4, 5, 4, 4, 8])  # 16 x 8 becomes 8 x 4 too
    (whole,) = view_batches.cut([View(4, None, region="rectangle")], widths, heights, 1)
    assert whole.tolist() == [0, 4, 1, 3, 5, 2]
    (crops,) = view_batches.cut([View(4, 4)], widths, heights, 1)
    assert crops.tolist() == [0, 1, 2, 3, 4, 5]


def test_offsets_leave_no_gap() -> None:
    views = [View(37, 32), View(37, None, region="rectangle"), View(37, 32, region="rectangle", squeezed=True)]
    where = view_layout.lay_out(views, np.array([64, 48, 64]), np.array([48, 64, 48]))
    sizes = 3 * where.view_boxes[:, :, 6] * where.view_boxes[:, :, 7]
    order = np.argsort(where.offsets, axis=None)
    ends = (where.offsets + sizes).reshape(-1)[order]
    assert where.offsets.reshape(-1)[order].tolist() == [0, *ends[:-1].tolist()]
    assert where.num_bytes == ends[-1] == 6 * 32 * 32 * 3 + 3 * 49 * 37 * 3
