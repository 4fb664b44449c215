"""Every tile, in order, and the first failure in one line."""

from types import SimpleNamespace

import pytest

from sdm_ray.config import TaskConfig
from sdm_ray.errors import InputError
from sdm_ray.mapping import all_tiles

TILES = [SimpleNamespace(id=name) for name in "abc"]


def do(monkeypatch, outcomes):
    """What `do_all` returns where tiles end in the order of `outcomes`: (id, result, problem)."""
    ended = [(SimpleNamespace(id=name), result, problem) for name, result, problem in outcomes]
    monkeypatch.setattr(all_tiles, "run_tasks", lambda work, shared, parts, compute, twice: iter(ended))
    return all_tiles.do_all(print, None, TILES, TaskConfig(), name="change", place="change.zarr")


def test_results_are_in_the_order_of_the_tiles_whichever_ends_first(monkeypatch):
    assert do(monkeypatch, [("c", 3, None), ("a", 1, None), ("b", None, None)]) == [1, None, 3]


def test_a_failed_tile_ends_the_job_with_its_name_and_the_cause(monkeypatch):
    with pytest.raises(InputError, match=r"^change.zarr: change: tile b failed: gone; run the job again$"):
        do(monkeypatch, [("a", 1, None), ("b", None, "gone"), ("c", 3, None)])
