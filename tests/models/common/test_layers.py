"""What architectures share: local response normalisation by hand, its gradient and precision; the small parts."""

import pytest
import torch
from torch import nn

from ilsvrc.models.common.layers import (
    Classifier,
    FixedFlatten,
    LocallyConnected2d,
    LocalResponseNorm,
    check_input_px,
    left_out,
)
from ilsvrc.runtime.batch_rng import draw_for_batch, seed_batch_rng


def by_hand(values, size, alpha, k):
    """Section 3.3 of Krizhevsky et al. 2012, one pixel: a loop over its channels."""
    reach = size // 2
    normalized = []
    for i, value in enumerate(values):
        total = sum(other**2 for other in values[max(0, i - reach) : i + reach + 1])
        normalized.append(value / (k + alpha * total) ** 0.75)
    return normalized


def test_three_channels_of_ones_give_the_papers_formula():
    # Size 3, alpha 1, k 1: sums of squares 2, 3, 2, so 3 ** -0.75 and 4 ** -0.75.
    norm = LocalResponseNorm(size=3, alpha=1.0, k=1.0)
    assert norm(torch.ones(1, 3, 1, 1)).flatten().tolist() == pytest.approx([0.438691, 0.353553, 0.438691], abs=1e-6)


@pytest.mark.parametrize("size", [1, 3, 5, 7])
def test_normalisation_equals_a_loop_over_channels(size):
    torch.manual_seed(0)
    x = torch.randn(2, 6, 3, 2, dtype=torch.float64) * 30
    y = LocalResponseNorm(size=size, alpha=1e-2, k=2.0)(x)
    for n in range(2):
        for row in range(3):
            for column in range(2):
                expected = by_hand(x[n, :, row, column].tolist(), size, 1e-2, 2.0)
                assert y[n, :, row, column].tolist() == pytest.approx(expected, rel=1e-12)


def test_in_two_groups_the_channels_on_either_side_of_the_border_do_not_see_each_other():
    values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0]
    y = LocalResponseNorm(size=5, alpha=0.5, k=2.0, groups=2)(torch.tensor(values).reshape(1, 6, 1, 1))
    expected = by_hand(values[:3], 5, 0.5, 2.0) + by_hand(values[3:], 5, 0.5, 2.0)
    assert y.flatten().tolist() == pytest.approx(expected, rel=1e-6)
    assert expected != pytest.approx(by_hand(values, 5, 0.5, 2.0), rel=1e-2)


def test_torchs_normalisation_is_ours_with_alpha_over_n():
    x = torch.randn(2, 96, 5, 5) * 20
    theirs = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)(x)
    assert torch.allclose(LocalResponseNorm()(x), theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_gradient_is_that_of_the_function(layout):
    torch.manual_seed(0)
    x = torch.randn(2, 7, 3, 3, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    assert torch.autograd.gradcheck(LocalResponseNorm(size=5, alpha=0.3, k=2.0), x)


def test_the_gradient_in_groups_is_that_of_the_function():
    torch.manual_seed(0)
    x = torch.randn(1, 8, 2, 2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(LocalResponseNorm(size=5, alpha=0.3, k=2.0, groups=2), x)


def test_the_input_and_the_gradient_that_comes_in_stay_as_they_were():
    x = torch.randn(1, 8, 2, 2, requires_grad=True)
    grad = torch.randn(1, 8, 2, 2)
    before = x.detach().clone(), grad.clone()
    LocalResponseNorm()(x).backward(grad)
    assert torch.equal(x.detach(), before[0])
    assert torch.equal(grad, before[1])


def test_sums_are_float32_under_bfloat16_autocast():
    # 1000 ** 2 + 1 ** 2 ... : in bfloat16 the small squares would vanish beside the large one.
    x = torch.tensor([256.0, 16.0, 16.0]).reshape(1, 3, 1, 1)
    norm = LocalResponseNorm(size=3, alpha=1.0, k=0.0)
    expected = torch.tensor(by_hand([256.0, 16.0, 16.0], 3, 1.0, 0.0)).to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        y = norm(x.to(torch.bfloat16))
    assert y.dtype == torch.bfloat16
    assert torch.equal(y.flatten(), expected)


def test_bfloat16_gradients_are_those_of_float32_rounded_once():
    torch.manual_seed(0)
    x = (torch.randn(2, 32, 4, 4) * 30).to(torch.bfloat16)
    grad = torch.randn(2, 32, 4, 4).to(torch.bfloat16)
    norm = LocalResponseNorm(alpha=1e-2)
    wide, narrow = x.float().requires_grad_(), x.clone().requires_grad_()
    norm(wide).backward(grad.float())
    norm(narrow).backward(grad)
    assert torch.equal(narrow.grad, wide.grad.to(torch.bfloat16))


def test_channels_last_stays_channels_last():
    x = torch.randn(2, 16, 4, 4).contiguous(memory_format=torch.channels_last)
    assert LocalResponseNorm()(x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("side", "padding"), [(4, 1), (5, 0)])
def test_a_locally_connected_layer_is_a_convolution_of_its_own_at_each_position(side, padding):
    torch.manual_seed(0)
    layer = LocallyConnected2d(2, 3, 3, side, padding)
    x = torch.randn(2, 2, side, side)
    y = layer(x)
    padded = nn.functional.pad(x, [padding] * 4)
    size = side + 2 * padding - 2
    assert y.shape == (2, 3, size, size)
    for row in range(size):
        for column in range(size):
            here = row * size + column
            window, weight = padded[:, :, row : row + 3, column : column + 3], layer.weight[here].reshape(3, 2, 3, 3)
            expected = nn.functional.conv2d(window, weight, layer.bias[here, 0])[:, :, 0, 0]
            assert torch.allclose(y[:, :, row, column], expected, atol=1e-6)


def test_a_locally_connected_layer_of_equal_weights_is_a_convolution():
    torch.manual_seed(0)
    layer, conv = LocallyConnected2d(2, 3, 3, 4, 1), nn.Conv2d(2, 3, 3, padding=1)
    with torch.no_grad():
        layer.weight.copy_(conv.weight.flatten(1))
        layer.bias.copy_(conv.bias)
    x = torch.randn(2, 2, 4, 4)
    assert torch.allclose(layer(x), conv(x), atol=1e-6)


def test_a_classifier_trains_on_its_logits_alone_unless_it_says_otherwise():
    class Means(Classifier):
        def forward(self, images):
            return images.mean(dim=(2, 3))

    images = torch.ones(2, 3, 4, 4)
    [(weight, logits)] = Means().outputs(images)
    assert weight == 1.0
    assert logits.tolist() == [[1.0] * 3] * 2
    assert Means().auxiliary_heads() == []


def test_a_size_too_small_names_the_smallest_and_the_key_to_change():
    with pytest.raises(ValueError, match=r"GoogLeNet takes images of 79 px or more, not 64: .*crop_px: 79 or more"):
        check_input_px("GoogLeNet", 64, smallest=79)


def test_a_network_of_one_size_says_so_when_pictures_have_another():
    flatten = FixedFlatten(6, input_px=227)
    assert flatten(torch.zeros(2, 5, 6, 6)).shape == (2, 180)
    with pytest.raises(ValueError, match=r"built for images of 227 x 227 px.* 6 x 6 pixels and not 6 x 8.*crop_px"):
        flatten(torch.zeros(2, 5, 6, 8))


def test_draws_for_a_batch_leave_torchs_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(2).tolist()
    torch.manual_seed(0)
    seed_batch_rng(1)
    draws = [draw_for_batch() for _ in range(1000)]
    assert torch.rand(2).tolist() == expected
    assert all(0 <= draw < 1 for draw in draws)
    assert sum(draws) / 1000 == pytest.approx(0.5, abs=0.03)


def test_a_module_that_is_left_out_gets_gradients_of_zero():
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    total = left_out(module)
    total.backward()
    assert total.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in module.parameters())
