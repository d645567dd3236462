import numpy as np

from ilsvrc.runtime import counter_rng

IMAGES = np.arange(2000)


def test_bits_are_those_of_splitmix64():
    # the first three outputs of the reference implementation for seed 1234567
    state, outputs = np.array([1234567], np.uint64), []
    for _ in range(3):
        outputs.append(int(counter_rng._mix(state)[0]))
        state = state + counter_rng.GOLDEN
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_numbers_depend_on_seed_epoch_image_and_draw_only():
    numbers = counter_rng.uniform(3, 5, IMAGES, 1)
    assert (numbers[::-1][:100] == counter_rng.uniform(3, 5, IMAGES[::-1][:100], 1)).all()
    for other in ((4, 5, 1), (3, 6, 1), (3, 5, 2), (5, 3, 1)):
        assert (counter_rng.uniform(other[0], other[1], IMAGES, other[2]) != numbers).all()


def test_a_first_copy_is_known_by_its_image_and_others_by_numbers_of_their_own():
    keys = counter_rng.pack_keys(np.array([5, 5, 6]), np.array([0, 2, 1]))
    assert keys.tolist() == [5, 5 + (2 << 40), 6 + (1 << 40)]
    assert [part.tolist() for part in counter_rng.unpack_keys(keys)] == [[5, 5, 6], [0, 2, 1]]
    assert len(set(counter_rng.uniform(0, 0, keys, 1))) == 3


def test_numbers_are_uniform():
    numbers = counter_rng.uniform(0, 0, np.arange(100_000), 0)
    counts = np.histogram(numbers, 10, (0, 1))[0]
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert np.abs(counts - 10_000).max() < 500


def test_whole_numbers_reach_both_ends():
    numbers = counter_rng.below(0, 0, IMAGES, 0, np.full(len(IMAGES), 33))
    assert (numbers.min(), numbers.max()) == (0, 32)


def test_epochs_are_permutations_that_differ():
    first, second = counter_rng.permutation(0, 0, IMAGES), counter_rng.permutation(0, 1, IMAGES)
    assert sorted(first) == sorted(second) == IMAGES.tolist()
    assert (first == second).sum() < 10
    assert (first == counter_rng.permutation(0, 0, IMAGES)).all()


def test_the_next_seed_is_not_the_next_epoch():
    assert (counter_rng.permutation(0, 1, IMAGES) == counter_rng.permutation(1, 0, IMAGES)).sum() < 10
