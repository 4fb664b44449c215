"""A map with `applicability` has the dissimilarity index of each cell; and every map has its documents beside it."""

import numpy as np
import pandas as pd
import pytest
from helpers.small_models import BLOCKS

from sdm_ray.config import TrackingConfig
from sdm_ray.geo.blocks import fold
from sdm_ray.geo.grid import to_xy
from sdm_ray.job import execute
from sdm_ray.mapping import aoa, plan, setup
from sdm_ray.mapping import map as map_job
from sdm_ray.mapping.config import MapConfig
from sdm_ray.mapping.tile import Mapper
from sdm_ray.stores.artefact import read_record
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.ledger import Ledger
from sdm_ray.stores.maps import Map, create_map
from sdm_ray.stores.surveys import read_surveys


@pytest.fixture(scope="module")
def made(world, models, tmp_path_factory):
    """A map of the small country, tile by tile in this process, with its documents."""
    names = {"model": "plain", "covariates": "covariates.zarr", "surveys": "surveys.parquet"}
    place = str(tmp_path_factory.mktemp("aoa") / "aoa.zarr")
    sizes = {"tile": 128, "block": 64, "levels": 0, "title": "Small country"}
    config = MapConfig(run_dir=str(world.folder), output=place, applicability={"weights": "equal"}, **names, **sizes)

    def run(config, job):
        ready = setup.prepare(config, job.output, job.fingerprint)
        create_map(job.output, ready.work.area.grid, ready.spec)
        mapper = Mapper(ready.work)
        work, ledger = plan.make(ready.work.area.grid, config.tile, ready.work.area.wanted), Ledger(job.output, "f")
        for tile in work.tiles:
            ledger.add(tile.id, mapper.do(tile))
        figures = map_job.figures(ledger, work, "occurrence")
        map_job._document(config, job, figures)
        return figures

    tracking = {"uri": f"sqlite:///{world.folder}/mlflow.db"}
    execute("map", config.model_copy(update={"tracking": TrackingConfig(**tracking)}), run, "map")
    return config.path(config.output)


def test_cells_have_the_index_of_their_covariates(world, made):
    store = Covariates(world.folder / "covariates.zarr").select(["lime", "rain"])
    surveys, _ = read_surveys(world.folder / "surveys.parquet")
    x, y = to_xy(surveys["lon"].to_numpy(), surveys["lat"].to_numpy())
    values, known = store.at(x, y)
    known = known.all(axis=1)
    reference = aoa.Reference(values[known], fold(x, y, BLOCKS)[known], np.ones(2))
    index = aoa.fit(reference, 20_000, 0)
    found = Map(made)
    rows, cols = np.nonzero(world.land)
    values, known = store.at(*world.grid.centre(rows, cols))
    expected = index.of(np.where(known, values, np.nan))
    np.testing.assert_allclose(found.layer("di")[world.land], expected, rtol=1e-5)
    inside = found.layer("inside_aoa")[world.land]
    np.testing.assert_array_equal(inside, np.where(np.isnan(expected), 255, expected <= index.threshold))
    assert found.layer_attrs("di")["threshold"] == pytest.approx(index.threshold, abs=1e-5)
    outside = read_record(made).figures["outside_applicability"]
    assert 0 < outside == (inside == 0).sum() and np.isnan(found.layer("di")[~world.land]).all()


def test_every_map_has_an_odmap_table_and_a_model_card(made):
    table = pd.read_csv(str(made / "odmap.csv"))
    assert len(table) == 84 and table.set_index("id").loc["p_uncertainty_5", "Value"].startswith("shown by the layers")
    card = (made / "model-card.md").read_text()
    assert "outside the model's area of applicability" in card and "- a model\n- made up\n" in card
    assert {"odmap.csv", "model-card.md"} <= set(read_record(made).files)
