import numpy as np
import pytest

from sdm_ray.streams import chunk_strips as module
from sdm_ray.streams.chunk_strips import chunk_strips, occupied


def strips(down, right, most):
    """Of each place."""
    chunks, of_place = occupied(down, right)
    return chunk_strips(chunks, most)[of_place]


@pytest.mark.parametrize("dense", [0, 4, 10**9])
def test_chunks_are_counted_however_far_apart_they_lie(monkeypatch, dense):
    monkeypatch.setattr(module, "_DENSE", dense)
    down, right = np.random.default_rng(0).integers(-50, 50, (2, 3000))
    found, of_place = occupied(down, right)
    assert found.count.sum() == 3000 and (found.count > 0).all()
    assert np.array_equal(found.down[of_place], down) and np.array_equal(found.right[of_place], right)
    assert len(np.unique(np.stack([found.down, found.right]), axis=1).T) == len(found.count)


def test_strips_are_narrow_where_places_are_dense():
    down, right = (axis.ravel() for axis in np.mgrid[0:64, 0:32])
    dense = np.repeat(np.arange(len(down)), np.where(right < 16, 1, 10))
    numbers = strips(down[dense], right[dense], 32)
    wide, narrow = numbers[right[dense] < 16], numbers[right[dense] >= 16]
    assert len(set(wide)) == 1
    assert len(set(narrow)) == 8  # two chunks of ten places make 20, four would make 40
    assert not set(wide) & set(narrow)
    assert set(numbers) == set(range(9))


def test_many_places_in_one_chunk_stay_together():
    assert strips(np.zeros(50, int), np.zeros(50, int), 3).tolist() == [0] * 50
