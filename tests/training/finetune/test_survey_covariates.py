"""Covariates in columns of the surveys' table: numbers and classes, beside a store's or alone."""

import numpy as np
import pandas as pd
import pytest
from helpers.small import settings
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import to_lonlat, to_xy
from sdm_ray.metrics.ranking import auc
from sdm_ray.models.distributed import Ranks
from sdm_ray.stores.embedding_sources import EmbeddingSource
from sdm_ray.stores.surveys import COVARIATE, write_surveys
from sdm_ray.training.engine import trainer
from sdm_ray.training.engine.checkpointing import NoCheckpointer
from sdm_ray.training.engine.reporting import Reporter
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.data import predict, read_table
from sdm_ray.training.finetune.fits import FineTuning
from sdm_ray.training.finetune.survey_covariates import survey_covariates

SPECIES = pd.DataFrame({"species_id": [0, 1], "name": ["heather", "nettle"], "gbif_key": [1, 2]})


def plots(count: int = 600) -> pd.DataFrame:
    """Heather where the soil is acid, nettle on fields; neither depends on the place."""
    rng = np.random.default_rng(0)
    lon, lat = to_lonlat(4_000_000 + rng.uniform(0, 64_000, count), 3_000_000 + rng.uniform(0, 64_000, count))
    ph, use = rng.uniform(3, 8, count), rng.choice(["field", "heath", "dune"], count, p=[0.5, 0.49, 0.01])
    lists = [np.flatnonzero(each).astype(np.int32) for each in zip(ph < 5, use == "field", strict=True)]
    return pd.DataFrame(
        {
            "survey_id": [f"s{number}" for number in range(count)],
            "lon": lon,
            "lat": lat,
            "year": pd.array([2020] * count, "Int32"),
            "uncertainty_m": np.nan,
            "species": lists,
            f"{COVARIATE}pH": np.where(np.arange(count) % 10 == 0, np.nan, ph),
            f"{COVARIATE}land use": use,
        }
    )


def config(run_dir: object, **changes) -> FinetuneConfig:
    chosen = {"covariates": None, "survey_covariates": ["pH", "land use"], **changes}
    model = {"location": None, "hidden": 16, "depth": 1, "embedding": 8, "partial_covariates": True}
    return FinetuneConfig(run_dir=str(run_dir), **settings(**{"model": model, **chosen}))


def test_classes_become_a_covariate_each_and_blanks_are_unknown():
    found = survey_covariates(plots(), ["land use", "pH"], "surveys.parquet", 0.5)
    assert found.names == ("land use=field", "land use=heath", "pH")  # "dune" occurs in too few surveys
    rows = plots()
    np.testing.assert_array_equal(found.values[:, 0], rows[f"{COVARIATE}land use"] == "field")
    ph = rows[f"{COVARIATE}pH"].to_numpy()
    np.testing.assert_array_equal(found.known[:, 2], np.isfinite(ph))
    np.testing.assert_allclose(found.mean[2], np.nanmean(ph), rtol=1e-5)
    np.testing.assert_allclose(found.std[2], np.nanstd(ph), rtol=1e-5)


def test_what_does_not_fit_is_named():
    with pytest.raises(InputError, match="has no covariate soil; found pH, land use"):
        survey_covariates(plots(), ["soil"], "surveys.parquet", 0.5)
    with pytest.raises(InputError, match=r"found none; expected `columns.covariates` of `prepare`"):
        survey_covariates(plots()[["survey_id"]], ["soil"], "surveys.parquet", 0.5)
    with pytest.raises(InputError, match="pH is unknown at 60 of 600 surveys, max_unknown allows 5%"):
        survey_covariates(plots(), ["pH"], "surveys.parquet", 0.05)
    with pytest.raises(InputError, match="covariate pH is 4 at every survey"):
        survey_covariates(plots().assign(**{f"{COVARIATE}pH": 4.0}), ["pH"], "surveys.parquet", 0.5)


@pytest.fixture
def run_dir(tmp_path):
    write_surveys(UPath(tmp_path) / "surveys.parquet", plots(), SPECIES, "occurrence")
    return tmp_path


def test_a_model_learns_from_columns_alone(run_dir):
    chosen = config(run_dir, optim={"lr": 0.01, "epochs": 12, "batch": 64})
    table = read_table(chosen)
    fits = FineTuning(chosen, table, "")
    assert fits.model_config.covariates == ("pH", "land use=field", "land use=heath")
    model = trainer.run(fits.fit(0), Ranks(), NoCheckpointer(), Reporter()).objective.model
    test = table.held_out(0)
    scores = auc(table.labels.dense(test), predict(model, table.dataset, test, Ranks()))
    assert (scores > 0.9).all()


def test_background_places_have_the_same_columns(run_dir):
    write_surveys(UPath(run_dir) / "surveys.parquet", plots(), SPECIES, "relative")
    lon, lat = to_lonlat(np.array([4_010_000.0, 4_020_000]), np.array([3_010_000.0, 3_020_000]))
    effort = pd.DataFrame({"lon": lon, "lat": lat, "pH": [4.0, np.nan], "land use": ["heath", "field"]})
    effort.to_csv(run_dir / "effort.csv", index=False)
    presence = {"loss": "max_entropy", "background": "table", "table": str(run_dir / "effort.csv")}
    background = read_table(config(run_dir, presence=presence)).background
    np.testing.assert_array_equal(background.covariates, [[4, 0, 1], [0, 1, 0]])
    np.testing.assert_array_equal(background.known, [[1, 1, 1], [0, 1, 1]])
    np.testing.assert_allclose(to_xy(*background.lonlat.T)[0], [4_010_000, 4_020_000], atol=0.01)
    effort.drop(columns="pH").to_csv(run_dir / "effort.csv", index=False)
    with pytest.raises(InputError, match=r"effort\.csv: has no column pH"):
        read_table(config(run_dir, presence=presence))
    with pytest.raises(ValueError, match="uniform places have no `survey_covariates`"):
        config(run_dir, covariates="c.zarr", presence={"loss": "max_entropy", "background": "uniform"})


def test_background_places_have_the_components_of_an_embedding_by_its_name(run_dir):
    source = EmbeddingSource(name="embedded", version="v1", year=2020, covariates=("e_0", "e_1"))
    surveys, rng = plots(), np.random.default_rng(0)
    surveys = surveys.assign(**{f"{COVARIATE}{name}": rng.normal(size=len(surveys)) for name in source.covariates})
    write_surveys(UPath(run_dir) / "surveys.parquet", surveys, SPECIES, "relative", [source])
    effort = surveys[["lon", "lat"]].head(3).assign(e_0=[1.0, 2, 3], e_1=[4.0, 5, np.nan])
    effort.to_csv(run_dir / "effort.csv", index=False)
    presence = {"loss": "max_entropy", "background": "table", "table": str(run_dir / "effort.csv")}
    background = read_table(config(run_dir, survey_covariates=["embedded"], presence=presence)).background
    np.testing.assert_array_equal(background.covariates, [[1, 4], [2, 5], [3, 0]])
    effort.drop(columns="e_1").to_csv(run_dir / "effort.csv", index=False)
    with pytest.raises(InputError, match=r"effort\.csv: has no column e_1"):
        read_table(config(run_dir, survey_covariates=["embedded"], presence=presence))


def test_columns_stand_beside_the_covariates_of_a_store(world, run_dir):
    both = read_table(config(run_dir, covariates=str(UPath(world) / "covariates.zarr"))).covariates
    assert both.names[-3:] == ("pH", "land use=field", "land use=heath") and len(both.names) > 3
    assert both.values.shape == both.known.shape == (600, len(both.names)) and len(both.mean) == len(both.names)
    rows = plots().rename(columns={f"{COVARIATE}pH": COVARIATE + both.names[0]})
    write_surveys(UPath(run_dir) / "surveys.parquet", rows, SPECIES, "occurrence")
    twice = {"covariates": str(UPath(world) / "covariates.zarr"), "survey_covariates": [both.names[0]]}
    with pytest.raises(InputError, match="is a covariate of the store as well"):
        read_table(config(run_dir, **twice))
