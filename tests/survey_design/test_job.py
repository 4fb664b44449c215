"""The job `sample` on a map of a small country."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import rasterio
from PIL import Image

from sdm_ray import job
from sdm_ray.errors import InputError
from sdm_ray.stores import artefact
from sdm_ray.survey_design.config import SampleConfig
from sdm_ray.survey_design.job import run


@pytest.fixture
def sample(mapped, tmp_path):
    def made(output="sample", **values):
        tracking = {"uri": f"sqlite:///{tmp_path}/mlflow.db"}
        place = str(tmp_path / output)
        config = SampleConfig(run_dir=str(mapped), map="unsure.zarr", output=place, tracking=tracking, **values)
        job.execute("sample", config, run, "sample")
        return config.path(config.output)

    return made


def cells_of(world, table):
    return world.grid.cell(table["x"].to_numpy(), table["y"].to_numpy())


def test_sites_lie_where_covariates_are_known_and_say_why(world, sample):
    output = sample(sites=12, apart_m=3000)
    table = pd.read_csv(str(output / "sites.csv"))
    assert len(table) == 12 and table["rank"].tolist() == list(range(1, 13))
    assert (world.land & world.covered)[cells_of(world, table)].all()
    xy = table[["x", "y"]].to_numpy()
    apart = np.linalg.norm(xy[:, None] - xy, axis=2)
    assert apart[~np.eye(12, dtype=bool)].min() >= 3000
    assert table["reason"].str.contains(r"takes \d+\.\d% of the cells' dissimilarity; from the nearest survey: ").all()
    assert table["cell"].str.match(r"1kmE\d{4}N\d{4}$").all() and (table["gain"].diff().dropna() <= 1e-9).all()
    assert Image.open(str(output / "sites.png")).size[0] > 300


def test_points_and_gains_are_geoparquet_with_their_sources(sample):
    output = sample(sites=5)
    sites, every = (pq.read_table(str(output / f"{name}.parquet")) for name in ("sites", "candidates"))
    assert len(sites) == 5 and b"geo" in sites.schema.metadata
    assert sites.schema.metadata[b"sources"] == b"made up"
    assert len(every) == artefact.read_record(output).figures["candidates"]
    assert max(every["gain"].to_pylist()) == pytest.approx(sites["gain"][0].as_py(), rel=1e-4)


def test_a_budget_and_a_raster_of_costs_are_kept(world, sample, tmp_path):
    """Costs rise to the east, in another projection than the grid's, and are unknown in the south."""
    west, south, east, north = world.grid.bounds
    place = str(tmp_path / "cost.tif")
    values = np.tile(np.linspace(1, 10, 104, dtype=np.float32), (72, 1))
    values[50:] = np.nan
    where = {"crs": "EPSG:3035", "transform": rasterio.transform.from_bounds(west, south, east, north, 104, 72)}
    with rasterio.open(place, "w", driver="GTiff", width=104, height=72, count=1, dtype="float32", **where) as file:
        file.write(values, 1)
    table = pd.read_csv(str(sample(sites=50, budget=20, cost=place) / "sites.csv"))
    assert 0 < table["cost"].sum() <= 20 and table["cost_so_far"].iloc[-1] == pytest.approx(table["cost"].sum())
    rows, _ = cells_of(world, table)
    assert (rows < 100).all()  # where the cost is known
    free = pd.read_csv(str(sample("free", sites=len(table)) / "sites.csv"))
    assert table["x"].mean() < free["x"].mean()


@pytest.mark.parametrize("uncertainty", ["entropy", "variance"])
def test_cells_can_be_weighted_by_uncertainty(sample, uncertainty):
    table = pd.read_csv(str(sample(sites=4, uncertainty=uncertainty, weights="equal") / "sites.csv"))
    assert table["uncertainty"].nunique() == 4 and table["reason"].str.contains("more uncertain than").all()


def test_some_of_many_cells_are_compared(sample):
    assert artefact.read_record(sample(sites=3, candidates=500)).figures["candidates"] == 500


def test_what_cannot_be_used_is_named(mapped, sample, tmp_path):
    with pytest.raises(InputError, match="has no layer probability_spread"):
        sample(uncertainty="spread")
    with pytest.raises(InputError, match=r"cost: .*none\.tif: cannot be read"):
        (tmp_path / "none.tif").write_text("no raster")
        sample(cost=str(tmp_path / "none.tif"), budget=1)
    with pytest.raises(ValueError, match="budget: missing"):
        SampleConfig(run_dir=str(mapped), cost="cost.tif")
    (tmp_path / "sea.wkt").write_text("POLYGON ((0 0, 1 0, 1 1, 0 0))")
    with pytest.raises(InputError, match="no cell may be surveyed"):
        sample(within=str(tmp_path / "sea.wkt"))


def test_an_input_made_anew_since_the_map_is_refused(mapped, sample):
    place = mapped / "surveys.parquet"
    record = artefact.read_record(place)
    artefact.seal(place, record.model_copy(update={"fingerprint": "another"}))
    try:
        with pytest.raises(InputError, match=r"surveys\.parquet: is not what .*unsure\.zarr was made from"):
            sample("stale")
    finally:
        artefact.seal(place, record)
