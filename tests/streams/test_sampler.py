import numpy as np
import pytest

from sdm_ray.streams import sampler
from sdm_ray.streams.sampler import Sampler, share


def test_each_pass_holds_every_row_once():
    order = Sampler(n=7, seed=3)
    ids = order.ids(0, 21).reshape(3, 7)
    assert (np.sort(ids, axis=1) == np.arange(7)).all()
    assert not np.array_equal(ids[0], ids[1])


def test_an_id_depends_on_its_position_alone():
    order = Sampler(n=11, seed=1)
    whole = order.ids(0, 60)
    assert np.array_equal(np.concatenate([order.ids(0, 5), order.ids(5, 37), order.ids(37, 60)]), whole)
    ids, epochs = order.at(np.array([[40, 3], [22, 10]]))
    assert np.array_equal(ids, whole[[[40, 3], [22, 10]]])
    assert epochs.tolist() == [[3, 0], [2, 0]]


def test_the_order_of_many_rows_is_computed_and_not_stored(monkeypatch):
    monkeypatch.setattr(sampler, "_STORED", 10)
    monkeypatch.setattr(sampler, "_permutation", None)
    order = Sampler(n=1000, seed=3)
    ids = order.ids(0, 3000).reshape(3, 1000)
    assert (np.sort(ids, axis=1) == np.arange(1000)).all() and not np.array_equal(ids[0], ids[1])
    assert np.array_equal(np.concatenate([order.ids(0, 700), order.ids(700, 3000)]), ids.ravel())


def test_another_seed_is_another_order():
    assert not np.array_equal(Sampler(50, 0).ids(0, 50), Sampler(50, 1).ids(0, 50))


def test_unshuffled_is_row_by_row():
    assert Sampler(4, 0, shuffled=False).ids(2, 9).tolist() == [2, 3, 0, 1, 2, 3, 0]


@pytest.mark.parametrize("batch", [1, 7, 64])
@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_shares_tile_the_batch(batch, world):
    rows = np.concatenate([np.arange(batch)[share(batch, rank, world)] for rank in range(world)])
    assert np.array_equal(rows, np.arange(batch))
