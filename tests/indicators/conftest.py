"""The small country, its models and a way to map it, once for all tests of indicators."""

import pytest
from helpers.in_order import in_order
from helpers.small_country import make, models, world

from sdm_ray.indicators import job, joint_intervals
from sdm_ray.indicators.joint_intervals import tile_draws
from sdm_ray.indicators.tile import tile_sums
from sdm_ray.mapping import all_tiles

__all__ = ["in_process", "make", "models", "world"]


@pytest.fixture(scope="module")
def in_process():
    """The job does its tiles one after the other in this process instead of on a Ray cluster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "connect", lambda: None)
        patch.setattr(job.ray, "put", lambda work: work)
        patch.setattr(job, "do_tile", lambda shared, tile: tile_sums(shared[0], tile))
        patch.setattr(all_tiles, "run_tasks", in_order)
        patch.setattr(joint_intervals, "_do_tile", lambda shared, tile: tile_draws(shared[0], tile.window))
        yield
