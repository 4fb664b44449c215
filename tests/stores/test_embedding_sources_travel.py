"""Precomputed embeddings from table to model and on: their version and year travel along, and others are refused."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.embedding_files import alphaearth_cog, unit_bytes
from helpers.small import settings
from upath import UPath

from sdm_ray import job, tracking
from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid, to_lonlat
from sdm_ray.mapping import predict_job
from sdm_ray.mapping.config import PredictConfig
from sdm_ray.model_io import describe_species, read_species_folder
from sdm_ray.models.species_model import SpeciesModel
from sdm_ray.predictor import load_model
from sdm_ray.readers.alphaearth import dequantised
from sdm_ray.sources import prepare
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.stores import artefact
from sdm_ray.stores.covariates import Covariates, write_covariates
from sdm_ray.stores.embedding_sources import EmbeddingSource, component_names
from sdm_ray.stores.surveys import read_embeddings
from sdm_ray.stores.weights import save_weights
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.data import read_table
from sdm_ray.training.finetune.fits import FineTuning

NAMES = component_names("alphaearth", 64)


def prepared(folder, **values) -> None:
    tracking_ = {"uri": f"sqlite:///{folder}/mlflow.db"}
    config = PrepareConfig(run_dir=str(folder), tracking=tracking_, **values)
    with tracking.start(config, "prepare") as tracker:
        prepare.run(config, tracker)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Surveys in GeoPlant's layout with AlphaEarth, and an untrained model of them."""
    folder = UPath(tmp_path_factory.mktemp("geoplant"))
    rng = np.random.default_rng(0)
    count = 300
    lon, lat = to_lonlat(4_000_000 + rng.uniform(0, 64_000, count), 3_000_000 + rng.uniform(0, 64_000, count))
    rows = pd.DataFrame({"lon": lon, "lat": lat, "year": 2020, "surveyId": np.arange(count) + 1000})
    several = pd.concat([rows.assign(speciesId=float(each)) for each in (3, 5)]).sample(frac=0.7, random_state=1)
    several.to_csv(folder / "PA_metadata_train.csv", index=False)
    values = dequantised(unit_bytes(1, count)[:, 0]).T
    table = pd.DataFrame(values, columns=list(NAMES)).assign(surveyId=rows["surveyId"])
    table.iloc[5:].to_parquet(folder / "PA-train-alphaearth.parquet")
    embeddings = {"name": "alphaearth", "table": str(folder / "PA-train-alphaearth.parquet"), "year": 2021}
    source = {"source": "geoplant", "table": str(folder / "PA_metadata_train.csv"), "embeddings": [embeddings]}
    prepared(folder, surveys=source)
    model = {"location": None, "hidden": 8, "depth": 1, "embedding": 4, "partial_covariates": True}
    changes = {"covariates": None, "survey_covariates": ["alphaearth"], "model": model}
    config = FinetuneConfig(run_dir=str(folder), **settings(**changes))
    fits = FineTuning(config, read_table(config), str(folder / "model"))
    torch.manual_seed(0)
    net = SpeciesModel(fits.model_config, 2)
    save_weights(folder / "model", net.state_dict(), describe_species(fits.about(None)), fits.table.species, {})
    artefact.seal(folder / "model", artefact.Record(kind="model", fingerprint="model"))
    return folder


def predict(run, name, **values):
    uri = {"uri": f"sqlite:///{run}/mlflow.db"}
    values = {"table": str(run / "test.csv"), "lon": "lon", "lat": "lat"} | values
    config = PredictConfig(run_dir=str(run), output=name, tracking=uri, **values)
    job.execute("predict", config, predict_job.run, "predictions")
    return pd.read_parquet(str(run / name / "probabilities.parquet"))


def test_the_source_travels_from_table_to_model(run):
    (source,) = read_embeddings(run / "surveys.parquet")
    assert str(source) == "alphaearth v1 of 2021" and source.covariates == NAMES
    assert read_species_folder(run / "model").embeddings == (source,)
    record = artefact.read_record(run / "surveys.parquet")
    assert 0 < record.figures["surveys_without_alphaearth"] <= 5
    assert record.config["embeddings"][0]["year"] == 2021


def test_places_are_predicted_from_a_table_of_the_same_embedding(run):
    places = pd.read_csv(str(run / "PA_metadata_train.csv")).drop_duplicates("surveyId").iloc[:40]
    places.to_csv(str(run / "test.csv"), index=False)
    parquet = str(run / "PA-train-alphaearth.parquet")
    same = {"name": "alphaearth", "table": parquet, "year": 2021}
    found = predict(run, "with", embeddings=[same])
    columns = [name for name in found if name in ("3", "5")]
    assert (found["inputs"] != "location").mean() > 0.8 and found[columns].to_numpy().std(axis=0).min() > 1e-4
    with pytest.raises(InputError, match=r"holds alphaearth v2 of 2021; expected alphaearth v1 of 2021, which model"):
        predict(run, "other", embeddings=[same | {"version": "v2"}])
    with pytest.raises(InputError, match="holds alphaearth v1 of 2023; expected alphaearth v1 of 2021"):
        predict(run, "other", embeddings=[same | {"year": 2023}])
    merged = places.merge(pd.read_parquet(parquet), on="surveyId")
    merged.to_csv(str(run / "merged.csv"), index=False)
    with pytest.raises(InputError, match="does not say which embedding its covariates come from"):
        predict(run, "other", table=str(run / "merged.csv"))


def test_a_covariate_store_of_another_year_is_refused_and_of_the_same_is_taken(run, tmp_path):
    values = dequantised(unit_bytes(64, 64))
    grid, lonlat = Grid(4_000_000, 3_064_000, 1000, 64, 64), np.column_stack(to_lonlat([4_010_500.0], [3_010_500.0]))
    model = load_model(str(run / "model"))
    for year in (2021, 2022):
        source = EmbeddingSource(name="alphaearth", version="v1", year=year, covariates=NAMES)
        write_covariates(UPath(tmp_path / f"{year}.zarr"), grid, NAMES, values, 1000, [source])
    model.predict(lonlat, covariates=str(tmp_path / "2021.zarr"))
    with pytest.raises(InputError, match=r"2022\.zarr: holds alphaearth v1 of 2022; expected alphaearth v1 of 2021"):
        model.predict(lonlat, covariates=str(tmp_path / "2022.zarr"))
    config = FinetuneConfig(run_dir=str(run), **settings(covariates=str(tmp_path / "2022.zarr")))
    mixed = config.model_copy(update={"survey_covariates": ["alphaearth"]})
    with pytest.raises(InputError, match="holds alphaearth v1 of 2022 and alphaearth v1 of 2021; expected one version"):
        read_table(mixed)


def test_prepare_writes_tiles_with_their_source(tmp_path):
    stored = unit_bytes(400, 400)
    tiles = alphaearth_cog(tmp_path / "annual/2019/32N/a.tiff", stored)
    entry = {"name": "alphaearth", "tiles": tiles}
    prepared(tmp_path, covariates={"source": "rasters", "embeddings": [entry], "resolution_m": 1000})
    store = Covariates(UPath(tmp_path / "covariates.zarr"))
    assert str(store.embeddings[0]) == "alphaearth v1 of 2019" and store.names == list(NAMES)
    assert store.select(["alphaearth"]).names == list(NAMES) and store.select(["A63"]).embeddings == store.embeddings
    record = artefact.read_record(UPath(tmp_path / "covariates.zarr"))
    assert "Google DeepMind" in record.sources[0]
