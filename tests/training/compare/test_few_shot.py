"""Few known occurrences: what is drawn is true, the same for all, and nested."""

from dataclasses import replace

import numpy as np
import pytest

from sdm_ray.models.species_losses import UNKNOWN
from sdm_ray.stores.labels import SparseLabels
from sdm_ray.training.compare.few_shot import commonest, draw


@pytest.fixture(scope="module")
def labels() -> SparseLabels:
    rng = np.random.default_rng(0)
    lists = [np.flatnonzero(row) for row in rng.random((400, 5)) < [0.5, 0.2, 0.1, 0.01, 0]]
    return SparseLabels.from_lists(lists, 5)


@pytest.mark.parametrize("shots", [1, 5, 50])
def test_each_species_has_its_occurrences_and_a_background(labels, shots):
    rows = np.arange(0, 400, 2)
    known, used = draw(labels, rows, shots, 60, seed=3)
    truth = labels.dense(np.arange(400))
    found = known.dense(np.arange(400))
    assert ((found == truth) | (found == UNKNOWN)).all()
    assert (found[1::2] == UNKNOWN).all() and np.isin(used, rows).all()
    assert np.array_equal((found == 1).sum(axis=0), np.minimum(shots, truth[rows].sum(axis=0)))
    absent = found == 0
    assert (
        np.flatnonzero(absent.any(axis=1)).size == 60
        and (absent[absent.any(axis=1)] == (truth == 0)[absent.any(axis=1)]).all()
    )
    assert np.array_equal(used, np.flatnonzero((found != UNKNOWN).any(axis=1)))
    present, missing = known.counts(used)
    assert np.array_equal(present, (found == 1).sum(axis=0)) and np.array_equal(missing, absent.sum(axis=0))


def test_fewer_are_a_part_of_more_and_another_seed_draws_others(labels):
    rows = np.arange(400)
    few, more, other = (draw(labels, rows, k, 60, seed)[0].dense(rows) for k, seed in ((5, 0), (20, 0), (5, 1)))
    assert ((few == 1) <= (more == 1)).all() and np.array_equal(few == 0, more == 0)
    assert not np.array_equal(few, other)


def test_of_the_commonest_species_everything_may_be_known(labels):
    rows = np.arange(0, 400, 2)
    few, _ = draw(labels, rows, 5, 60, seed=3)
    common = commonest(labels, 2)
    assert common.tolist() == [True, True, False, False, False]
    known, ids = replace(few, common=common), np.arange(400)
    assert np.array_equal(known.dense(ids)[:, :2], labels.dense(ids)[:, :2])
    assert np.array_equal(known.dense(ids)[:, 2:], few.dense(ids)[:, 2:])
    for found, label in zip(known.counts(rows), (1, 0), strict=True):
        assert np.array_equal(found, (known.dense(rows) == label).sum(axis=0))
