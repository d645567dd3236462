import numpy as np
import pytest

from ilsvrc.config.specs import FormSpec
from ilsvrc.datasets._card import Sample
from ilsvrc.packing import pixel_statistics


def test_sums_are_exact():
    values = np.array([[[255, 0, 1], [255, 2, 1]], [[0, 3, 1], [255, 4, 1]]], np.uint8)
    totals, squares = [765, 9, 4], [195075, 29, 4]
    products = [[195075, 1530, 765], [1530, 29, 9], [765, 9, 4]]
    assert pixel_statistics.sums(values).tolist() == [totals, squares, totals, *products]


@pytest.mark.parametrize(
    ("shape", "apart"), [((1, 1), 1), ((32, 32), 1), ((127, 31), 1), ((500, 333), 7), ((1, 65535), 1)]
)
def test_sums_of_products_are_those_of_integers(shape: tuple[int, int], apart: int):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    every, some = (rows.reshape(-1, 3).astype(np.int64) for rows in (pixels, pixels[::apart]))
    expected = [every.sum(axis=0), np.square(every).sum(axis=0), some.sum(axis=0), *(some.T @ some)]
    assert pixel_statistics.sums(pixels).tolist() == np.array(expected).tolist()


def test_sums_of_a_very_tall_white_image_do_not_overflow():
    found = pixel_statistics.sums(np.full((65535, 1, 3), 255, np.uint8))
    assert found[:2].tolist() == [[65535 * 255] * 3, [65535 * 65025] * 3]


def test_some_rows_of_large_images_give_their_covariance():
    measured, shapes = pixel_statistics.Colours(), [(500, 40), (64, 30), (300, 20)]
    images = [np.random.default_rng(h).integers(0, 256, (h, w, 3), np.uint8) for h, w in shapes]
    for image in images:
        measured.add(image.shape[1], image.shape[0], pixel_statistics.sums(image))
    some = np.concatenate([p[:: max(1, len(p) // 64)].reshape(-1, 3) for p in images])
    np.testing.assert_allclose(measured.covariance(), np.cov(some.T, bias=True), rtol=1e-12)


def test_principal_components_are_the_eigenvectors():
    values, vectors = pixel_statistics.principal_components([[4.0, 1.0, 0.5], [1.0, 3.0, 0.25], [0.5, 0.25, 2.0]])
    matrix = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, 0.25], [0.5, 0.25, 2.0]])
    assert values == sorted(values, reverse=True)
    np.testing.assert_allclose(vectors @ matrix, np.array(values)[:, None] * vectors, rtol=1e-12)
    np.testing.assert_allclose(vectors @ np.transpose(vectors), np.eye(3), atol=1e-14)
    assert all(max(row, key=abs) > 0 for row in vectors)


def test_grey_images_have_one_component():
    values, vectors = pixel_statistics.principal_components([[2.0] * 3] * 3)
    np.testing.assert_allclose(values, [6, 0, 0], atol=1e-14)
    np.testing.assert_allclose(vectors[0], [3**-0.5] * 3, rtol=1e-14)


def samples(count: int) -> list[Sample]:
    return [Sample("train", "a", f"a/{number}.jpg", "x.tar", 0, 1) for number in range(count)]


def test_all_images_are_measured_unless_they_are_checked_by_structure():
    assert all(pixel_statistics.measured_places(samples(3000), FormSpec(data="t")))
    structure = FormSpec(data="t", verify="structure")
    assert all(pixel_statistics.measured_places(samples(1000), structure))
    assert sum(pixel_statistics.measured_places(samples(3000), structure)) == 1000


def test_a_image_is_measured_for_its_name_and_not_for_its_place():
    form, given = FormSpec(data="t", verify="structure"), samples(3000)
    places = pixel_statistics.measured_places(given, form)
    assert pixel_statistics.measured_places(given[::-1], form) == places[::-1]


@pytest.mark.parametrize("shape", [(1, 1), (3, 16), (7, 15), (16, 17), (500, 333), (1, 65535), (2100, 33)])
@pytest.mark.parametrize("value", [255, None])
def test_sums_are_the_same_without_the_compiled_library(shape: tuple[int, int], value: int | None, monkeypatch):
    pixels = np.full((*shape, 3), value or 0, np.uint8)
    if value is None:
        pixels[:] = np.random.default_rng(1).integers(0, 256, pixels.shape, np.uint8)
    compiled = pixel_statistics.sums(pixels)
    monkeypatch.setattr(pixel_statistics.c_extension, "function", lambda *_: None)
    assert compiled.tolist() == pixel_statistics.sums(pixels).tolist()


def test_sums_of_a_view_are_those_of_its_copy():
    pixels = np.random.default_rng(2).integers(0, 256, (40, 60, 3), np.uint8)[3:30, 5:50]
    assert pixel_statistics.sums(pixels).tolist() == pixel_statistics.sums(pixels.copy()).tolist()
