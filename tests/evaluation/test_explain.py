"""Importance and response curves of models of a simulated landscape show the covariates that it depends on."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.landscape import BLOCKS, NAMES, config_of, evaluate
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.evaluation import held_out_data
from sdm_ray.evaluation.config import ExplainConfig
from sdm_ray.evaluation.explain import read_tested
from sdm_ray.geo.blocks import Role, role
from sdm_ray.model_io import SpeciesFolder, describe_species
from sdm_ray.models.batch import inputs_of
from sdm_ray.models.config import SpeciesConfig
from sdm_ray.models.species_losses import bce
from sdm_ray.models.species_model import SpeciesModel
from sdm_ray.stores import artefact
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.weights import save_weights

CONFIG = SpeciesConfig(
    location={"wavelengths_km": [1000], "hidden": 4, "depth": 0, "dim": 2}, covariates=("a", "b"), hidden=16, depth=1
)


@pytest.fixture(scope="module")
def explained(run_dir, tmp_path_factory) -> UPath:
    """The landscape with a small model for each fold; species follow a, b, and a less b."""
    folder = UPath(tmp_path_factory.mktemp("explained"))
    for path in run_dir.iterdir():
        (folder / path.name).symlink_to(path)
    held, _ = held_out_data.read_held_out(run_dir / "surveys.parquet", NAMES, BLOCKS, None)
    values, known = Covariates(run_dir / "covariates.zarr").at(held.x, held.y)
    species = pd.DataFrame({"species_id": range(3), "name": NAMES, "gbif_key": range(3)})
    labels = torch.from_numpy(held.labels)
    batch = inputs_of(CONFIG, np.column_stack([held.lon, held.lat]), values, known)
    for fold in [*range(3), None]:
        torch.manual_seed(0)
        model = SpeciesModel(CONFIG, 3)
        trained = torch.from_numpy(role(held.x, held.y, BLOCKS, fold) == Role.TRAIN)
        optimiser = torch.optim.Adam(model.parameters(), 0.02)
        for _ in range(60):
            optimiser.zero_grad()
            bce(model({name: part[trained] for name, part in batch.items()}), labels[trained]).backward()
            optimiser.step()
        about = SpeciesFolder(CONFIG, species, "occurrence", BLOCKS, fold, 0 if fold is not None else 3, None, "none")
        place = folder / "model" if fold is None else folder / "model" / "folds" / str(fold)
        save_weights(place, model.state_dict(), describe_species(about), species, {})
    artefact.seal(folder / "model", artefact.Record(kind="model", fingerprint="f" * 32))
    return folder


def test_importance_and_responses_are_those_simulated(explained, tmp_path):
    config = config_of(explained, baselines=[], explain={"surveys": 600, "steps": 5})
    assert "model" in config.reads()
    flat = evaluate(config, tmp_path)
    found = json.loads((tmp_path / "metrics.json").read_text())["importance"]
    assert list(found) == sorted(found, key=lambda name: -found[name]["value"])
    assert found["a"]["low"] > 0.03 and found["b"]["low"] > 0.03 and abs(found["location"]["value"]) < 0.02
    assert flat["importance/a"] == found["a"]["value"]
    curves = pd.read_csv(str(tmp_path / "responses.csv")).set_index(["covariate", "species"]).sort_index()
    assert len(curves) == 2 * 3 * 5 and (curves["low"] <= curves["mean"]).all()

    def rise(covariate, species):
        rows = curves.loc[(covariate, species)].sort_values("value")["mean"].to_numpy()
        return rows[-1] - rows[0]

    assert rise("a", NAMES[0]) > 0.4 > abs(rise("b", NAMES[0])) * 3
    assert rise("a", NAMES[2]) > 0.2 and rise("b", NAMES[2]) < -0.2
    page = (tmp_path / "evaluation.html").read_text()
    assert "Permutation importance" in page and "Partial dependence" in page


def test_a_group_is_permuted_together(explained, tmp_path):
    config = config_of(explained, baselines=[], explain={"groups": {"climate": ["a", "b"]}, "surveys": 600})
    evaluate(config, tmp_path)
    found = json.loads((tmp_path / "metrics.json").read_text())["importance"]
    assert set(found) == {"climate", "location"} and found["climate"]["value"] > 0.2


def test_a_model_that_does_not_fit_is_refused(explained, run_dir, tmp_path):
    with pytest.raises(InputError, match=r"explain\.groups\.soil: the model uses no ph; found a, b"):
        evaluate(config_of(explained, baselines=[], explain={"groups": {"soil": ["ph"]}}), tmp_path)
    wider = replace(BLOCKS, buffer_m=500)
    with pytest.raises(InputError, match=r"model: its fold models held out .*buffer_m=0.*expected .*buffer_m=500"):
        read_tested(config_of(explained, blocks=wider), ExplainConfig(), None, [None] * 3)
    wrong = config_of(explained, baselines=[], explain={"model": "model/folds/0"})
    with pytest.raises(InputError, match="has 0 fold models, expected 3"):
        evaluate(wrong, tmp_path)
    with pytest.raises(ValueError, match="needs `covariates`"):
        config_of(run_dir, baselines=[], covariates=None, explain={})
