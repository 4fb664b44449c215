"""What steps cost is measured, and reported where somebody listens."""

import time

import numpy as np
from helpers import toy

from sdm_ray import ray_metrics
from sdm_ray.batch import Batch
from sdm_ray.models.distributed import ALONE
from sdm_ray.training.engine import step_meter, trainer
from sdm_ray.training.engine.checkpointing import NoCheckpointer
from sdm_ray.training.engine.reporting import Reporter
from sdm_ray.training.engine.step_meter import StepMeter


class Tracker:
    def __init__(self):
        self.seen = {}

    def metrics(self, values, step):
        self.seen[step] = self.seen.get(step, {}) | values


def test_rows_bytes_and_the_share_of_waiting_are_counted(monkeypatch):
    monkeypatch.setattr(step_meter, "_EVERY_S", 0.0)
    counted = {}
    monkeypatch.setattr(
        step_meter, "count", lambda name, amount, **tags: counted.update({(name, tags.get("spent_on")): amount})
    )
    tracker = Tracker()
    meter = StepMeter("fold-0", Reporter(tracker=tracker))

    def slow():
        time.sleep(0.2)
        yield {"surveys": Batch({"lonlat": np.zeros((6, 2)), "labels": np.zeros((6, 3), np.uint8)})}

    for number, batch in enumerate(meter.timed(slow()), 1):
        meter.step([batch], number)
    assert counted["sdm_ray_samples", None] == 6 and counted["sdm_ray_batch_bytes", None] == 6 * 2 * 8 + 18
    assert counted["sdm_ray_seconds", "data"] > counted["sdm_ray_seconds", "steps"]
    assert 0.5 < tracker.seen[1]["fold-0/waiting_for_data"] <= 1
    assert all(name in ray_metrics.METRICS for name, _ in counted)


def test_the_last_steps_are_reported_when_a_fit_ends(tmp_path):
    """However short it is: reports while it trains are 10 seconds apart."""
    (fit,) = toy.Toy(str(tmp_path), steps_per_epoch=3, epochs=2)()
    tracker = Tracker()
    trainer.run(fit, ALONE, NoCheckpointer(), Reporter(tracker=tracker))
    assert tracker.seen[6]["toy/samples_per_s"] > 0
    tracker.seen.clear()
    StepMeter("fold-0", Reporter(tracker=tracker)).close()
    assert not tracker.seen  # without a step there is nothing to tell
