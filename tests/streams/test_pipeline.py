import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
from ray import cloudpickle

from sdm_ray.errors import InputError
from sdm_ray.streams import draws, pipeline
from sdm_ray.streams.order import Order
from sdm_ray.streams.pipeline import Stream, batches

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Ray's workers cannot import a test


@dataclass(frozen=True)
class Numbers:
    """Rows that tell which row and pass they are."""

    broken: int = -1

    def __call__(self, ids, passes):
        if (ids == self.broken).any():
            raise InputError(f"row {self.broken} cannot be read")
        noise = draws.uniform(draws.keys(9, passes, ids), 0).astype(np.float32)
        image = np.repeat(ids[:, None, None], 12, axis=1).reshape(-1, 3, 4).astype(np.float64)
        return {"place": ids, "pass": passes, "noise": noise, "image": image, "even": ids % 2 == 0}


@pytest.fixture(scope="module")
def stream():
    return Stream(Numbers(), Order(n=53, seed=2), batch=10)


def test_the_stream_gives_what_the_order_says(stream, ray_cluster):
    steps = list(batches(stream, 0, 1, 0, 13))
    assert len(steps) == 13
    for step, batch in enumerate(steps):
        expected = stream.take(step)
        assert {name: values.dtype for name, values in batch.items()} == {
            name: values.dtype for name, values in expected.items()
        }
        assert all(np.array_equal(batch[name], expected[name]) for name in expected)


def test_ranks_and_restarts_change_nothing(stream, ray_cluster):
    ranks = [list(batches(stream, rank, 3, 4, 9)) for rank in range(3)]
    for step, parts in enumerate(zip(*ranks, strict=True), start=4):
        expected = stream.take(step)
        for name in expected:
            assert np.array_equal(np.concatenate([part[name] for part in parts]), expected[name])


def test_what_is_in_memory_is_picked_here(stream, monkeypatch):
    monkeypatch.setattr(pipeline, "_blocks", None)  # what would ask Ray
    here = replace(stream, in_memory=True)
    for rank in range(3):
        for step, batch in enumerate(batches(here, rank, 3, 4, 9), start=4):
            expected = stream.take(step, rank, 3)
            assert all(np.array_equal(batch[name], expected[name]) for name in expected)


def test_nothing_left_to_do(stream):
    assert list(batches(stream, 0, 1, 5, 5)) == []


def test_a_row_that_cannot_be_read_is_named(ray_cluster):
    with pytest.raises(InputError, match="row 17 cannot be read"):
        list(batches(Stream(Numbers(broken=17), Order(n=53, seed=2), batch=10), 0, 1, 0, 6))
