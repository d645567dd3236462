from pathlib import Path

import numpy as np
import pytest
import torch
from images import jpeg_bytes, photo
from PIL import Image

from ilsvrc.loading.batches import open_training
from ilsvrc.loading.mean_image_windows import check, mean_image_crops, scaled
from ilsvrc.loading.random_crops import CropPolicy

SIXTEEN = torch.arange(16.0).view(4, 4, 1).expand(4, 4, 3).contiguous()


def red(means: torch.Tensor) -> list[list[float]]:
    return means[..., 0].tolist()


def test_windows_of_the_mean_image_are_those_counted_by_hand():
    windows = torch.tensor([[4, 4, 0, 0, 0], [4, 4, 1, 2, 0], [4, 4, 1, 2, 1], [7, 4, 1, 0, 0], [4, 6, 0, 3, 0]])
    means = mean_image_crops(SIXTEEN, windows, CropPolicy("patch", 2))
    assert [red(means[i]) for i in range(5)] == [
        [[0, 1], [4, 5]],
        [[9, 10], [13, 14]],
        [[10, 9], [14, 13]],
        [[0, 1], [4, 5]],  # the square begins at column 1
        [[8, 9], [12, 13]],  # and at row 1
    ]


def test_a_mean_image_is_scaled_by_area_averages():
    assert red(scaled(SIXTEEN, 2)) == [[2.5, 4.5], [10.5, 12.5]]
    thirds = scaled(torch.tensor([[0.0, 6.0], [12.0, 18.0]])[..., None].expand(2, 2, 3), 3)
    assert torch.allclose(thirds[..., 1], torch.tensor([[0.0, 3, 6], [6, 9, 12], [12, 15, 18]]))
    assert scaled(SIXTEEN, 4) is SIXTEEN


def test_each_window_is_of_the_mean_image_at_its_images_size():
    means = mean_image_crops(
        SIXTEEN, torch.tensor([[2, 2, 0, 0, 0], [4, 4, 0, 0, 0], [3, 2, 0, 0, 1]]), CropPolicy("patch", 2)
    )
    assert [red(means[i]) for i in range(3)] == [
        [[2.5, 4.5], [10.5, 12.5]],
        [[0, 1], [4, 5]],
        [[4.5, 2.5], [12.5, 10.5]],
    ]


def test_around_the_mean_image_lies_the_padding():
    windows = torch.tensor([[4, 4, -1, 1, 0], [4, 4, -1, 1, 1]])
    means = mean_image_crops(SIXTEEN, windows, CropPolicy("padding", 4, padding_px=1, fill=(7, 8, 9)))
    assert red(means[0]) == [[7, 4, 5, 6], [7, 8, 9, 10], [7, 12, 13, 14], [7, 7, 7, 7]]
    assert means[0, 0, 0].tolist() == [7, 8, 9]
    assert torch.equal(means[1], means[0].flip(1))
    mirrored = mean_image_crops(SIXTEEN, windows[:1], CropPolicy("padding", 4, padding_px=1, padding="reflect"))
    assert red(mirrored[0]) == [[5, 4, 5, 6], [9, 8, 9, 10], [13, 12, 13, 14], [9, 8, 9, 10]]


@pytest.mark.parametrize("crop", ["area_aspect", "rectangle"])
def test_crops_that_leave_the_central_square_are_refused(crop: str):
    policy = CropPolicy(crop, 2)
    for refuses in (
        lambda: check(policy),
        lambda: mean_image_crops(SIXTEEN, torch.zeros(1, 5, dtype=torch.int64), policy),
    ):
        with pytest.raises(ValueError, match=r"no window of the mean image.*normalization: mean"):
            refuses()


LOOKS = [
    CropPolicy("patch", 32, short_side_px=(40, 40)),
    CropPolicy("center", 32, short_side_px=(40, 40)),
    CropPolicy("padding", 40, fill=(100, 120, 90)),
    CropPolicy("padding", 40, padding="reflect"),
]


@pytest.fixture(scope="module")
def equal_images(packer) -> tuple[Path, torch.Tensor]:
    """A raw file of equal images of 53 x 40 px, and their mean image."""
    image = photo(0).resize((53, 40), Image.Resampling.BICUBIC)
    beton, _ = packer([jpeg_bytes(image, format="PNG")] * 24, encoding="raw")
    return beton, torch.from_numpy(np.asarray(image)[:, 6:46].copy()).float()


@pytest.mark.parametrize("loader", ["ffcv", "pillow"])
@pytest.mark.parametrize("policy", LOOKS, ids=lambda policy: f"{policy.crop} {policy.padding}")
def test_images_that_equal_their_mean_become_exactly_zero(equal_images, policy: CropPolicy, loader: str):
    beton, mean_image = equal_images
    opened = open_training(loader, beton, policy=policy, batch_size=24, seed=1)
    batch = next(opened.epoch(0))
    opened.close()
    assert len(batch.boxes.unique(dim=0)) > (1 if policy.crop == "center" else 15)
    assert torch.equal(mean_image_crops(mean_image, batch.boxes, policy), batch.images.float())
