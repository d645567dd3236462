"""Contrast normalisation and ZCA whitening by numbers made by hand, and by numpy's singular values."""

import numpy as np
import pytest
import torch

from ilsvrc.models.common.zca_whitening import (
    FILTER_BIAS,
    SCALE,
    Whitening,
    contrast_normalized,
    fitted,
    moments,
    shifted,
)


def noise(count: int, side: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, side, side, 3), dtype=torch.uint8, generator=generator)


def fit(*batches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return fitted(moments(batches, batches[0].shape[1]))


def test_a_pictures_contrast_is_its_norm_around_its_mean():
    found = contrast_normalized(torch.tensor([[1.0, 4.0, 1.0], [7.0, 7.0, 7.0]]))
    assert found[0].tolist() == pytest.approx([-55 / 6**0.5, 110 / 6**0.5, -55 / 6**0.5])  # of norm 6 ** 0.5
    assert found[1].tolist() == [0, 0, 0]
    assert contrast_normalized(torch.tensor([[10.0, 40.0, 10.0]]))[0].tolist() == pytest.approx(found[0].tolist())


def test_whitening_divides_along_each_component_by_the_root_of_its_variance_and_the_bias():
    pictures = noise(40, 2)
    flat = pictures.flatten(1).double().numpy()
    flat -= flat.mean(axis=1, keepdims=True)
    flat *= SCALE / np.linalg.norm(flat, axis=1, keepdims=True)
    centred = flat - flat.mean(axis=0)
    u, s, directions = np.linalg.svd(centred, full_matrices=False)
    expected = u * (s / np.sqrt(s**2 / 40 + FILTER_BIAS)) @ directions
    mean, matrix = fit(pictures[:25], pictures[25:])
    found = Whitening(mean, matrix)(pictures).permute(0, 2, 3, 1).flatten(1)
    assert (mean.dtype, matrix.shape) == (torch.float32, (12, 12))
    assert np.abs(found.numpy() - expected).max() < 2e-3 < np.abs(expected).max()


def test_what_is_whitened_varies_alike_in_all_directions_that_pictures_vary_in():
    pictures = noise(3000, 2)
    mean, matrix = fit(pictures)
    seen = Whitening(mean, matrix)(pictures).flatten(1)
    variances = torch.linalg.eigvalsh(torch.cov(seen.T))
    assert abs(float(variances[0])) < 1e-3  # all pictures have the same mean
    assert variances[1:].min() > 0.99 and variances[1:].max() < 1.01


def test_batches_of_any_size_give_the_same():
    pictures = noise(30, 3)
    whole, parts = fit(pictures), fit(*pictures.split(7))
    assert torch.allclose(whole[0], parts[0], atol=1e-4) and torch.allclose(whole[1], parts[1], atol=1e-5)


def test_a_lower_precision_around_it_changes_nothing():
    pictures = noise(8, 3)
    whitening = Whitening(*fit(pictures))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = whitening(pictures)
    assert found.dtype == torch.float32
    assert torch.equal(found, whitening(pictures))
    assert whitening.double()(pictures).dtype == torch.float64
    assert whitening.state_dict() == {}


PICTURE = torch.arange(9.0).view(1, 1, 3, 3).expand(1, 3, 3, 3) + 1  # rows 1 2 3, 4 5 6, 7 8 9


@pytest.mark.parametrize(
    ("left", "top", "mirrored", "reflect", "expected"),
    [
        (0, 0, 0, False, [[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
        (0, 0, 1, False, [[3, 2, 1], [6, 5, 4], [9, 8, 7]]),
        (1, 0, 0, False, [[2, 3, 0], [5, 6, 0], [8, 9, 0]]),
        (1, 0, 1, False, [[0, 3, 2], [0, 6, 5], [0, 9, 8]]),
        (0, -1, 0, False, [[0, 0, 0], [1, 2, 3], [4, 5, 6]]),
        (-1, 1, 0, True, [[5, 4, 5], [8, 7, 8], [5, 4, 5]]),
    ],
)
def test_windows_shift_and_mirror_what_is_whitened(left, top, mirrored, reflect, expected):
    windows = torch.tensor([[3, 3, left, top, mirrored]])
    assert shifted(PICTURE, windows, reflect)[0].tolist() == [expected] * 3


def test_each_picture_has_its_own_window_after_it_was_whitened_whole():
    pictures = noise(2, 3)
    whitening = Whitening(*fit(noise(20, 3, seed=1)))
    whole = whitening(pictures)
    cut = whitening(pictures, torch.tensor([[3, 3, 1, 0, 0], [3, 3, 0, 0, 1]]))
    assert torch.equal(cut[0, :, :, :2], whole[0, :, :, 1:]) and not cut[0, :, :, 2].any()
    assert torch.equal(cut[1], whole[1].flip(2))


def test_pictures_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"for images of 3 x 3 px, as in training; these have 4 x 4: .* such as whole"):
        Whitening(*fit(noise(20, 3)))(noise(1, 4))
