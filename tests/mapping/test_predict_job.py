"""Tables of places to probabilities and to the file that a challenge takes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from upath import UPath

from sdm_ray import job, jobs
from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Blocks
from sdm_ray.mapping import predict_job
from sdm_ray.mapping.config import PredictConfig
from sdm_ray.model_io import SpeciesFolder, describe_species
from sdm_ray.models.config import SpeciesConfig
from sdm_ray.models.species_model import SpeciesModel
from sdm_ray.stores import artefact
from sdm_ray.stores.weights import save_weights

LOCATION = {"wavelengths_km": [100], "hidden": 8, "depth": 1, "dim": 4}


def make(run_dir, **values) -> UPath:
    config = PredictConfig(run_dir=str(run_dir), tracking={"uri": f"sqlite:///{run_dir}/mlflow.db"}, **values)
    job.execute("predict", config, predict_job.run, "predictions")
    return config.path(config.output)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = UPath(tmp_path_factory.mktemp("places"))
    config = SpeciesConfig(location=LOCATION, covariates=("rain",), hidden=8, embedding=4)
    species = pd.DataFrame({"species_id": range(3), "name": ["53", "540", "7"], "gbif_key": range(3)})
    for name, kind in (("model", "occurrence"), ("recorded", "relative")):
        about = SpeciesFolder(config, species, kind, Blocks(), None, 0, None, "none")
        model = SpeciesModel(config, 3)
        model.head.bias.data[:] = model.head.bias.new_tensor([1.0, 3.0, -4.0])
        save_weights(folder / name, model.state_dict(), describe_species(about), species, {})
        artefact.seal(folder / name, artefact.Record(kind="model", fingerprint=name))
    return folder


def test_a_table_of_places_gets_probabilities_and_sets(run_dir):
    table = run_dir / "test.csv"
    table.write_text("surveyId,lon,lat,other\n12,5.1,50.0,a\n12,5.1,50.0,b\n7,6.0,49.5,c\n")
    output = make(run_dir, table=str(table))
    assert (output / "sets.csv").read_text() == "surveyId,predictions\n12,540 53\n7,540 53\n"
    found = pd.read_parquet(str(output / "probabilities.parquet"))
    assert found.columns.tolist() == ["surveyId", "lon", "lat", "inputs", "53", "540", "7"]
    assert found["inputs"].tolist() == ["location"] * 2 and (found["540"] > found["53"]).all()
    assert json.loads((output / "metrics.json").read_text())["species_per_place"] == 2
    output = make(run_dir, table=str(table), sets="top_k", k=1, output="one")
    assert pd.read_csv(str(output / "sets.csv"))["predictions"].tolist() == [540, 540]


def test_what_cannot_be_predicted_is_named(run_dir):
    def problem(text, **values):
        (run_dir / "wrong.csv").write_text(text)
        with pytest.raises((InputError, ValueError)) as caught:
            make(run_dir, table=str(run_dir / "wrong.csv"), output="wrong", **values)
        return str(caught.value)

    assert "surveyId 1 stands at two places" in problem("surveyId,lon,lat\n1,5,50\n1,6,50\n")
    assert "no column" in problem("id,lon,lat\n1,5,50\n") or "surveyId" in problem("id,lon,lat\n1,5,50\n")
    assert "row 1 is (50.0, 95.0)" in problem("surveyId,lon,lat\n1,5,50\n2,50,95\n")
    assert "relative; expected top_k" in problem("surveyId,lon,lat\n1,5,50\n", model="recorded")
    assert "k: is of `sets: top_k`" in problem("surveyId,lon,lat\n1,5,50\n", sets="top_k")


def test_the_study_of_the_mediterranean_writes_a_submission(data, tmp_path):
    """Real surveys of GeoLifeCLEF 2024, fine-tuned on their coordinates alone."""
    folder, configs = UPath(tmp_path), Path(__file__).parents[2] / "configs" / "cbn-med"
    small = [f"run_dir={tmp_path}", f"tracking.uri=sqlite:///{tmp_path}/mlflow.db"]
    jobs.run_job("prepare", configs / "prepare.yaml", [*small, "shards=[]"])
    model = ["encoder=null", "optim.epochs=8", "optim.lr=0.003", "crossfit=false", "workers.count=0", "model.hidden=64"]
    jobs.run_job("finetune", configs / "finetune.yaml", [*small, *model])
    jobs.run_job("predict", configs / "predict.yaml", small)
    answer = pd.read_csv(str(folder / "predictions" / "sets.csv"), dtype=str)
    truth = pd.read_csv(str(UPath(data) / "glc24-cbnmed" / "GLC24-PA-data_subset.csv"))
    truth = truth.groupby("surveyId")["speciesId"].apply(lambda each: {str(int(s)) for s in each.dropna()})
    assert set(answer["surveyId"]) == {str(each) for each in truth.index}
    sets = answer.set_index("surveyId")["predictions"].fillna("").str.split().map(set)
    assert sets.map(len).between(1, 60).mean() > 0.9
    known = set(pd.read_parquet(str(folder / "species.parquet"))["name"])
    assert set().union(*sets) <= known and np.isfinite(list(map(len, sets))).all()
