import tracemalloc

import numpy as np
import pytest

from sdm_ray.streams import chunk_shuffle_sampler
from sdm_ray.streams.chunk_shuffle_sampler import ChunkShuffleSampler
from sdm_ray.streams.places_in_chunks import ListedInChunks

CHUNK, SIZE = 256, 65536


@pytest.fixture(scope="module")
def places():
    rng = np.random.default_rng(0)
    return rng.integers(-60, SIZE, (2, 5000))


def order(places, **changes) -> ChunkShuffleSampler:
    listed = ListedInChunks(*places, CHUNK)
    return ChunkShuffleSampler(listed, **{"seed": 1, "batch": 40, "shuffle_window": 200, "interleave": 8} | changes)


@pytest.mark.parametrize("interleave", [1, 8])
def test_an_epoch_holds_every_place_once(places, interleave):
    found = order(places, interleave=interleave)
    ids, epochs = found.at(np.arange(3 * 5000))
    for number in range(3):
        assert sorted(ids[epochs == number].tolist()) == list(range(5000))
    assert not np.array_equal(ids[epochs == 0], ids[epochs == 1])


def test_places_that_sequences_cannot_share_out_are_others_each_time(places):
    found = order(places[:, :4999], batch=8)
    ids, epochs = found.at(np.arange(4 * (4999 // 8 * 8)))
    left = [set(range(4999)) - set(ids[epochs == number].tolist()) for number in range(4)]
    assert all(len(each) == 4999 % 8 for each in left)
    assert len(set().union(*left)) > 4999 % 8


def test_the_order_depends_on_the_seed_and_not_on_how_it_is_asked_for(places):
    positions = np.arange(700, 1500)
    ids = order(places).at(positions)[0]
    assert np.array_equal(order(places).at(positions[::-1])[0], ids[::-1])
    assert np.array_equal(order(places).at(positions.reshape(8, 100))[0].ravel(), ids)
    assert not np.array_equal(order(places, seed=2).at(positions)[0], ids)


@pytest.mark.parametrize("world", [1, 2, 3, 8, 12, 40, 64])
def test_ranks_share_a_batch_evenly_and_by_whole_sequences_where_they_can(places, world):
    found = order(places)
    slots = [found.slots(40, rank, world) for rank in range(world)]
    assert sorted(np.concatenate(slots).tolist()) == list(range(40))
    assert {len(each) for each in slots} <= {40 // world, -(-40 // world)}
    if 8 % world == 0:
        assert sum(len(set((each % 8).tolist())) for each in slots) == 8


def test_every_rank_of_many_has_rows_of_one_sequence(places):
    slots = [order(places, batch=256, interleave=16).slots(256, rank, 64) for rank in range(64)]
    assert {len(each) for each in slots} == {4} and all(len(set(each % 16)) == 1 for each in slots)


def test_sequences_share_few_chunks(places):
    found = order(places, batch=8)
    ids = found.at(np.arange(5000))[0].reshape(-1, 8)
    owners = [set(zip(*(places[:, ids[:, sequence]] // CHUNK).tolist(), strict=True)) for sequence in range(8)]
    assert sum(map(len, owners)) < 1.02 * len(set().union(*owners))


def test_a_place_is_delayed_by_the_window_at_most(places):
    """Lanes walk from north to south: in the order of a sequence, no place comes long after one further south."""
    found = order(places, interleave=1, shuffle_window=300)
    ids = found.at(np.arange(5000))[0]
    at = np.empty(5000, int)
    at[ids] = np.arange(5000)
    strips = found.strip(np.arange(5000))
    for strip in range(int(strips.max()) + 1):
        inside = np.flatnonzero(strips == strip)
        walked = at[inside[np.lexsort((places[1][inside], places[0][inside] // CHUNK))]]
        assert np.abs(np.argsort(np.argsort(walked)) - np.arange(len(walked))).max() <= 300


def stored(sampler, number):
    """An epoch as a whole, (sequences, length), by sorting all its places."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([sampler.seed, number])))
    strip, places = sampler.strip(np.arange(sampler.n)), sampler.places
    place = rng.permutation(int(strip.max()) + 1)
    visited = np.lexsort((places.cols, places.rows // CHUNK, place[strip]))
    length = sampler.n // sampler.interleave
    start = np.arange(length * sampler.interleave)
    time = start + sampler.shuffle_window / sampler.interleave * rng.random(len(start))
    parts = visited[: len(start)][np.lexsort((time, start // length))].reshape(sampler.interleave, length)
    return parts[rng.permutation(sampler.interleave)]


@pytest.mark.parametrize("window", [0, 3, 200, 100_000])
@pytest.mark.parametrize(("interleave", "seed"), [(1, 0), (8, 1), (8, 2), (5, 3)])
def test_what_is_computed_around_some_positions_is_the_order_of_the_whole_epoch(places, window, interleave, seed):
    found = order(places[:, :4997], interleave=interleave, seed=seed, shuffle_window=window)
    length = 4997 // interleave
    sequence, index = (axis.ravel() for axis in np.mgrid[0:interleave, 0:length])
    steps, within = index // (40 // interleave), index % (40 // interleave)
    positions = steps * 40 + within * interleave + sequence
    for number in range(2):
        shift = positions + number * length * interleave
        if length % (40 // interleave):  # epochs that end inside a batch: by index alone
            ids = chunk_shuffle_sampler._epoch(found, number).at(sequence, index)
        else:
            ids = found.at(shift)[0]
        assert np.array_equal(ids.reshape(interleave, length), stored(found, number))
        some = np.random.default_rng(0).integers(0, len(index), 50)
        part = chunk_shuffle_sampler._epoch(found, number).at(sequence[some], index[some])
        assert np.array_equal(part, ids[some])


def test_an_epoch_holds_little_beside_the_walk(places):
    found = order(np.tile(places, 20))
    found.at(np.arange(40))
    tracemalloc.start()
    found.at(np.arange(40) + 2 * found.n)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < found.n  # bytes, of another epoch of 100,000 places


def test_places_are_mixed(places):
    """Neighbours in a batch, and any two places of it, lie about as far apart as at random."""
    x, y = places[1].astype(float), places[0].astype(float)
    near = order(places, shuffle_window=800).at(np.arange(5000))[0]
    read = np.lexsort((x, y // CHUNK))
    for axis in (x, y):
        assert abs(np.corrcoef(axis[near[:-1]], axis[near[1:]])[0, 1]) < 0.25
        of_batches = axis[near].reshape(-1, 40).mean(axis=1)
        assert of_batches.std() < 0.35 * axis.std()  # at random it would be 1 / sqrt(40) = 0.16 of it
    assert np.corrcoef(y[read[:-1]], y[read[1:]])[0, 1] > 0.9


def test_groups_are_rows_of_chunks_of_one_visit(places):
    found = order(places)
    positions = np.arange(10000)
    ids, epochs = found.at(positions)
    groups = found.groups(ids, epochs, positions % 40, 10)
    assert np.median(np.bincount(groups)) >= 5  # a visit of a sequence may end before that
    for number in range(0, int(groups.max()) + 1, 7):
        inside = np.flatnonzero(groups == number)
        assert len(set(epochs[inside])) == len(set(positions[inside] % 8)) == len(set(found.strip(ids[inside]))) == 1


def test_batches_that_sequences_do_not_divide_are_refused(places):
    with pytest.raises(ValueError, match="3 sequences for batches of 40"):
        order(places, interleave=3)
