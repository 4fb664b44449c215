"""The whole job where outcomes are maps: parcels whose cells lost a part of their probability."""

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers.management import CENTRE
from helpers.parcel_files import write_squares
from upath import UPath

from sdm_ray import jobs
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import whole
from sdm_ray.indicators.error_model import ErrorModel, write_error_model
from sdm_ray.mapping.quality_layers import LAYERS
from sdm_ray.stores import artefact
from sdm_ray.stores.maps import Map, MapSpec, create_map

SIDE = 24
GRID = Grid(CENTRE[0], CENTRE[1] + SIDE * 1000, 1000.0, SIDE, SIDE)
SPECIES = ["Ficta alba", "Ficta nana"]
LOST = 0.2


@pytest.fixture(scope="module")
def effects(tmp_path_factory):
    folder = UPath(tmp_path_factory.mktemp("maps"))
    rng = np.random.default_rng(0)
    row, col = np.divmod(np.arange(SIDE * SIDE // 4), SIDE // 2)
    treated = rng.random(len(row)) < 0.15 + 0.2 * (col > SIDE // 4)
    corners = [(GRID.x0 + 2000 * c, GRID.y1 - 2000 * (r + 1)) for r, c in zip(row, col, strict=True)]
    columns = {"parcel": np.arange(len(row)), "treated": treated.astype(int), "east": col.astype(float)}
    write_squares(folder / "parcels.gpkg", corners, 2000, columns)
    base = 0.5 + 0.1 * rng.random((2, SIDE, SIDE))
    cells = np.kron(treated.reshape(SIDE // 2, -1), np.ones((2, 2)))
    trend = 0.01 * np.arange(SIDE)[None, None] / SIDE + 0.02 * rng.standard_normal((2, SIDE, SIDE))
    for year, values in ((2010, base), (2020, base + trend - LOST * cells)):
        write(folder / f"map-{year}.zarr", values, year)
    write_errors(folder / "errors")
    config = {
        "units": str(folder / "parcels.gpkg"), "id": "parcel", "treatment": {"column": "treated", "year": 2015},
        "outcome": {"maps": {2010: "map-2010.zarr", 2020: "map-2020.zarr"}, "layers": ["richness", "Ficta nana"],
                    "errors": "errors", "draws": 50},
        "covariates": {"columns": ["east"]}, "estimate": {"block_m": 4000, "resamples": 200},
        "placebos": {"fake_treatments": 3, "elsewhere": 0}, "run_dir": str(folder),
    }  # fmt: skip
    (folder / "impact.yaml").write_text(yaml.safe_dump(config))
    jobs.run_job("impact", folder / "impact.yaml", [])
    record = artefact.read_record(folder / "impact")
    return pd.read_csv(str(folder / "impact" / "effects.csv")).set_index("outcome"), record


def write(place, probability, year):
    species = pd.DataFrame({"species_id": range(2), "name": SPECIES})
    create_map(place, GRID, MapSpec(species, "occurrence", SIDE, {"richness": LAYERS["richness"]}))
    p = probability.astype(np.float32)
    Map(place, writable=True).write(whole(GRID), p, {"richness": p.sum(axis=0)})
    config, inputs = {"model": "model", "cube": "cube.zarr"}, {"model": "m", "cube.zarr": str(year)}
    record = artefact.Record(kind="map", fingerprint=str(year), config=config, inputs=inputs, sources=["made up, CC0"])
    artefact.seal(place, record)


def write_errors(folder):
    folder.mkdir()
    loadings, own = np.full((1, 2, 1), 0.4, np.float32), np.full((1, 2), 0.05, np.float32)
    write_error_model(folder, ErrorModel(tuple(SPECIES), (8000.0,), loadings, own, np.zeros((2, 1), np.float32)), {})
    artefact.seal(folder, artefact.Record(kind="errors", fingerprint="e"))


def test_the_loss_of_each_layer_is_found(effects):
    table, _ = effects
    for name, truth in (("richness", -2 * LOST), ("Ficta nana", -LOST)):
        row = table.loc[name]
        assert row["low"] < truth < row["high"] < 0 and row["effect"] == pytest.approx(truth, abs=0.05)


def test_sources_of_the_maps_travel_with_the_effect(effects):
    _, record = effects
    assert record.sources == ["made up, CC0"]
    assert {"map-2010.zarr", "map-2020.zarr", "errors"} < set(record.inputs)
