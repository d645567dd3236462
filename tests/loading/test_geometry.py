import numpy as np
import pytest

from ilsvrc import views
from ilsvrc.loading import geometry

NUM = 4000
INDICES = np.arange(NUM)
WIDTHS, HEIGHTS = np.full(NUM, 500), np.full(NUM, 375)


def training(crop: str, widths=WIDTHS, heights=HEIGHTS, seed=0, epoch=0, indices=INDICES, crop_px=224, **look):
    return geometry.training(geometry.Look(crop, crop_px, **look), seed, epoch, indices, widths, heights)


def test_a_patch_lies_anywhere_in_the_central_square_of_256():
    windows = training("patch").windows[:, 0]
    assert (windows[:, :2] == (341, 256)).all()
    assert sorted(set(windows[:, 2])) == list(range(42, 42 + 33))  # (341 - 256) // 2 and 32 further
    assert sorted(set(windows[:, 3])) == list(range(33))


def test_half_of_the_images_are_mirrored_and_none_without_flip():
    assert 0.46 < training("patch").windows[:, 0, 4].mean() < 0.54
    assert training("patch", flip=False).windows[:, 0, 4].sum() == 0


@pytest.mark.parametrize(("width", "height"), [(500, 375), (375, 500), (256, 256), (300, 401), (91, 91)])
def test_the_central_window_is_the_tests_central_view(width: int, height: int):
    one = np.array([0])
    regions = training("center", np.array([width]), np.array([height]), indices=one, flip=False)
    view = views.View(views.square_px(224), 224)
    assert tuple(regions.windows[0, 0, :4]) == views.window(view, width, height)
    assert regions.boxes[0].tolist() == [0, 0, width, height]


def test_area_and_aspect_are_those_of_the_paper():
    boxes = training("area_aspect").boxes
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
    picture = torch.zeros(1, 375, 500)
    theirs = [transforms.RandomResizedCrop.get_params(picture, geometry.AREA, geometry.ASPECT) for _ in range(NUM)]
    top, left, height, width = np.array(theirs).T
    ours = training("area_aspect").boxes
    for mine, other in zip(ours.T, (left, top, width, height), strict=True):
        assert abs(mine.mean() - other.mean()) < 5 * other.std() * (2 / NUM) ** 0.5


@pytest.mark.parametrize(("width", "height", "box"), [(1000, 3, (498, 0, 4, 3)), (3, 1000, (0, 498, 3, 4))])
def test_a_picture_too_long_for_any_try_shows_its_centre(width: int, height: int, box: tuple[int, ...]):
    regions = training("area_aspect", np.full(50, width), np.full(50, height), indices=np.arange(50))
    assert (regions.boxes == box).all(axis=1).any()
    assert (regions.boxes[:, 2:] > 0).all()


@pytest.mark.parametrize("crop", ["patch", "area_aspect"])
def test_crops_depend_on_seed_epoch_and_image_only(crop: str):
    whole = training(crop)
    part = training(crop, WIDTHS[5:9], HEIGHTS[5:9], indices=INDICES[5:9])
    assert (part.boxes == whole.boxes[5:9]).all()
    assert (part.windows == whole.windows[5:9]).all()
    for other in (training(crop, seed=1), training(crop, epoch=1)):
        assert (np.hstack((other.boxes, other.windows[:, 0])) != np.hstack((whole.boxes, whole.windows[:, 0]))).any()


def test_views_become_windows_image_by_image():
    shown = [views.View(256, 224, (0, 0)), views.View(288, 224, (2, 1), "rectangle", True)]
    windows = geometry.testing(shown, np.array([500, 300]), np.array([375, 400])).windows
    assert windows.shape == (2, 2, 5)
    assert windows[0].tolist() == [[*views.window(shown[0], 500, 375), 0], [*views.window(shown[1], 500, 375), 1]]
    assert windows[1].tolist() == [[*views.window(shown[0], 300, 400), 0], [*views.window(shown[1], 300, 400), 1]]
