"""Sparse labels."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sdm_ray.stores.labels import SparseLabels

SPECIES = 12
LISTS = st.lists(st.lists(st.integers(0, SPECIES - 1), max_size=8), min_size=1, max_size=12)


@given(LISTS, st.data())
def test_rows_and_dense_say_what_the_lists_say(lists, data):
    labels = SparseLabels.from_lists(lists, SPECIES)
    ids = np.array(data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=9)), np.int64)
    expected = np.zeros((len(ids), SPECIES), np.uint8)
    for i, number in enumerate(ids):
        expected[i, lists[number]] = 1
    dense = labels.dense(ids)
    assert dense.dtype == np.uint8
    assert np.array_equal(dense, expected)
    row, species = labels.rows(ids)
    assert list(zip(row, species, strict=True)) == [tuple(pair) for pair in np.argwhere(expected)]


@given(LISTS)
def test_counts_are_those_of_the_dense_labels(lists):
    labels = SparseLabels.from_lists(lists, SPECIES)
    assert len(labels) == len(lists)
    ids = np.arange(len(lists))
    present, absent = labels.counts(ids)
    dense = labels.dense(ids)
    assert np.array_equal(present, dense.sum(axis=0)) and np.array_equal(absent, (1 - dense).sum(axis=0))


@given(LISTS)
def test_equal_sets_have_equal_numbers(lists):
    numbers = SparseLabels.from_lists(lists, SPECIES).sets(np.arange(len(lists)))
    sets = [frozenset(each) for each in lists]
    for i, first in enumerate(sets):
        for j, second in enumerate(sets):
            assert (numbers[i] == numbers[j]) == (first == second)


def test_a_continental_challenge_stays_sparse():
    rng = np.random.default_rng(0)
    surveys, species = 88_987, 11_255
    lists = np.split(rng.integers(0, species, 17 * surveys, dtype=np.int32), surveys)
    labels = SparseLabels.from_lists(lists, species)
    size = labels.indptr.nbytes + labels.indices.nbytes
    assert size < surveys * species / 100
    batch = labels.dense(np.array([0, surveys - 1]))
    assert np.array_equal(np.flatnonzero(batch[1]), np.unique(lists[-1]))


def test_no_surveys_at_all():
    labels = SparseLabels.from_lists([], 3)
    assert len(labels) == 0
    assert labels.dense(np.empty(0, np.int64)).shape == (0, 3)
