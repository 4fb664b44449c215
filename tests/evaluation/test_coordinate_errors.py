"""From pretraining to the job `evaluate`: an encoder trained on a landscape detects coordinate errors."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.small import BLOCKS, LOCATION
from helpers.tiny_world import execute, world
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.evaluation import coordinate_errors
from sdm_ray.evaluation import job as evaluate
from sdm_ray.evaluation.config import CoordinatesConfig, EvaluateConfig
from sdm_ray.evaluation.coordinate_errors import SIMULATE
from sdm_ray.geo.grid import to_xy
from sdm_ray.training.pretrain import job as pretrain
from sdm_ray.training.pretrain.config import PretrainConfig

__all__ = ["execute", "world"]

PLACES = np.array([[3.5, 43.5], [-4.2, 51.4], [20.1, 60.9]])


def settings(world, **changes):
    """Photos whose colour follows a covariate with waves of some 50 km."""
    return {
        "run_dir": str(world),
        "scales": {"plant": {"shards": "shards", "size": 32, "tower": {"dim": 16}}},
        "location": {**LOCATION, "hidden": 64, "dim": 16},
        "dim": 16,
        "blocks": {**BLOCKS, "size_m": 3000, "validation": 0.1, "calibrate": 0},
        "optim": {"epochs": 1, "batch": 96, "steps_per_epoch": 60, "lr": 0.005},
        "workers": {"count": 0},
        **changes,
    }


def test_errors_are_detected_by_the_match_of_image_and_place(world, execute):
    execute(PretrainConfig, pretrain.run, **settings(world, output="keen", crossfit=True))
    assert UPath(world / "keen" / "embedding.png").read_bytes().startswith(b"\x89PNG")
    tried = {"encoder": "keen", "scales": {"plant": "shards"}, "images": 150}
    record = execute(EvaluateConfig, evaluate.run, run_dir=str(world), output="tried", maps={}, coordinates=tried)
    found = json.loads((world / "tried" / "metrics.json").read_text())["coordinates"]["plant"]
    assert list(found) == list(SIMULATE)
    assert all(0 <= each["auc"] <= 1 and each["shift_km"] > 0 for each in found.values())
    assert 100 < found["stale"]["pairs"] <= 150  # of images in blocks that are held out of some fold
    assert found["stale"]["auc"] > 0.65
    assert record.figures["coordinates/plant/stale"] == found["stale"]["auc"]
    assert "Coordinate errors" in (world / "tried" / "evaluation.html").read_text()


def test_an_encoder_that_saw_the_images_is_refused(world, execute):
    execute(PretrainConfig, pretrain.run, **settings(world, output="sly", optim={"epochs": 1, "steps_per_epoch": 1}))
    tried = {"encoder": "sly", "scales": {"plant": "shards"}}
    with pytest.raises(InputError, match=r"sly: has no fold encoders.*crossfit: true"):
        execute(EvaluateConfig, evaluate.run, run_dir=str(world), output="refused", maps={}, coordinates=tried)
    tried = {"encoder": "sly", "scales": {"satellite": "shards"}}
    with pytest.raises(InputError, match="not trained on shards of scale satellite; found plant"):
        execute(EvaluateConfig, evaluate.run, run_dir=str(world), output="refused", maps={}, coordinates=tried)


def test_each_simulated_error_is_what_its_name_says():
    rng = np.random.default_rng(0)
    assert SIMULATE["swap"](PLACES, rng)[0].tolist() == [43.5, 3.5]
    assert SIMULATE["sign_flip"](PLACES, rng)[1].tolist() == [4.2, 51.4]
    assert SIMULATE["stale"](PLACES, rng)[1].tolist() == PLACES[0].tolist()
    assert SIMULATE["rounding"](PLACES, rng)[2].tolist() == [20, 61]
    many = np.repeat(PLACES[:1], 4000, axis=0)
    shift = np.hypot(*np.subtract(to_xy(*SIMULATE["heavy_tail"](many, rng).T), to_xy(*many.T)))
    assert 4500 < np.median(shift) < 5500
    assert (shift > 50_000).mean() == pytest.approx(0.063, abs=0.015)  # of a half-Cauchy, ten times its median


def test_a_stale_position_is_the_last_of_another_place():
    """Several images of one place follow each other in the shards."""
    a, b, c = PLACES
    found = SIMULATE["stale"](np.array([a, a, b, b, b, c, a]), np.random.default_rng(0))
    assert found.tolist() == np.array([c, c, a, a, a, b, c]).tolist()
    rng = np.random.default_rng(1)
    alone = rng.uniform(0, 50, (20, 2))
    assert np.array_equal(SIMULATE["stale"](alone, rng), np.roll(alone, 1, axis=0))  # as where each place has one image
    assert np.array_equal(SIMULATE["stale"](PLACES[[0, 0]], rng), PLACES[[0, 0]])  # there is no other


def test_images_that_an_error_does_not_move_are_not_counted(monkeypatch):
    images = np.eye(3, dtype=np.float32)
    lonlat = np.array([[3.5, 43.5], [4.0, 44.0], [5.2, 45.1]])
    held = coordinate_errors._Matched(images, images, lonlat, model=None, region=None)
    monkeypatch.setattr(coordinate_errors, "_matched", lambda *_: [held])
    monkeypatch.setattr(coordinate_errors, "_places", lambda model, lonlat: np.zeros((len(lonlat), 3), np.float32))
    config = CoordinatesConfig(encoder="keen", scales={"plant": "shards"}, faults=["rounding"])
    found = coordinate_errors.detect(config, UPath("keen"), UPath("shards"), "plant", 0)["rounding"]
    assert (found.pairs, found.auc) == (2, 1.0)  # the second image lies at whole degrees
    monkeypatch.setattr(coordinate_errors, "_matched", lambda *_: [replace(held, lonlat=np.full((3, 2), 4.0))])
    with pytest.raises(InputError, match=r"shards: the error rounding moves none of its images of scale plant"):
        coordinate_errors.detect(config, UPath("keen"), UPath("shards"), "plant", 0)
