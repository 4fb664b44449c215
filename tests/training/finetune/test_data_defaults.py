"""Blocks, batch and epochs that follow the data."""

import numpy as np
import pytest
from helpers.small import settings

from sdm_ray.geo.blocks import Blocks
from sdm_ray.streams.places import ListedPlaces
from sdm_ray.streams.windows import Windows
from sdm_ray.training.finetune import data_defaults
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.data import read_table
from sdm_ray.training.finetune.fits import FineTuning
from sdm_ray.training.finetune.job import not_learnt


@pytest.mark.parametrize(
    ("rows", "side_km", "size_km"),
    [(80_000, 3000, 100), (3000, 900, 50), (600, 200, 20), (600, 30, 2), (60, 1000, 100), (100_000, 0.5, 1)],
)
def test_blocks_are_as_large_as_enough_of_them_allow(rows, side_km, size_km):
    x, y = np.random.default_rng(0).uniform(0, side_km * 1000, (2, rows)) + 3_000_000
    assert data_defaults.suggested_blocks(x, y) == Blocks(size_m=size_km * 1000)


def test_batch_and_epochs_give_enough_steps():
    found = [data_defaults.suggested_batch(rows) for rows in (1, 480, 2400, 12_000, 66_000, 1_000_000)]
    assert found == [32, 32, 64, 256, 1024, 1024]
    assert [data_defaults.suggested_epochs(steps) for steps in (1, 15, 38, 40, 1000)] == [100, 67, 27, 25, 25]


def test_what_is_given_stays_and_what_is_open_follows_the_surveys(world):
    def made(**changes) -> FinetuneConfig:
        config = FinetuneConfig(run_dir=str(world), **settings(**changes))
        return FineTuning(config, read_table(config), "").config

    given = made()
    assert (given.optim.batch, given.optim.epochs, given.blocks.size_m) == (64, 6, 8000)
    left_open = made(optim={"ema": 0.999}, blocks=None)
    assert (left_open.optim.batch, left_open.optim.epochs, left_open.optim.ema) == (32, 100, 0.999)
    assert left_open.optim.lr == 2e-3 and left_open.blocks == Blocks(size_m=10_000)


def test_windows_of_training_surveys_stay_out_of_held_out_blocks(world, capsys):
    windows = Windows(str(world / "cube.zarr"), ("red",), ListedPlaces(np.zeros((1, 2))), 8)
    assert windows.reach_m == 2000  # half of 8 pixels of 500 m
    x, y = np.random.default_rng(0).uniform(0, 200_000, (2, 600)) + 3_000_000
    config = FinetuneConfig(run_dir=str(world), **settings(blocks=None))
    assert data_defaults.blocks_of(config, x, y).buffer_m == 0
    assert data_defaults.blocks_of(config, x, y, windows.reach_m) == Blocks(size_m=20_000, buffer_m=2000)
    given = FinetuneConfig(run_dir=str(world), **settings())
    assert data_defaults.blocks_of(given, x, y, windows.reach_m) == given.blocks
    assert "windows reach 2000 m, across edges of blocks; `blocks.buffer_m: 2000`" in capsys.readouterr().out


def test_a_network_that_did_not_learn_is_told_beside_prevalence():
    flat = {"history": [{"auc": 0.5, "bce": 0.41}, {"auc": 0.52, "bce": 0.4}], "best_epoch": 2, "prevalence_bce": 0.4}
    good = {"history": [{"auc": 0.8, "bce": 0.5}], "best_epoch": 1, "prevalence_bce": 0.4}
    unknown = {"history": [], "best_epoch": 0}
    (line,) = not_learnt([0, 1, 2], [flat, good, unknown])
    assert line.startswith("fold 0: the network did not learn: AUC 0.520, cross-entropy 0.4, and 0.4 of prevalence")
