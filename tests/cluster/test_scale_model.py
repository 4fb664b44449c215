"""The simulation of a map's scheduler, on cases whose answer is known."""

import random
from pathlib import Path

import pytest
from benchmarks import scale_table
from benchmarks.scale_model import Cluster, makespan

MEASURED = ("cells x species a second and core", "bytes of a cell and species")


def cluster(**settings):
    return Cluster(**{"nodes": 2, "slots": 2, "dispatch_s": 0.0, **settings})


def test_tiles_fill_the_slots_wave_by_wave():
    assert makespan([10] * 4, cluster()) == 10 and makespan([10] * 5, cluster()) == 20
    assert makespan([10] * 4, cluster(ready_s=(0, 5))) == 15
    assert makespan([1] * 100, cluster(dispatch_s=1.0)) == pytest.approx(101)  # the driver is what limits


def test_the_longest_first_leaves_no_long_tail():
    tiles = [1.0] * 30 + [10.0]
    assert makespan(tiles, cluster()) > makespan(tiles, cluster(), largest_first=True) == 10


def test_no_order_beats_the_sum_over_the_slots_and_losses_cost_time():
    rng = random.Random(1)
    tiles = [rng.lognormvariate(2, 0.5) for _ in range(400)]
    least = sum(tiles) / 4
    plain = makespan(tiles, cluster())
    lost = [makespan(tiles, cluster(losses_h=20.0, replaced_s=60.0), seed=seed) for seed in range(5)]
    assert least <= plain < 1.1 * least and all(plain < each < 3 * plain for each in lost)


def test_a_second_start_helps_where_a_node_is_slow():
    slow = cluster(slowness=(1.0, 8.0))
    assert makespan([10] * 4, slow) == 80 and makespan([10] * 4, slow, twice=True) == 30  # late from 20 s on
    hung = cluster(slowness=(1.0, 1e6))
    assert makespan([10] * 40, hung, twice=True) < 300


def test_the_page_has_the_table_of_today():
    page = (Path(__file__).parents[2] / "docs" / "scale.md").read_text()
    assert scale_table.table() in page
    rate, size = (scale_table.MEASURED[f"map, {name}"] for name in MEASURED)
    assert f"{rate / 1e6:.2f} million" in page and f"| {size:.2f} |" in page
