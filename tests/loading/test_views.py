"""Where views lie, in whole pixels worked out by hand."""

import pytest

from ilsvrc.loading.views import View, ViewBox, square_px, view_box
from ilsvrc.packing.sizes import resized

SQUARES = [(224, 256), (227, 259), (299, 342), (80, 91), (32, 37), (8, 9)]


@pytest.mark.parametrize(("crop_px", "expected"), SQUARES)
def test_the_square_keeps_the_papers_proportion_of_256_to_224(crop_px: int, expected: int) -> None:
    assert square_px(crop_px) == expected


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (500, 375, (341, 256)),
        (375, 500, (256, 341)),
        (256, 256, (256, 256)),
        (8, 8, (256, 256)),
    ],
)
def test_the_short_side_is_exact_and_the_long_rounds_down(width: int, height: int, expected: tuple) -> None:
    assert resized(width, height, 256) == expected


def test_windows_of_the_whole_rectangle_reach_the_images_ends() -> None:
    # 500 x 375 becomes 341 x 256, so that the last 224 columns start at 117.
    view = View(256, 224, anchor=(2, 1), region="rectangle")
    assert view_box(view, 500, 375) == ViewBox(341, 256, 117, 16, 224, 224, 224, 224)


def test_windows_of_the_central_square_stay_in_it() -> None:
    # The central 256 of 341 columns start at 42 (85 to spare, half rounded down): 42 + 256 - 224 = 74.
    view = View(256, 224, anchor=(2, 1), region="square")
    assert view_box(view, 500, 375) == ViewBox(341, 256, 74, 16, 224, 224, 224, 224)


def test_the_centre_of_square_and_rectangle_agree_where_the_difference_is_even() -> None:
    square, rectangle = View(256, 224, region="square"), View(256, 224, region="rectangle")
    for side in range(256, 700, 2):
        assert view_box(square, side, 256) == view_box(rectangle, side, 256)


def test_every_window_lies_inside_its_image() -> None:
    for width, height in [(500, 375), (333, 500), (257, 256), (31, 97)]:
        for anchor in [(0, 0), (1, 1), (2, 2), (0, 2), (2, 0)]:
            for region in ("square", "rectangle"):
                place = view_box(View(91, 80, anchor, region), width, height)
                assert 0 <= place.left <= place.width - 80
                assert 0 <= place.top <= place.height - 80
