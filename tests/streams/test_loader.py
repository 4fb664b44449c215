import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
from ray import cloudpickle

from sdm_ray.batch import Batch
from sdm_ray.errors import InputError
from sdm_ray.streams import keyed_random, ray_pipeline
from sdm_ray.streams.loader import Stream, batches, in_order
from sdm_ray.streams.parts import Decoded, InMemory
from sdm_ray.streams.reader_tasks import ReaderTasks
from sdm_ray.streams.sampler import Sampler

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Ray's workers cannot import a test


@dataclass(frozen=True)
class Numbers:
    """Rows that tell which row and epoch they are."""

    broken: int = -1
    way: type = Decoded
    count: int = 53

    def __len__(self):
        return self.count

    def parts(self):
        return [self.way(self.read)]

    def read(self, ids, epochs):
        if (ids == self.broken).any():
            raise InputError(f"row {self.broken} cannot be read")
        noise = keyed_random.uniform(keyed_random.keys(9, epochs, ids), 0).astype(np.float32)
        image = np.repeat(ids[:, None, None], 12, axis=1).reshape(-1, 3, 4).astype(np.float64)
        return Batch({"place": ids, "epoch": epochs, "noise": noise, "image": image, "even": ids % 2 == 0})


@pytest.fixture(scope="module")
def stream():
    return Stream(Numbers(), Sampler(n=53, seed=2), batch=10)


@pytest.mark.parametrize("readers", [0, 2])
def test_the_stream_gives_what_the_sampler_says(stream, readers, ray_cluster):
    steps = list(batches(replace(stream, readers=ReaderTasks(readers)), 0, 1, 0, 13))
    assert len(steps) == 13
    for step, batch in enumerate(steps):
        expected = stream.take(step)
        assert {name: values.dtype for name, values in batch.items()} == {
            name: values.dtype for name, values in expected.items()
        }
        assert all(np.array_equal(batch[name], expected[name]) for name in expected)


@pytest.mark.parametrize("readers", [0, 2])
def test_ranks_and_restarts_change_nothing(stream, readers, ray_cluster):
    stream = replace(stream, readers=ReaderTasks(readers))
    ranks = [list(batches(stream, rank, 3, 4, 9)) for rank in range(3)]
    for step, parts in enumerate(zip(*ranks, strict=True), start=4):
        expected = stream.take(step)
        for name in expected:
            assert np.array_equal(np.concatenate([part[name] for part in parts]), expected[name])


@pytest.mark.parametrize("way", [Decoded, InMemory])
def test_without_readers_ray_is_not_asked(stream, way, monkeypatch):
    monkeypatch.setattr(ray_pipeline, "decode", None)  # what would ask
    assert len(list(batches(replace(stream, dataset=Numbers(way=way)), 0, 1, 0, 5))) == 5


def test_a_stream_can_be_left_early(stream):
    made = batches(stream, 0, 1, 0, 1000)
    next(made)
    made.close()
    assert list(made) == []


def test_nothing_left_to_do(stream):
    assert list(batches(stream, 0, 1, 5, 5)) == []


@pytest.mark.parametrize("readers", [0, 2])
def test_a_row_that_cannot_be_read_is_named(readers, ray_cluster):
    with pytest.raises(InputError, match="row 17 cannot be read"):
        list(batches(Stream(Numbers(broken=17), Sampler(n=53, seed=2), 10, ReaderTasks(readers)), 0, 1, 0, 6))


@pytest.mark.parametrize("readers", [0, 2])
@pytest.mark.parametrize("count", [0, 1, 10, 23])
def test_rows_in_order_come_once_each(readers, count, ray_cluster):
    found = list(in_order(Numbers(count=count), 10, ReaderTasks(readers)))
    assert [len(each["place"]) for each in found] == [10] * (count // 10) + [count % 10] * (count % 10 > 0)
    assert [row for each in found for row in each["place"]] == list(range(count))
    assert not any(each["epoch"].any() for each in found)
