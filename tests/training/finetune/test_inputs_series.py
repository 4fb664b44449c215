"""Time series as an input of the species model: learnt from, done without, asked for by survey."""

import numpy as np
import pandas as pd
import pytest
from helpers.small import BLOCKS, LOCATION
from upath import UPath

import sdm_ray
from sdm_ray import jobs
from sdm_ray.errors import InputError
from sdm_ray.geo.grid import to_lonlat
from sdm_ray.mapping import predict_job
from sdm_ray.mapping.config import PredictConfig
from sdm_ray.metrics.ranking import auc
from sdm_ray.model_io import load_species_model
from sdm_ray.models.distributed import Ranks
from sdm_ray.stores import artefact
from sdm_ray.stores.series import SeriesSpec, create_series, write_rows
from sdm_ray.stores.surveys import write_surveys
from sdm_ray.training.engine import trainer
from sdm_ray.training.engine.checkpointing import NoCheckpointer
from sdm_ray.training.engine.reporting import Reporter
from sdm_ray.training.finetune import data as finetune_data
from sdm_ray.training.finetune import job as finetune
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.fits import FineTuning

SURVEYS, WITH = 600, 540
SPECS = {
    "light": SeriesSpec({"band": ("red", "nir"), "quarter": (1, 2, 3, 4), "year": tuple(range(2000, 2006))}),
    "rain": SeriesSpec({"kind": ("sum",), "month": tuple(range(12))}),
}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory) -> UPath:
    """Surveys whose first species follows a trend that no place tells; one in ten has no series."""
    folder = UPath(tmp_path_factory.mktemp("series"))
    rng = np.random.default_rng(0)
    x, y = 4_000_000 + rng.uniform(0, 64_000, SURVEYS), 3_000_000 + rng.uniform(0, 64_000, SURVEYS)
    lon, lat = to_lonlat(x, y)
    trend = rng.normal(size=SURVEYS)
    present = np.stack([trend > 0, rng.random(SURVEYS) < 0.4], axis=1)
    surveys = pd.DataFrame(
        {"survey_id": np.arange(SURVEYS).astype(str), "lon": lon, "lat": lat, "year": 2020, "uncertainty_m": 10.0}
        | {"species": [np.flatnonzero(row).tolist() for row in present]}
    )
    names = pd.DataFrame({"species_id": [0, 1], "name": ["Trending", "Anywhere"], "gbif_key": [1, 2]})
    write_surveys(folder / "surveys.parquet", surveys, names, "occurrence")
    light = rng.normal(2000, 300, (SURVEYS, 2, 4, 6))
    light[:, 1] += 300 * trend[:, None, None] * np.linspace(-1, 1, 6)
    light[rng.random(light.shape) < 0.2] = np.nan
    rain = rng.normal(50, 10, (SURVEYS, 1, 12))
    order = rng.permutation(WITH)  # rows of the store are in an order of their own
    create_series(folder / "series.zarr", order.astype(str).tolist(), SPECS)
    for name, values in (("light", light), ("rain", rain)):
        write_rows(folder / "series.zarr", 0, {name: values[order].astype(np.float32)})
    for name in ("surveys.parquet", "series.zarr"):
        artefact.seal(folder / name, artefact.Record(kind="test", fingerprint=name))
    return folder


def settings(run_dir, **changes) -> dict:
    return {
        "run_dir": str(run_dir),
        "series": "series.zarr",
        "model": {"location": LOCATION, "series": {"hidden": 8, "depth": 1, "dim": 8}, "hidden": 16, "embedding": 8},
        "blocks": BLOCKS,
        "optim": {"lr": 0.02, "epochs": 15, "batch": 32},
        "patience": None,
        "workers": {"count": 0},
        **changes,
    }


def held_out_auc(values: dict) -> float:
    """Of the trending species, on the blocks of a fold that the model never saw."""
    config = FinetuneConfig(**values)
    table = finetune_data.read_table(config)
    study = FineTuning(config, table, "")
    trained = trainer.run(study.fit(0), Ranks(), NoCheckpointer(), Reporter())
    split = table.split(0)
    test = np.setdiff1d(np.arange(SURVEYS), np.concatenate([split.train, split.validation, split.calibrate]))
    return float(
        auc(table.labels.dense(test), finetune_data.predict(trained.objective.model, table.dataset, test, Ranks()))[0]
    )


def test_what_only_the_series_carries_is_learnt(run_dir):
    blind = settings(run_dir, series=None, model={"location": LOCATION, "hidden": 16, "embedding": 8})
    with_series, without = held_out_auc(settings(run_dir)), held_out_auc(blind)
    assert with_series > 0.8 and with_series > without + 0.2


@pytest.fixture(scope="module")
def model(run_dir, execute, ray_cluster) -> UPath:
    optim = {"lr": 0.01, "epochs": 3, "batch": 64}
    values = settings(run_dir, output="model", crossfit=False, optim=optim)
    execute(FinetuneConfig, finetune.run, **values)
    return run_dir / "model"


def test_the_folder_says_which_series_the_model_was_trained_with(model):
    loaded = load_species_model(model)
    assert loaded.config.series.names == ("light", "rain")
    assert loaded.config.series.axes == {name: spec.axes for name, spec in SPECS.items()}
    mean, std = loaded.model.series["light"].standard.mean, loaded.model.series["light"].standard.std
    assert np.allclose(mean.numpy(), 2000, atol=30) and std[1] > std[0] > 250


def test_places_have_series_by_their_id_and_an_answer_without(model, run_dir):
    predictor = sdm_ray.load_model(str(model))
    asked = pd.DataFrame({"survey_id": ["3", "550", "nobody"], "lon": [10.0] * 3, "lat": [50.0] * 3})
    found = predictor.predict(asked, series=str(run_dir / "series.zarr"))
    assert found.index.get_level_values("inputs").tolist() == ["location light rain", "location", "location"]
    bare = predictor.predict(asked)
    assert np.isfinite(found.to_numpy()).all()
    assert np.allclose(found.iloc[1:], bare.iloc[1:]) and not np.allclose(found.iloc[0], bare.iloc[0])
    with pytest.raises(InputError, match="has no survey_id"):
        predictor.predict([[10.0, 50.0]], series=str(run_dir / "series.zarr"))


def test_the_job_takes_series_for_a_table_of_places(model, run_dir, execute):
    table = run_dir / "test.csv"
    table.write_text("surveyId,lon,lat\n3,10.0,50.0\n550,10.0,50.0\n")
    values = {"run_dir": str(run_dir), "table": str(table), "series": "series.zarr"}
    figures = execute(PredictConfig, predict_job.run, **values).figures
    assert figures["share_from_location_light_rain"] == figures["share_from_location"] == 0.5


def test_other_axes_are_refused(model, tmp_path):
    path = UPath(tmp_path / "other.zarr")
    create_series(
        path, ["3"], {**SPECS, "light": SeriesSpec({"band": ("nir", "red"), "quarter": (1,), "year": (2000,)})}
    )
    asked = pd.DataFrame({"survey_id": ["3"], "lon": [10.0], "lat": [50.0]})
    with pytest.raises(InputError, match=r"light has other axes"):
        sdm_ray.load_model(str(model)).predict(asked, series=str(path))


def test_what_does_not_fit_is_named(run_dir):
    def problem(**changes) -> str:
        with pytest.raises((InputError, ValueError)) as caught:
            finetune_data.read_table(FinetuneConfig(**settings(run_dir, **changes)))
        return str(caught.value)

    assert "no series snow; found light, rain" in problem(model={"series": {"names": ["snow"]}})
    assert "series: a model with `series` needs a store" in problem(series=None)
    assert "uniform places have no `series`" in problem(
        covariates="c", presence={"loss": "max_entropy", "background": "uniform"}
    )
    create_series(run_dir / "strange.zarr", ["a"], SPECS)
    assert "has none of the 600 surveys" in problem(series="strange.zarr")


def test_the_landsat_series_of_a_real_challenge(data, tmp_path, execute, ray_cluster):
    """Presence-only records of GeoLifeCLEF 2023, prepared, trained on and predicted for."""
    table = f"{data}/glc23/Presence_only_occurrences/Presences_only_train_sample.csv"
    folder = UPath(tmp_path)
    config = folder / "prepare.yaml"
    series = f"{{source: glc23, table: {table}, folder: {data}/glc23/SatelliteTimeSeries, max_dropped: 0.2}}"
    config.write_text(f"surveys: {{source: glc23, table: {table}}}\nseries: [{series}]\n")
    jobs.run_job("prepare", config, [f"run_dir={tmp_path}", f"tracking.uri=sqlite:///{tmp_path}/mlflow.db"])
    values = settings(tmp_path, crossfit=False, optim={"epochs": 1, "batch": 32, "steps_per_epoch": 3})
    values |= {"presence": {"loss": "max_entropy", "background": "target_group"}, "blocks": {"size_m": 50_000}}
    execute(FinetuneConfig, finetune.run, **values)
    surveys = pd.read_parquet(str(folder / "surveys.parquet")).head(8)
    found = sdm_ray.load_model(str(folder / "model")).predict(surveys, series=str(folder / "series.zarr"))
    assert np.isfinite(found.to_numpy()).all()
    assert (found.index.get_level_values("inputs") == "location landsat").mean() > 0.5
