"""Every protocol keeps the contract; the papers' crop boxes, by hand."""

import pytest

from ilsvrc import plugins
from ilsvrc.protocols import single_crop, ten_crop, whole
from ilsvrc.views import View, window

# (left, top) of upper left, upper right, lower left, lower right, centre in the resized picture.
TEN_CROP_CORNERS = {
    (500, 375, 224): [(42, 0), (74, 0), (42, 32), (74, 32), (58, 16)],  # 341 x 256
    (375, 500, 224): [(0, 42), (32, 42), (0, 74), (32, 74), (16, 58)],  # 256 x 341
    (256, 256, 224): [(0, 0), (32, 0), (0, 32), (32, 32), (16, 16)],
    (500, 375, 80): [(15, 0), (26, 0), (15, 11), (26, 11), (20, 5)],  # 121 x 91
    (91, 91, 80): [(0, 0), (11, 0), (0, 11), (11, 11), (5, 5)],
}


@pytest.mark.parametrize("name", plugins.names("protocols"))
def test_every_protocol_keeps_the_contract(name: str) -> None:
    protocol = plugins.load("protocols", name)
    views = protocol.views(80)
    assert isinstance(protocol.revision, int)
    assert protocol.revision >= 1
    assert protocol.AVERAGE in ("probabilities", "logits")
    assert views
    assert all(isinstance(view, View) for view in views)
    assert len(set(views)) == len(views)
    assert {view.crop_px for view in views} == {80}
    assert all(view.short_side_px >= view.crop_px for view in views)


@pytest.mark.parametrize(("picture", "corners"), TEN_CROP_CORNERS.items())
def test_ten_crop_takes_the_central_squares_corners_and_centre_then_mirrors(picture: tuple, corners: list) -> None:
    width, height, crop_px = picture
    views = ten_crop.views(crop_px)
    assert [window(v, width, height)[2:] for v in views] == corners + corners
    assert [v.mirrored for v in views] == [False] * 5 + [True] * 5


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
    assert window(view, width, height) == expected
    assert not view.mirrored


def test_ten_crop_sees_what_single_crop_sees() -> None:
    assert set(single_crop.views(224)) < set(ten_crop.views(224))


def test_the_whole_of_a_small_picture_is_seen_as_it_is() -> None:
    (view,) = whole.views(32)
    assert window(view, 32, 32) == (32, 32, 0, 0)
    assert window(view, 48, 32) == (48, 32, 8, 0)
