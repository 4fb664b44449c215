"""Probabilities from the inputs of a map have a calibration of their own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.small import GRID, LOCATION, TOWER, settings
from pydantic import ValidationError
from upath import UPath

import sdm_ray
from sdm_ray.geo.grid import to_lonlat
from sdm_ray.geo.windows import Window
from sdm_ray.mapping.cell_predictor import Predictor, Recipe
from sdm_ray.metrics import calibration_fit
from sdm_ray.model_io import load_species_model
from sdm_ray.models.calibration import Calibration
from sdm_ray.models.distributed import Ranks
from sdm_ray.training.engine.trainer import Trained
from sdm_ray.training.finetune import data as finetune_data
from sdm_ray.training.finetune import input_sets
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.fits import FineTuning

PHOTOS = {**TOWER, "bands": 3, "mean": [120], "std": [50], "nodata_zero": False}


def with_photos(**changes) -> dict:
    """Settings of a model of coordinates and photos; the first 200 of 300 surveys have one."""
    model = {"location": LOCATION, "plant": PHOTOS, "hidden": 16, "depth": 1, "embedding": 8}
    images = {"plant": {"shards": "shards", "size": 32, "within_m": 10}}
    return settings(covariates=None, images=images, crossfit=False) | {"model": model} | changes


@pytest.fixture(scope="module")
def seeing(world, tmp_path_factory) -> UPath:
    """A folder of an untrained model: what photos change in its logits is as good as learnt."""
    made = tuning(world, str(tmp_path_factory.mktemp("seeing") / "model"))
    fit = made.fit(None)
    torch.manual_seed(0)
    objective = fit.objective().eval()
    torch.nn.init.normal_(objective.model.head.weight)
    fit.save(Trained(objective, [fit.validate(objective, Ranks())], 1))
    return UPath(made.output)


def tuning(world, output="", **changes) -> FineTuning:
    config = FinetuneConfig(run_dir=str(world), **with_photos(**changes))
    return FineTuning(config, finetune_data.read_table(config), output)


def test_each_set_of_inputs_is_calibrated_by_its_own_logits(seeing, world):
    loaded = load_species_model(seeing)
    table = tuning(world).table
    rows = table.split(None, keep_some=True).calibrate
    labels = table.labels.dense(rows)
    bare = replace(table.dataset, shards=())
    for given, dataset in ((None, table.dataset), ([], bare)):
        logits = finetune_data.predict(loaded.model, dataset, rows, Ranks())
        expected = calibration_fit.fit("platt", logits, labels, classes=False)
        assert torch.allclose(loaded.model.calibration(given).scale, expected.scale, atol=1e-4)
        assert torch.allclose(loaded.model.calibration(given).shift, expected.shift, atol=1e-4)
    assert loaded.model.calibrations.names() == ["location"]
    assert loaded.metrics["auc"] != loaded.metrics["map_auc"]


def test_a_prediction_takes_the_calibration_of_what_it_is_given(seeing):
    model = load_species_model(seeing).model
    at_zero = Calibration(torch.zeros(3), torch.full((3,), -2.0))
    model.set_calibration(at_zero, "location")
    lonlat = torch.tensor([[10.0, 50.0]] * 2, dtype=torch.float64)
    photo = {"image_plant": torch.rand(2, 3, 32, 32) * 255, "has_plant": torch.tensor([True, True])}
    with torch.inference_mode():
        z = model.embed({"lonlat": lonlat})
        assert torch.allclose(model.probabilities({"lonlat": lonlat}), torch.sigmoid(torch.tensor(-2.0)))
        assert torch.allclose(model.probabilities_of(z, slice(0, 2), []), torch.sigmoid(torch.tensor(-2.0)))
        assert not torch.allclose(model.probabilities({"lonlat": lonlat, **photo}), torch.sigmoid(torch.tensor(-2.0)))
        first = {"image_plant": photo["image_plant"][:1], "has_plant": torch.tensor([True, False])}
        found = model.probabilities({"lonlat": lonlat, **first})
        assert torch.allclose(found[1], torch.sigmoid(torch.tensor(-2.0))) and not torch.allclose(found[0], found[1])
        unsaid = model.probabilities({"lonlat": lonlat, "image_plant": photo["image_plant"]})
        assert torch.allclose(unsaid, torch.sigmoid(torch.tensor(-2.0)))  # which rows have one is not known: none
        model.keep_species([2, 0])
        assert model.calibration([]).shift.tolist() == [-2, -2] and len(model.calibration().shift) == 2
    whole = sdm_ray.load_model(str(seeing))
    places = np.array([[10.0, 50.0]])
    assert np.isfinite(whole.predict(places).to_numpy()).all()


def test_the_epoch_is_chosen_by_the_inputs_that_are_named(world):
    assert [tuning(world, **each).fit(None).best_by for each in ({}, {"validation_inputs": "map"})] == [
        "auc",
        "map_auc",
    ]
    with pytest.raises(ValidationError, match="validation_inputs: the model has no `images` or `series`"):
        FinetuneConfig(run_dir="", **settings(validation_inputs="map"))


def test_windows_of_a_cube_may_be_missing_in_a_map_too(world):
    values = settings(cube={"size": 32})
    values["model"] = {**values["model"], "satellite": TOWER}
    config = FinetuneConfig(run_dir=str(world), **values)
    made = FineTuning(config, finetune_data.read_table(config), "")
    model = made.fit(0).objective().model
    found = input_sets.calibrations(config, made.table, model, made.table.split(0))
    assert list(found) == ["", "location"]
    assert not torch.equal(found[""].shift, found["location"].shift)


def test_a_map_takes_the_calibration_of_its_inputs(seeing):
    recipe = Recipe(
        model=str(seeing),
        species=None,
        folds=0,
        members=0,
        covariates=None,
        cube=None,
        stride=None,
        embeddings=None,
        heads=None,
        block=8,
        threads=1,
        gpu=False,
        memory=1 << 20,
    )
    predictor, shape = Predictor(recipe), (8, 8)
    (cells,) = predictor.embed(GRID, Window(0, 0, *shape), np.ones(shape, bool), np.zeros(shape, int))
    (found,) = predictor.probabilities(cells, slice(0, 3))
    model = load_species_model(seeing).model
    lonlat = torch.from_numpy(np.column_stack(to_lonlat(*GRID.centre(cells.rows, cells.cols))))
    with torch.inference_mode():
        logits = model({"lonlat": lonlat})
    np.testing.assert_allclose(found.T, model.calibrate(logits, []).numpy(), atol=1e-5)
    assert np.abs(found.T - model.calibrate(logits).numpy()).max() > 0.01  # that of surveys with photos
