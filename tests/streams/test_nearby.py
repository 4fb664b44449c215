import numpy as np
import pytest

from sdm_ray.streams.nearby import NearbyOrder, neighbourhoods

CHUNK, SIZE = 256, 16384


@pytest.fixture(scope="module")
def places():
    rng = np.random.default_rng(0)
    return rng.integers(-60, SIZE, (2, 5000))


def order(places, **changes) -> NearbyOrder:
    return NearbyOrder(*places, **{"chunk": CHUNK, "seed": 1, "batch": 64, "reach": 800} | changes)


@pytest.mark.parametrize("lanes", [1, 4])
def test_a_pass_holds_every_place_once(places, lanes):
    found = order(places, lanes=lanes, batch=40)
    ids, passes = found.at(np.arange(3 * 5000))
    for number in range(3):
        assert sorted(ids[passes == number].tolist()) == list(range(5000))
    assert not np.array_equal(ids[passes == 0], ids[passes == 1])


def test_places_that_lanes_cannot_share_out_are_others_each_time(places):
    found = order(places[:, :4999], lanes=8, batch=8)
    length = 4999 // 8 * 8
    ids, passes = found.at(np.arange(4 * length))
    left = [set(range(4999)) - set(ids[passes == number].tolist()) for number in range(4)]
    assert all(len(each) == 4999 % 8 for each in left)
    assert len(set().union(*left)) > 4999 % 8


def test_the_order_depends_on_seed_and_lanes_and_on_nothing_else(places):
    positions = np.arange(700, 1500)
    ids = order(places).at(positions)[0]
    assert np.array_equal(order(places).at(positions[::-1])[0], ids[::-1])
    assert np.array_equal(order(places).at(positions.reshape(8, 100))[0].ravel(), ids)
    assert not np.array_equal(order(places, seed=2).at(positions)[0], ids)


def test_lanes_share_few_neighbourhoods(places):
    found = order(places, lanes=4)
    slots = found.at(np.arange(4928))[0].reshape(-1, 4, 16)
    owners = [set(found.neighbourhood[slots[:, lane].ravel()].tolist()) for lane in range(4)]
    assert sum(map(len, owners)) - len(set().union(*owners)) <= 3


def test_a_place_is_moved_by_its_reach_at_most(places):
    found = order(places, reach=500)
    ids = found.at(np.arange(5000))[0]
    neighbourhood = found.neighbourhood[ids]
    for each in np.unique(neighbourhood):
        at = np.flatnonzero(neighbourhood == each)
        assert np.ptp(at) <= 500 + len(at)


def test_places_are_mixed(places):
    """Neighbours in a batch lie about as far apart as at random, though they are read together."""
    x = places[1].astype(float)
    near = order(places).at(np.arange(5000))[0]
    read = np.lexsort((places[1], places[0] // CHUNK))
    correlation = {
        name: np.corrcoef(x[ids[:-1]], x[ids[1:]])[0, 1] for name, ids in {"near": near, "read": read}.items()
    }
    assert correlation["read"] > 0.9
    assert correlation["near"] < 0.2
    regions = [len(np.unique(order(places).neighbourhood[batch])) for batch in near[:4992].reshape(-1, 64)[10:-10]]
    assert np.median(regions) >= 6


def test_neighbourhoods_hold_few_places_and_are_whole_squares(places):
    down, right = places // CHUNK
    numbers = neighbourhoods(down, right, 100)
    counts = np.bincount(numbers)
    assert counts.max() <= 100
    assert counts.min() > 0
    for number in range(len(counts)):
        inside = numbers == number
        height, width = np.ptp(down[inside]) + 1, np.ptp(right[inside]) + 1
        assert height <= 64
        assert width <= 64
        box = (down >= down[inside].min()) & (down <= down[inside].max())
        box &= (right >= right[inside].min()) & (right <= right[inside].max())
        assert box.sum() == inside.sum()  # nobody else's places lie in between


def test_many_places_in_one_chunk_stay_together():
    assert neighbourhoods(np.zeros(50, int), np.zeros(50, int), 3).tolist() == [0] * 50


def test_batches_that_lanes_do_not_divide_are_refused(places):
    with pytest.raises(ValueError, match="3 lanes for batches of 64"):
        order(places, lanes=3)
