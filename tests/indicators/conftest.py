"""The small country, its models and a way to map it, once for all tests of indicators."""

import pytest
from helpers.small_country import make, models, world

from sdm_ray.indicators import composition, job, joint_intervals, levels
from sdm_ray.indicators.joint_intervals import tile_draws
from sdm_ray.indicators.tile import tile_sums

__all__ = ["in_process", "make", "models", "world"]


@pytest.fixture(scope="module")
def in_process():
    """The job does its tiles one after the other in this process instead of on a Ray cluster."""

    def run_tasks(work, shared, parts, compute):
        for part in parts:
            yield part, work(shared, part), None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "connect", lambda: None)
        patch.setattr(job.ray, "put", lambda work: work)
        patch.setattr(job, "do_tile", lambda shared, tile: tile_sums(shared[0], tile))
        patch.setattr(job, "run_tasks", run_tasks)
        patch.setattr(composition, "run_tasks", run_tasks)
        patch.setattr(levels, "run_tasks", run_tasks)
        patch.setattr(joint_intervals, "_do_tile", lambda shared, tile: tile_draws(shared[0], tile.window))
        patch.setattr(joint_intervals, "run_tasks", run_tasks)
        yield
