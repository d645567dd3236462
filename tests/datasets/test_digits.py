import hashlib
import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from ilsvrc.datasets import digits
from ilsvrc.datasets._card import Sample


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    digits.acquire(folder, {})
    return folder


@pytest.fixture(scope="module")
def samples(raw) -> list[Sample]:
    return list(digits.samples(raw, {}))


def image(raw, sample: Sample) -> np.ndarray:
    content = (raw / sample.file).read_bytes()[sample.offset : sample.offset + sample.size]
    return np.asarray(Image.open(io.BytesIO(content)))


def test_a_fifth_of_each_class_is_val(samples):
    counts = Counter((sample.split, sample.label_name) for sample in samples)
    totals = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert [counts["val", str(label)] for label in range(10)] == [total // 5 for total in totals]
    assert {split: sum(1 for s in samples if s.split == split) for split in ("train", "val")} == digits.CARD.counts


def test_no_image_is_in_both_splits(samples):
    numbers = [sample.name.split("/")[1] for sample in samples]
    assert len(set(numbers)) == len(numbers) == 1797


def test_every_image_is_scikit_learns_scaled_to_255(raw, samples):
    from sklearn.datasets import load_digits

    given = load_digits()
    for sample in samples[::100]:
        number = int(sample.name[2:6])
        assert given.target[number] == int(sample.label_name)
        assert (image(raw, sample) == np.rint(given.images[number] * 255 / 16)).all()


def test_the_archive_is_the_same_at_every_run(raw, tmp_path):
    digits.acquire(tmp_path, {})
    assert (tmp_path / "digits.tar").read_bytes() == (raw / "digits.tar").read_bytes()


def test_the_archive_is_the_same_on_every_machine(raw):
    content = (raw / "digits.tar").read_bytes()
    assert hashlib.sha256(content).hexdigest()[:16] == "c0003e508f90c586"


def test_samples_come_by_split_class_and_name(samples):
    assert [(s.split, s.label_name, s.name) for s in samples] == sorted(
        (s.split, s.label_name, s.name) for s in samples
    )


def test_nothing_of_the_users_is_read():
    assert digits.fingerprint({}) == ""
