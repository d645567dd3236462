"""Every protocol keeps the contract; the papers' crop boxes, by hand."""

import pytest

from ilsvrc.config import registry
from ilsvrc.evaluation.predictor import protocol_views
from ilsvrc.evaluation.protocols import (
    flip,
    googlenet_144_crop,
    resnet_multi_scale,
    single_crop,
    single_crop_320,
    single_crop_cubic,
    ten_crop,
    ten_crop_rectangle,
    twelve_crop,
    vgg_dense,
    vgg_dense_multi_scale,
    vgg_multi_crop,
    vgg_multi_crop_150,
    whole,
)
from ilsvrc.loading.views import View, view_box

LANDSCAPE, PORTRAIT, SQUARE, ODD = (500, 375), (375, 500), (300, 300), (500, 373)

# (left, top) of upper left, upper right, lower left, lower right, centre in the resized picture.
TEN_CROP_CORNERS = {
    (500, 375, 224): [(42, 0), (74, 0), (42, 32), (74, 32), (58, 16)],  # 341 x 256
    (375, 500, 224): [(0, 42), (32, 42), (0, 74), (32, 74), (16, 58)],  # 256 x 341
    (256, 256, 224): [(0, 0), (32, 0), (0, 32), (32, 32), (16, 16)],
    (500, 373, 224): [(43, 0), (75, 0), (43, 32), (75, 32), (59, 16)],  # 343 x 256: 87 to spare
    (500, 375, 80): [(15, 0), (26, 0), (15, 11), (26, 11), (20, 5)],  # 121 x 91
    (91, 91, 80): [(0, 0), (11, 0), (0, 11), (11, 11), (5, 5)],
}
RECTANGLES_CORNERS = {
    LANDSCAPE: [(0, 0), (117, 0), (0, 32), (117, 32), (58, 16)],
    PORTRAIT: [(0, 0), (32, 0), (0, 117), (32, 117), (16, 58)],
    SQUARE: [(0, 0), (32, 0), (0, 32), (32, 32), (16, 16)],
    ODD: [(0, 0), (119, 0), (0, 32), (119, 32), (59, 16)],  # 343 x 256
}
# Of each scale: the resized picture, and where its three squares start along its long side.
THREE_SQUARES = {
    LANDSCAPE: {256: (341, (0, 42, 85)), 288: (384, (0, 48, 96)), 320: (426, (0, 53, 106)), 352: (469, (0, 58, 117))},
    ODD: {256: (343, (0, 43, 87)), 288: (386, (0, 49, 98)), 320: (428, (0, 54, 108)), 352: (471, (0, 59, 119))},
}
# (left, top) in a square: upper left, upper right, lower left, lower right, centre, and the square as a whole.
SIX_VIEWS = {
    256: [(0, 0), (32, 0), (0, 32), (32, 32), (16, 16), (0, 0)],
    288: [(0, 0), (64, 0), (0, 64), (64, 64), (32, 32), (0, 0)],
    320: [(0, 0), (96, 0), (0, 96), (96, 96), (48, 48), (0, 0)],
    352: [(0, 0), (128, 0), (0, 128), (128, 128), (64, 64), (0, 0)],
}


def places(views: list[View], size: tuple[int, int]) -> list[tuple[int, int]]:
    return [view_box(view, *size)[2:4] for view in views]


def unmirrored(views: list[View]) -> list[View]:
    """The first half; the second must be its mirrors."""
    half = views[: len(views) // 2]
    assert not any(view.mirrored for view in half)
    assert views[len(half) :] == [view._replace(mirrored=True) for view in half]
    return half


@pytest.mark.parametrize("name", registry.names("protocols"))
def test_every_protocol_keeps_the_contract(name: str) -> None:
    protocol = registry.load("protocols", name)
    views = protocol_views(protocol, 80)
    assert isinstance(protocol.revision, int)
    assert protocol.revision >= 1
    assert protocol.AVERAGE in ("probabilities", "logits")
    assert views
    assert all(isinstance(view, View) for view in views)
    assert len(set(views)) == len(views)
    assert all(view.crop_px is None or view.short_side_px >= view.crop_px >= 80 for view in views)


NUM_VIEWS = {
    "flip": 2, "googlenet_144_crop": 144, "resnet_multi_scale": 10, "single_crop": 1, "single_crop_320": 1,
    "single_crop_cubic": 1, "ten_crop": 10, "ten_crop_rectangle": 10, "twelve_crop": 12, "vgg_dense": 2,
    "vgg_dense_multi_scale": 6, "vgg_multi_crop": 50, "vgg_multi_crop_150": 150, "whole": 1,
}  # fmt: skip


@pytest.mark.parametrize("crop_px", [8, 32, 80, 224, 227, 299])
def test_every_protocol_has_its_number_of_views_at_every_crop(crop_px: int) -> None:
    found = {name: protocol_views(registry.load("protocols", name), crop_px) for name in NUM_VIEWS}
    assert {name: len(views) for name, views in found.items()} == NUM_VIEWS
    for view in (view for views in found.values() for view in views):
        for size in ((500, 375), (375, 500), (64, 64), (97, 31)):
            place = view_box(view, *size)
            assert 0 <= place.left <= place.width - place.part_width
            assert 0 <= place.top <= place.height - place.part_height
            assert min(place.shown_width, place.shown_height) >= crop_px


@pytest.mark.parametrize(("picture", "corners"), TEN_CROP_CORNERS.items())
def test_ten_crop_takes_the_central_squares_corners_and_centre_then_mirrors(picture: tuple, corners: list) -> None:
    width, height, crop_px = picture
    assert places(unmirrored(ten_crop.views(crop_px)), (width, height)) == corners


@pytest.mark.parametrize(
    ("width", "height", "crop_px", "expected"),
    [
        (500, 375, 224, (341, 256, 58, 16)),
        (375, 500, 224, (256, 341, 16, 58)),
        (256, 256, 224, (256, 256, 16, 16)),
        (500, 375, 80, (121, 91, 20, 5)),
        (8, 8, 80, (91, 91, 5, 5)),
    ],
)
def test_single_crop_takes_the_centre(width: int, height: int, crop_px: int, expected: tuple) -> None:
    (view,) = single_crop.views(crop_px)
    assert view_box(view, width, height) == (*expected, *[crop_px] * 4)
    assert not view.mirrored


def test_flip_is_the_centre_and_its_mirror() -> None:
    assert unmirrored(flip.views(224)) == single_crop.views(224)


def test_the_cubic_crop_lies_where_the_bilinear_one_does() -> None:
    (view,) = single_crop_cubic.views(224)
    assert view == single_crop.views(224)[0]._replace(interpolation="cubic")


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (LANDSCAPE, (426, 320, 53, 0, 320, 320, 320, 320)),
        (PORTRAIT, (320, 426, 0, 53, 320, 320, 320, 320)),
        (SQUARE, (320, 320, 0, 0, 320, 320, 320, 320)),
        (ODD, (428, 320, 54, 0, 320, 320, 320, 320)),
    ],
)
def test_the_320_crop_is_the_central_square_of_short_side_320(size: tuple, expected: tuple) -> None:
    (view,) = single_crop_320.views(224)
    assert view_box(view, *size) == expected


@pytest.mark.parametrize(("size", "corners"), RECTANGLES_CORNERS.items())
def test_ten_crop_rectangle_takes_the_corners_of_the_whole_picture(size: tuple, corners: list) -> None:
    assert places(unmirrored(ten_crop_rectangle.views(224)), size) == corners


@pytest.mark.parametrize(("size", "corners"), RECTANGLES_CORNERS.items())
def test_twelve_crop_adds_the_whole_picture_resized_to_the_crop(size: tuple, corners: list) -> None:
    *five, last = unmirrored(twelve_crop.views(224))
    assert places(five, size) == corners
    resized = {LANDSCAPE: (341, 256), PORTRAIT: (256, 341), SQUARE: (256, 256), ODD: (343, 256)}[size]
    assert view_box(last, *size) == (*resized, 0, 0, *resized, 224, 224)


@pytest.mark.parametrize("size", THREE_SQUARES)
def test_144_crop_takes_six_views_of_three_squares_at_four_scales(size: tuple) -> None:
    views = unmirrored(googlenet_144_crop.views(224))
    expected = [
        (long, scale, start + x, y)
        for scale, (long, starts) in THREE_SQUARES[size].items()
        for start in starts
        for x, y in SIX_VIEWS[scale]
    ]
    assert [view_box(view, *size)[:4] for view in views] == expected
    portrait = [(scale, long, y, x) for long, scale, x, y in expected]
    swapped = [view._replace(anchor=view.anchor[::-1]) for view in views]  # the order of two corners changes
    assert [view_box(view, *size[::-1])[:4] for view in swapped] == portrait


def test_the_144_crops_of_a_portrait_at_its_smallest_scale() -> None:
    views = unmirrored(googlenet_144_crop.views(224))[:18]
    assert places(views, PORTRAIT) == [
        (0, 0), (32, 0), (0, 32), (32, 32), (16, 16), (0, 0),
        (0, 42), (32, 42), (0, 74), (32, 74), (16, 58), (0, 42),
        (0, 85), (32, 85), (0, 117), (32, 117), (16, 101), (0, 85),
    ]  # fmt: skip


def test_the_sixth_view_is_the_square_resized_to_the_crop() -> None:
    sizes = [view_box(view, *LANDSCAPE)[4:] for view in unmirrored(googlenet_144_crop.views(224))]
    assert sizes[:6] == [(224, 224, 224, 224)] * 5 + [(256, 256, 224, 224)]
    assert sizes[-1] == (352, 352, 224, 224)


DENSE_SIZES = {  # of a 500 x 375 picture: 224 * 500 / 375 = 298.7 and so on
    224: (298, 224), 256: (341, 256), 288: (384, 288), 352: (469, 352), 368: (490, 368), 384: (512, 384),
    416: (554, 416), 480: (640, 480), 512: (682, 512), 640: (853, 640),
}  # fmt: skip


def whole_pictures(views: list[View]) -> list[int]:
    """Short sides of views that must be whole pictures."""
    for view in views:
        width, height = DENSE_SIZES[view.short_side_px]
        assert view_box(view, *LANDSCAPE) == (width, height, 0, 0, width, height, width, height)
        assert view_box(view, *PORTRAIT) == (height, width, 0, 0, height, width, height, width)
    return [view.short_side_px for view in views]


@pytest.mark.parametrize(
    ("train_short_sides_px", "one", "three"),
    [
        (None, 256, [224, 256, 288]),
        ((256, 256), 256, [224, 256, 288]),
        ((384, 384), 384, [352, 384, 416]),
        ((256, 512), 384, [256, 384, 512]),
        ((256, 480), 368, [256, 368, 480]),
        ((224, 224), 224, [224, 224, 256]),
    ],
)
def test_vggs_scales_go_with_those_of_training(train_short_sides_px: tuple | None, one: int, three: list[int]) -> None:
    assert whole_pictures(unmirrored(vgg_dense.views(224, train_short_sides_px))) == [one]
    if train_short_sides_px == (224, 224):  # nothing smaller than the crop can be shown
        assert vgg_dense_multi_scale.scales(224, train_short_sides_px) == three
        return
    assert whole_pictures(unmirrored(vgg_dense_multi_scale.views(224, train_short_sides_px))) == three
    grids = unmirrored(vgg_multi_crop_150.views(224, train_short_sides_px))
    assert [view.short_side_px for view in grids] == [side for side in three for _ in range(25)]
    assert {view.short_side_px for view in vgg_multi_crop.views(224, train_short_sides_px)} == {one}


def test_resnets_five_scales() -> None:
    assert whole_pictures(unmirrored(resnet_multi_scale.views(224))) == [224, 256, 384, 480, 640]


@pytest.mark.parametrize(
    ("size", "across", "down"),
    [
        (LANDSCAPE, [0, 29, 58, 87, 117], [0, 8, 16, 24, 32]),
        (PORTRAIT, [0, 8, 16, 24, 32], [0, 29, 58, 87, 117]),
        (SQUARE, [0, 8, 16, 24, 32], [0, 8, 16, 24, 32]),
        (ODD, [0, 29, 59, 89, 119], [0, 8, 16, 24, 32]),
    ],
)
def test_vggs_grid_goes_from_end_to_end_of_the_whole_picture(size: tuple, across: list, down: list) -> None:
    assert places(unmirrored(vgg_multi_crop.views(224)), size) == [(x, y) for y in down for x in across]


def test_a_protocol_holds_those_whose_views_are_among_its_own() -> None:
    single, flipped, ten = (set(each.views(224)) for each in (single_crop, flip, ten_crop))
    assert single < flipped < ten < set(googlenet_144_crop.views(224))
    assert flipped < set(ten_crop_rectangle.views(224)) < set(twelve_crop.views(224))
    corners = set(ten_crop_rectangle.views(224)) - flipped
    assert corners < set(vgg_multi_crop.views(224)) < set(vgg_multi_crop_150.views(224))
    assert set(vgg_dense.views(224)) < set(vgg_dense_multi_scale.views(224))
    assert set(vgg_dense.views(224)) < set(resnet_multi_scale.views(224))


def test_sizes_go_with_the_crop() -> None:
    assert {view.short_side_px for view in googlenet_144_crop.views(299)} == {342, 384, 427, 470}
    assert {view.short_side_px for view in resnet_multi_scale.views(80)} == {80, 91, 137, 171, 229}
    assert single_crop_320.views(80) == [View(114, 114)]
    assert vgg_dense_multi_scale.scales(80, None) == [80, 91, 102]


def test_the_whole_of_a_small_picture_is_seen_as_it_is() -> None:
    (view,) = whole.views(32)
    assert view_box(view, 32, 32)[:4] == (32, 32, 0, 0)
    assert view_box(view, 48, 32)[:4] == (48, 32, 8, 0)
