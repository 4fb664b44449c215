import numpy as np

from sdm_ray.streams import keyed_random


def test_a_row_draws_the_same_in_any_company():
    ids, epochs = np.arange(100), np.repeat([0, 1], 50)
    together = keyed_random.uniform(keyed_random.keys(7, epochs, ids), 2)
    alone = [keyed_random.uniform(keyed_random.keys(7, epochs[i : i + 1], ids[i : i + 1]), 2)[0] for i in range(100)]
    assert np.array_equal(together, alone)


def test_draws_are_uniform_and_unrelated():
    ids = np.arange(20_000)
    key = keyed_random.keys(1, np.zeros_like(ids), ids)
    first, second = keyed_random.uniform(key, 0), keyed_random.uniform(key, 1)
    next_pass = keyed_random.uniform(keyed_random.keys(1, np.ones_like(ids), ids), 0)
    other_seed = keyed_random.uniform(keyed_random.keys(2, np.zeros_like(ids), ids), 0)
    counts = np.histogram(first, 20, (0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 45  # chi-square of 19 degrees, far in its tail
    for other in (second, next_pass, other_seed):
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.03
