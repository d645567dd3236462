import numpy as np
import pytest

from ilsvrc.loading import random_crops, views
from ilsvrc.runtime import counter_rng

NUM = 4000
INDICES = np.arange(NUM)
WIDTHS, HEIGHTS = np.full(NUM, 500), np.full(NUM, 375)


def training(crop: str, widths=WIDTHS, heights=HEIGHTS, seed=0, epoch=0, indices=INDICES, crop_px=224, **policy):
    return random_crops.draw(random_crops.CropPolicy(crop, crop_px, **policy), seed, epoch, indices, widths, heights)


DRAWN = {  # instead of the draws, for the literal boxes
    random_crops.FLIP: 0.3, random_crops.LEFT: 0.5, random_crops.TOP: 0.25, random_crops.FILTER: 0.8,
    random_crops.SHORT_SIDE: 0.5, random_crops.AREA_DRAW: 0.5, random_crops.ASPECT_DRAW: 0.5,
    random_crops.SWAP_DRAW: 0.3,
}  # fmt: skip
JITTER = {"short_side_px": (256, 480)}


@pytest.mark.parametrize(
    ("policy", "size", "box", "window"),
    [
        # 256 * 500 // 375 = 341; 33 places, from (341 - 256) // 2 = 42 on
        ({"crop": "patch"}, (500, 375), (0, 0, 500, 375), (341, 256, 58, 8)),
        ({"crop": "patch"}, (375, 500), (0, 0, 375, 500), (256, 341, 16, 50)),
        # 256 + 112 = 368 of 225 sizes, 368 * 500 // 375 = 490; 145 places from 61 on; 267 and 145 places
        ({"crop": "patch", **JITTER}, (500, 375), (0, 0, 500, 375), (490, 368, 133, 36)),
        ({"crop": "rectangle", **JITTER}, (500, 375), (0, 0, 500, 375), (490, 368, 133, 36)),
        ({"crop": "rectangle"}, (500, 375), (0, 0, 500, 375), (341, 256, 59, 8)),
        ({"crop": "rectangle"}, (375, 500), (0, 0, 375, 500), (256, 341, 16, 29)),
        # 54 % of 187500 px; a square of 318.2 px; of aspect 1.0417, 324.8 x 311.8 px
        ({"crop": "area_aspect"}, (500, 375), (91, 14, 318, 318), (224, 224, 0, 0)),
        ({"crop": "area_aspect", "aspect_draw": "uniform"}, (500, 375), (88, 16, 325, 312), (224, 224, 0, 0)),
        (
            {"crop": "area_aspect", "aspect_draw": "uniform", "swap_aspect": True},
            (500, 375),
            (94, 12, 312, 325),
            (224, 224, 0, 0),
        ),
        # half of the area, aspect 2
        (
            {"crop": "area_aspect", "area": (0.5, 0.5), "aspect": (2, 2)},
            (400, 400),
            (0, 50, 400, 200),
            (224, 224, 0, 0),
        ),
        ({"crop": "padding", "crop_px": 32}, (32, 32), (0, 0, 32, 32), (32, 32, 0, -2)),
        ({"crop": "padding", "crop_px": 32, "padding_px": 2}, (49, 32), (8, 0, 32, 32), (32, 32, 0, -1)),
        ({"crop": "center"}, (500, 375), (0, 0, 500, 375), (341, 256, 58, 16)),
        ({"crop": "center", "crop_px": 32, "short_side_px": (32, 32)}, (64, 48), (0, 0, 64, 48), (42, 32, 5, 0)),
    ],
)
def test_crops_are_those_counted_by_hand(monkeypatch, policy, size, box, window):
    monkeypatch.setattr(
        random_crops.counter_rng, "uniform", lambda seed, epoch, keys, draw: np.full(len(keys), DRAWN[draw])
    )
    crops = training(widths=np.array(size[:1]), heights=np.array(size[1:]), indices=np.array([0]), **policy)
    assert crops.source_boxes[0].tolist() == list(box)
    assert crops.crop_boxes[0, 0].tolist() == [*window, 1]
    assert crops.filters.tolist() == [random_crops.BILINEAR]


def test_a_random_filter_is_one_of_four(monkeypatch):
    filters = training("patch", interpolation="random").filters
    assert set(np.bincount(filters, minlength=4) // 100) <= {9, 10}
    assert filters.dtype == np.int64
    monkeypatch.setattr(
        random_crops.counter_rng, "uniform", lambda seed, epoch, keys, draw: np.full(len(keys), DRAWN[draw])
    )
    assert (training("patch", interpolation="random").filters == random_crops.CUBIC).all()


def test_short_sides_are_all_of_their_range_alike():
    crop_boxes = training("rectangle", short_side_px=(256, 265)).crop_boxes[:, 0]
    counts = np.bincount(crop_boxes[:, 1] - 256)
    assert (len(counts), counts.min() > 300) == (10, True)
    assert (crop_boxes[:, 0] == crop_boxes[:, 1] * 500 // 375).all()


def test_a_rectangles_windows_reach_all_of_it():
    crop_boxes = training("rectangle").crop_boxes[:, 0]
    assert sorted(set(crop_boxes[:, 2])) == list(range(341 - 224 + 1))
    assert sorted(set(crop_boxes[:, 3])) == list(range(256 - 224 + 1))


def test_a_padded_window_leaves_the_image_by_the_padding_at_most():
    crop_boxes = training("padding", crop_px=32, widths=0 * WIDTHS + 32, heights=0 * WIDTHS + 32).crop_boxes[:, 0]
    places = [(left, top) for left in range(-4, 5) for top in range(-4, 5)]
    assert sorted({(left, top) for _, _, left, top, _ in crop_boxes.tolist()}) == places


def test_width_and_height_change_places_in_half_of_the_draws():
    plain = training("area_aspect", aspect_draw="uniform", area=(0.1, 0.1)).source_boxes
    swapped = training("area_aspect", aspect_draw="uniform", area=(0.1, 0.1), swap_aspect=True).source_boxes
    changed = (plain[:, 2:] != swapped[:, 2:]).any(axis=1)
    assert (plain[changed, 2:] == swapped[changed][:, [3, 2]]).all()
    assert 0.47 < changed.mean() < 0.53
    assert 0.97 < np.exp(np.log(swapped[:, 2] / swapped[:, 3]).mean()) < 1.03  # without, 1.028


def test_an_even_aspect_is_drawn_evenly():
    boxes = training("area_aspect", aspect_draw="uniform", area=(0.1, 0.1)).source_boxes
    aspects = boxes[:, 2] / boxes[:, 3]
    assert abs(aspects.mean() - 25 / 24) < 0.01  # evenly in the logarithm: 1.014
    assert (aspects.min() > 0.73, aspects.max() < 1.36) == (True, True)


@pytest.mark.parametrize("crop", random_crops.CROPS)
def test_copies_of_an_image_are_drawn_anew(crop: str):
    policy_options = {"interpolation": "random", "crop_px": 224}
    first = training(crop, **policy_options)
    second = training(crop, indices=counter_rng.pack_keys(INDICES, np.ones(NUM, np.int64)), **policy_options)
    same = (first.crop_boxes == second.crop_boxes).all(axis=(1, 2)) & (first.filters == second.filters)
    assert 0.05 < same.mean() < 0.2 if crop in ("area_aspect", "center") else same.mean() < 0.01
    assert (first.source_boxes == second.source_boxes).all(axis=1).mean() in (
        (0.0,) if crop == "area_aspect" else (1.0,)
    )


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"crop": "corner"}, "crop = 'corner'; it can be patch, rectangle, area_aspect, padding, center"),
        ({"crop": "patch", "short_side_px": (200, 300)}, r"\[200, 300\] must rise, from crop_px = 224 or more"),
        ({"crop": "patch", "short_side_px": (300, 256)}, r"\[300, 256\] must rise"),
        ({"crop": "area_aspect", "area": (0.0, 1.0)}, r"area = \[0.0, 1.0\] must rise, from above 0 to 1 at most"),
        ({"crop": "area_aspect", "aspect": (2.0, 1.0)}, r"aspect = \[2.0, 1.0\] must rise"),
        ({"crop": "padding", "crop_px": 8, "padding_px": 8, "padding": "reflect"}, "padding_px = 8 wants a crop_px"),
    ],
)
def test_looks_that_cannot_be_say_why(policy: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        random_crops.CropPolicy(**{"crop_px": 224} | policy)


def test_a_patch_lies_anywhere_in_the_central_square_of_256():
    crop_boxes = training("patch").crop_boxes[:, 0]
    assert (crop_boxes[:, :2] == (341, 256)).all()
    assert sorted(set(crop_boxes[:, 2])) == list(range(42, 42 + 33))  # (341 - 256) // 2 and 32 further
    assert sorted(set(crop_boxes[:, 3])) == list(range(33))


def test_half_of_the_images_are_mirrored_and_none_without_flip():
    assert 0.46 < training("patch").crop_boxes[:, 0, 4].mean() < 0.54
    assert training("patch", flip=False).crop_boxes[:, 0, 4].sum() == 0


@pytest.mark.parametrize(("width", "height"), [(500, 375), (375, 500), (256, 256), (300, 401), (91, 91)])
def test_the_central_window_is_the_tests_central_view(width: int, height: int):
    one = np.array([0])
    crops = training("center", np.array([width]), np.array([height]), indices=one, flip=False)
    view = views.View(views.square_px(224), 224)
    assert tuple(crops.crop_boxes[0, 0, :4]) == views.view_box(view, width, height)[:4]
    assert crops.source_boxes[0].tolist() == [0, 0, width, height]


def test_area_and_aspect_are_those_of_the_paper():
    boxes = training("area_aspect").source_boxes
    left, top, width, height = boxes.T
    area = width * height / (500 * 375)
    assert (left.min() >= 0, top.min() >= 0) == (True, True)
    assert ((left + width).max() <= 500, (top + height).max() <= 375) == (True, True)
    assert 0.07 < area.min() < 0.09
    assert 0.9 < area.max() <= 1
    assert 0.73 < (width / height).min() < 0.76
    assert 1.32 < (width / height).max() < 1.36


def test_area_aspect_agrees_with_torchvision_in_distribution():
    torch = pytest.importorskip("torch")
    transforms = pytest.importorskip("torchvision.transforms")
    torch.manual_seed(0)
    image = torch.zeros(1, 375, 500)
    theirs = [
        transforms.RandomResizedCrop.get_params(image, random_crops.AREA, random_crops.ASPECT) for _ in range(NUM)
    ]
    top, left, height, width = np.array(theirs).T
    ours = training("area_aspect").source_boxes
    for mine, other in zip(ours.T, (left, top, width, height), strict=True):
        assert abs(mine.mean() - other.mean()) < 5 * other.std() * (2 / NUM) ** 0.5


@pytest.mark.parametrize(("width", "height", "box"), [(1000, 3, (498, 0, 4, 3)), (3, 1000, (0, 498, 3, 4))])
def test_a_image_too_long_for_any_try_shows_its_centre(width: int, height: int, box: tuple[int, ...]):
    crops = training("area_aspect", np.full(50, width), np.full(50, height), indices=np.arange(50))
    assert (crops.source_boxes == box).all(axis=1).any()
    assert (crops.source_boxes[:, 2:] > 0).all()


@pytest.mark.parametrize("crop", ["patch", "area_aspect"])
def test_crops_depend_on_seed_epoch_and_image_only(crop: str):
    whole = training(crop)
    part = training(crop, WIDTHS[5:9], HEIGHTS[5:9], indices=INDICES[5:9])
    assert (part.source_boxes == whole.source_boxes[5:9]).all()
    assert (part.crop_boxes == whole.crop_boxes[5:9]).all()
    for other in (training(crop, seed=1), training(crop, epoch=1)):
        assert (
            np.hstack((other.source_boxes, other.crop_boxes[:, 0]))
            != np.hstack((whole.source_boxes, whole.crop_boxes[:, 0]))
        ).any()


def test_cubic_is_every_images_filter_where_it_is_asked_for():
    policy = random_crops.CropPolicy("area_aspect", 32, interpolation="cubic")
    sides = np.full(5, 64)
    found = random_crops.draw(policy, 0, 0, np.arange(5), sides, sides)
    assert found.filters.tolist() == [random_crops.CUBIC] * 5
