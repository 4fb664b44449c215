"""Tables of places to probabilities and to the file that a challenge takes."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
import torch
from upath import UPath

from sdm_ray import job, load_model
from sdm_ray.config import load
from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Blocks
from sdm_ray.geo.grid import Grid
from sdm_ray.mapping import predict_job
from sdm_ray.mapping.config import PredictConfig
from sdm_ray.model_io import SpeciesFolder, describe_species
from sdm_ray.models.config import SpeciesConfig
from sdm_ray.models.species_model import SpeciesModel
from sdm_ray.stores import artefact
from sdm_ray.stores.covariates import write_covariates
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
    numbers, names = ["53", "540", "7"], ["Abies alba", "Orchis", 'Rosa "Alba"']
    region = (3_700_000.0, 2_800_000.0, 4_000_000.0, 3_100_000.0)
    for name, kind, named in (
        ("model", "occurrence", numbers), ("recorded", "relative", numbers), ("named", "occurrence", names),
    ):  # fmt: skip
        species = pd.DataFrame({"species_id": range(3), "name": named, "gbif_key": range(3)})
        about = SpeciesFolder(config, species, kind, Blocks(), None, 0, None, "none", region=region)
        torch.manual_seed(0)
        model = SpeciesModel(config, 3)
        torch.nn.init.normal_(model.missing["covariates"])
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

    assert "row 2: surveyId 1 stands at another place before" in problem("surveyId,lon,lat\n1,5,50\n1,6,50\n")
    assert "row 2 has no surveyId" in problem("surveyId,lon,lat\n1,5,50\n,6,50\n")
    assert "column lat, row 2 holds 'N 50'" in problem("surveyId,lon,lat\n1,5,50\n2,6,N 50\n")
    assert "column rain, row 2 holds 'wet'" in problem("surveyId,lon,lat,rain\n1,5,50,3\n2,6,50,wet\n")
    assert "a place lies 7," in problem("surveyId,lon,lat\n1,5,50\n2,-61,16.2\n")
    assert "no column" in problem("id,lon,lat\n1,5,50\n") or "surveyId" in problem("id,lon,lat\n1,5,50\n")
    doubled = "surveyId,lon,lat\n1,5,50\n1,5,50\n2,50,95\n"  # rows are those of the file, also after doubles
    assert "wrong.csv: row 3 is (50, 95), expected WGS84 degrees" in problem(doubled)
    assert "relative; expected top_k" in problem("surveyId,lon,lat\n1,5,50\n", model="recorded")
    assert "k: missing; `sets: top_k` needs it" in problem("surveyId,lon,lat\n1,5,50\n", sets="top_k")
    assert "k: belongs to `sets: top_k`; found sets: threshold" in problem("", sets="threshold", threshold=0.5, k=3)


def test_covariates_in_columns_of_the_table_are_used(run_dir, capsys):
    table = run_dir / "columns.csv"
    table.write_text("surveyId,lon,lat,rain\n1,5,50,30\n2,6,50,\n3,6,50,-30\n3,6,50,-30\n")
    found = pd.read_parquet(str(make(run_dir, table=str(table), output="columns") / "probabilities.parquet"))
    assert found["inputs"].tolist() == ["location covariates", "location", "location covariates"]
    model = load_model(run_dir / "model")
    expected = model.predict(pd.DataFrame({"lon": [5, 6, 6], "lat": 50, "rain": [30, np.nan, -30]}))
    np.testing.assert_array_equal(found[model.species], expected)
    bare = model.predict([[5, 50], [6, 50], [6, 50]])
    assert not np.allclose(found["53"][[0, 2]], bare["53"].iloc[[0, 2]], atol=0.01)
    table.write_text("surveyId,lon,lat\n1,5,50\n")
    make(run_dir, table=str(table), output="none")
    assert "neither `covariates` nor a column of" in capsys.readouterr().out


def test_columns_give_what_the_store_has_no_covariate_of(run_dir, tmp_path, capsys):
    grid = Grid(x0=3_700_000, y1=3_100_000, resolution=100_000, width=3, height=3)
    write_covariates(
        UPath(tmp_path) / "other.zarr", grid, ["cold"], np.arange(9, dtype=np.float32).reshape(1, 3, 3), 1e5
    )
    artefact.seal(UPath(tmp_path) / "other.zarr", artefact.Record(kind="covariates", fingerprint="other"))
    table = tmp_path / "test.csv"
    table.write_text("surveyId,lon,lat,rain\n1,5.1,50.0,900\n2,6.0,49.5,\n")
    alone = pd.read_parquet(str(make(run_dir, table=str(table), output="alone") / "probabilities.parquet"))
    store = str(tmp_path / "other.zarr")
    both = make(run_dir, table=str(table), output="both", covariates=store) / "probabilities.parquet"
    pd.testing.assert_frame_equal(pd.read_parquet(str(both)), alone)
    assert alone["inputs"].tolist() == ["location covariates", "location"]


def test_names_that_hold_blanks_are_told_apart(run_dir):
    table = run_dir / "named.csv"
    table.write_text("surveyId,lon,lat\n1,5,50\n")
    output = make(run_dir, table=str(table), model="named", sets="top_k", k=3, output="named-sets")
    (line,) = pd.read_csv(str(output / "sets.csv"))["predictions"]
    assert line == 'Orchis "Abies alba" "Rosa ""Alba"""'
    assert next(csv.reader([line], delimiter=" ")) == ["Orchis", "Abies alba", 'Rosa "Alba"']


def test_places_far_outside_the_surveys_are_counted(run_dir, capsys):
    table = run_dir / "far.csv"
    table.write_text("surveyId,lon,lat\n1,5,50\n2,25,40\n")
    make(run_dir, table=str(table), output="far")
    assert "far.csv: 1 of 2 places lie far outside the region of the model's surveys" in capsys.readouterr().out


def test_what_does_not_fit_is_told_before_the_weights_are_read(run_dir, monkeypatch):
    monkeypatch.setattr(predict_job, "load_species_model", lambda place: pytest.fail("was read"))
    (run_dir / "one.csv").write_text("surveyId,lon,lat\n1,5,50\n")
    for rule in ("max_expected_f1", "expected_size"):
        with pytest.raises(InputError, match="relative; expected top_k"):
            make(run_dir, table=str(run_dir / "one.csv"), model="recorded", sets=rule, output="early")


def test_unknown_settings_are_told_all_at_once(run_dir, tmp_path):
    (tmp_path / "predict.yaml").write_text("table: places.csv\nmodle: m\nthreshhold: 0.5\n")
    with pytest.raises(InputError, match=r"predict.yaml: modle, threshhold: unknown keys"):
        load(tmp_path / "predict.yaml", PredictConfig)


@pytest.mark.parametrize("rows", ["lists", "long"])
def test_published_labels_score_sets_and_probabilities(run_dir, rows):
    table, labels = run_dir / f"scored-{rows}.csv", run_dir / f"labels-{rows}.csv"
    table.write_text("surveyId,lon,lat\n1,5.1,50.0\n2,6.0,49.5\n3,6.5,49.6\n")
    lists = {"1": "540 53", "2": "53 999", "4": "7"}  # 999: unknown to the model; 4: not predicted; 3: not labelled
    text = "".join(f"{key},{value}\n" for key, value in lists.items())
    if rows == "long":
        text = "".join(f"{key},{each}.0\n" for key, value in lists.items() for each in value.split())
    labels.write_text("surveyId,speciesIds\n" + text)
    output = make(run_dir, table=str(table), labels={"table": str(labels)}, output=f"scored-{rows}")
    assert (output / "sets.csv").read_text().splitlines()[1:] == ["1,540 53", "2,540 53", "3,540 53"]
    found = json.loads((output / "metrics.json").read_text())
    assert found["labelled_places"] == 2 and found["unknown_species"] == 1
    assert found["f1"] == pytest.approx((1 + 2 * 1 / 4) / 2)
    assert found["precision"] == pytest.approx(0.75) and found["recall"] == pytest.approx(0.75)
    probabilities = pd.read_parquet(str(output / "probabilities.parquet"))["540"]
    assert found["auc"] == float(probabilities[0] > probabilities[1]) + 0.5 * float(
        probabilities[0] == probabilities[1]
    )
    assert found["auc_species"] == 1  # 53 is at both places, 7 at neither


def test_labels_of_other_places_are_refused(run_dir):
    (run_dir / "places.csv").write_text("surveyId,lon,lat\n1,5.1,50.0\n")
    (run_dir / "others.csv").write_text("surveyId,speciesIds\n8,53\n")
    with pytest.raises(InputError, match=r"others.csv: labels none of the 1 places, such as 1"):
        make(run_dir, table=str(run_dir / "places.csv"), labels={"table": str(run_dir / "others.csv")}, output="none")
