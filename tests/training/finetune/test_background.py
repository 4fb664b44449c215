"""Background places: whose blocks they lie in, and where they come from."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.small import GRID, settings
from pydantic import ValidationError
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Role
from sdm_ray.geo.grid import to_lonlat, to_xy
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.labels import SparseLabels
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.data import Table, read_table
from sdm_ray.training.finetune.fits import FineTuning


def config(world, presence=None, **changes) -> FinetuneConfig:
    chosen = {"loss": "max_entropy", "background": "uniform", "places": 500} | (presence or {})
    return FinetuneConfig(run_dir=str(world), **settings(presence=chosen, **changes))


def places(table: Table) -> tuple[np.ndarray, np.ndarray]:
    return to_xy(*table.background.lonlat.T)


@pytest.mark.parametrize("background", ["uniform", "target_group"])
@pytest.mark.parametrize("fold", [None, 1])
def test_no_background_lies_in_blocks_that_choose_epochs_and_calibrate(world, background, fold):
    chosen = config(world, {"background": background}, crossfit=fold is not None)
    table = read_table(chosen)
    stream = FineTuning(chosen, table, "").fit(fold).streams["background"]
    roles = table.holdout.role(*places(table), 0 if fold is None else fold)[stream.dataset.rows]
    assert not np.isin(roles, [Role.VALIDATION, Role.CALIBRATE]).any() and len(roles) > 50
    assert (roles == Role.TEST).any() == (fold is None)  # without folds, all other blocks are learnt from
    everything = table.split(None).background
    assert len(everything) == len(table.background)  # the refitted model


@pytest.mark.parametrize("loss", ["assume_negative", "max_entropy"])
def test_records_of_one_species_start_where_records_and_background_weigh_the_same(world, loss):
    chosen = config(world, {"loss": loss})
    table = read_table(chosen)
    count = len(table.labels)
    alone = SparseLabels(np.arange(count + 1), np.zeros(count, np.int32), 1)
    table = replace(table, labels=alone, dataset=replace(table.dataset, labels=alone), species=table.species[:1])
    head = FineTuning(chosen, table, "").fit(0).objective().model.head
    assert torch.sigmoid(head.bias).item() == pytest.approx(0.5)  # not 1, from where nothing is learnt


def test_places_of_a_table(world, tmp_path):
    x, y = GRID.x0 + np.arange(1, 41) * 1500.0, np.full(40, GRID.y1 - 30_000)
    lon, lat = to_lonlat(x, y)
    pd.DataFrame({"lon": lon, "lat": lat}).to_csv(tmp_path / "effort.csv", index=False)
    chosen = config(world, {"background": "table", "table": str(tmp_path / "effort.csv")})
    table = read_table(chosen)
    assert np.allclose(table.background.lonlat, np.column_stack([lon, lat])) and table.background.known.all()
    assert str(tmp_path / "effort.csv") in chosen.reads_files()
    pd.DataFrame({"lon": [10, 200], "lat": [50, 50]}).to_csv(tmp_path / "effort.csv", index=False)
    with pytest.raises(InputError, match=r"effort\.csv: row 2 is \(200.0, 50.0\); expected degrees"):
        read_table(chosen)


def test_places_within_a_polygon_or_weighted_by_a_layer(world, tmp_path):
    west = to_lonlat(GRID.x0 + np.array([0, 20_000, 20_000, 0, 0.0]), GRID.y1 - np.array([0, 0, 64_000, 64_000, 0.0]))
    ring = ", ".join(f"{lon} {lat}" for lon, lat in zip(*west, strict=True))
    (tmp_path / "west.wkt").write_text(f"POLYGON (({ring}))")
    table = read_table(config(world, {"region": str(tmp_path / "west.wkt")}))
    assert (places(table)[0] < GRID.x0 + 20_500).all() and len(table.background) > 300

    store = Covariates(UPath(world / "covariates.zarr"))
    with pytest.raises(InputError, match=r"presence\.bias: wet of .* has -.*; expected no negative weight"):
        read_table(config(world, {"bias": "wet"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Covariates, "draw", lambda self, count, seed: positive(self, count))
        table = read_table(config(world, {"bias": "wet", "places": 400}, model={"covariates": ["noise"]}))
    assert table.covariates.names == ("noise",)
    assert store.at(*places(table))[0][:, 0].mean() > 0.3  # .1 over all cells
    with pytest.raises(InputError, match=r"has no covariate effort \(presence\.bias\); found wet, noise"):
        read_table(config(world, {"bias": "effort"}))


def positive(store: Covariates, count: int):
    """Cells with the wet layer as a weight that is 0 where it is dry."""
    total = store.grid.height * store.grid.width
    x, y = store.grid.centre(*np.divmod(np.arange(total), store.grid.width))
    values, known = store.at(x, y)
    assert known.all() and count == 400 * 20
    return x, y, np.maximum(values, 0)


def test_what_does_not_fit_is_named(world):
    for presence, line in (
        ({"background": "table"}, "table: names the places of `background: table`"),
        ({"background": "target_group", "bias": "wet"}, "region, bias: choose uniform places"),
    ):
        with pytest.raises(ValidationError, match=line):
            config(world, presence)
