import numpy as np
import pandas as pd
import pytest
import torch
from helpers.small import TOWER, settings
from upath import UPath

import sdm_ray
from sdm_ray.errors import InputError
from sdm_ray.model_io import load_species_model, read_species_folder
from sdm_ray.models.distributed import ALONE, Ranks
from sdm_ray.stores import artefact
from sdm_ray.stores.surveys import read_surveys, write_surveys
from sdm_ray.stores.weights import load_weights
from sdm_ray.training.engine import trainer
from sdm_ray.training.engine.checkpointing import NoCheckpointer
from sdm_ray.training.engine.reporting import Reporter
from sdm_ray.training.finetune import data as finetune_data
from sdm_ray.training.finetune import job as finetune
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.fits import FineTuning
from sdm_ray.training.finetune.weight_checks import check_weights


@pytest.fixture(scope="module")
def model(world, execute) -> UPath:
    """A cross-fitted model on coordinates and covariates."""
    record = execute(FinetuneConfig, finetune.run, run_dir=str(world), **settings())
    assert record.figures["fold_models"] == 2 and 0.7 < record.figures["validation_auc"] <= 1
    return UPath(world / "model")


def test_the_folder_holds_a_model_of_everything_and_one_for_each_fold(model):
    about = read_species_folder(model)
    assert (about.fold, about.folds, about.pretraining) == (None, 2, "none")
    assert about.config.covariates == ("wet", "noise")
    assert about.probability_kind == "occurrence"
    folds = [load_species_model(model, fold) for fold in (0, 1)]
    assert [each.about.fold for each in folds] == [0, 1]
    best = [each.metrics["best_epoch"] for each in folds]
    whole = load_species_model(model)
    assert whole.metrics["best_epoch"] == round(np.median(best))
    assert whole.metrics["surveys"]["train"] == 300
    shift = torch.stack([each.model.calibration_shift for each in folds]).mean(0)
    assert torch.allclose(whole.model.calibration_shift, shift)


def test_a_fold_model_never_saw_its_blocks(world):
    table = finetune_data.read_table(FinetuneConfig(run_dir=str(world), **settings()))
    splits = [table.split(fold) for fold in (0, 1)]
    used = [np.concatenate([split.train, split.validation, split.calibrate]) for split in splits]
    assert len(np.unique(np.concatenate(used))) == 300  # each survey is in one of the two
    assert all(len(np.intersect1d(split.train, split.validation)) == 0 for split in splits)


def test_probabilities_follow_the_covariate(model):
    loaded = load_species_model(model)
    batch = {
        "lonlat": torch.full((2, 2), 10.0, dtype=torch.float64),
        "covariates": torch.tensor([[1.5, 0.0], [-1.5, 0.0]]),
        "has_covariates": torch.ones(2, 2, dtype=torch.bool),
    }
    with torch.inference_mode():
        wet, dry = loaded.model.probabilities(batch)
    assert wet[0] > dry[0] and wet[1] < dry[1]
    assert list(loaded.species["name"]) == ["Wet", "Dry", "Anywhere"]


def test_predictions_do_not_depend_on_the_cut(model, world):
    table = finetune_data.read_table(FinetuneConfig(run_dir=str(world), **settings()))
    loaded = load_species_model(model).model
    rows = np.arange(0, 300, 7)
    whole = finetune_data.predict(loaded, table.dataset, rows, Ranks())
    parts = [finetune_data.predict(loaded, table.dataset, part, Ranks()) for part in np.array_split(rows, 3)]
    assert np.allclose(whole, np.concatenate(parts), atol=1e-5)


def test_a_finished_fold_is_not_trained_again(world, execute):
    values = settings(output="again", optim={"epochs": 1, "batch": 64})
    execute(FinetuneConfig, finetune.run, run_dir=str(world), **values)
    folder = UPath(world / "again")
    kept = (folder / "folds" / "0" / "model.safetensors").stat().st_mtime_ns
    study = FineTuning(
        FinetuneConfig(run_dir=str(world), **values),
        finetune_data.read_table(FinetuneConfig(run_dir=str(world), **values)),
        str(folder),
    )
    (folder / "folds" / "1" / "metrics.json").unlink()  # as if it had been interrupted
    assert [fit.name for fit in study(ALONE)] == ["fold-1"]
    assert (folder / "folds" / "0" / "model.safetensors").stat().st_mtime_ns == kept


def test_curves_are_kept_with_the_model(world, execute):
    values = settings(output="curved", optim={"epochs": 1, "batch": 64}, calibration="isotonic")
    execute(FinetuneConfig, finetune.run, run_dir=str(world), **values)
    curves = [load_species_model(UPath(world / "curved"), fold).model.calibration_curve for fold in (0, 1)]
    assert all((each.diff(dim=1) > 0).all() for each in curves)
    whole = load_species_model(UPath(world / "curved")).model
    assert torch.allclose(whole.calibration_curve, torch.stack(curves).mean(0))
    with pytest.raises(ValueError, match="calibration: isotonic applies to species"):
        FinetuneConfig(**{**values, "model": {**values["model"], "output": "class"}}, run_dir="")


def test_one_model_with_images_from_windows(world, execute):
    values = settings(output="seeing", crossfit=False, cube={"size": 32}, optim={"epochs": 1, "batch": 64})
    values["model"] = {**values["model"], "satellite": TOWER}
    execute(FinetuneConfig, finetune.run, run_dir=str(world), **values)
    about = read_species_folder(UPath(world / "seeing"))
    assert about.satellite.bands == ("red", "nir") and about.satellite.size == 32 and about.folds == 0
    counts = load_weights(UPath(world / "seeing")).metrics["surveys"]
    assert counts["validation"] > 0 and counts["calibrate"] > 0 and sum(counts.values()) == 300


def test_presence_only_records_teach_presence_absence_surveys(world, execute):
    run_dir = UPath(world)
    surveys, table = read_surveys(run_dir / "surveys.parquet")
    one = surveys[surveys["species"].map(len) > 0].copy()
    one["species"] = [[each[0] + 1] for each in one["species"]]  # one more species is before them
    known = pd.DataFrame({"species_id": range(4), "name": ["Other", *table["name"]], "gbif_key": range(4)})
    write_surveys(run_dir / "occurrences" / "surveys.parquet", one, known, "relative")
    artefact.seal(run_dir / "occurrences" / "surveys.parquet", artefact.Record(kind="test", fingerprint="o"))
    records = settings(surveys="occurrences/surveys.parquet", output="recorded")
    execute(
        FinetuneConfig,
        finetune.run,
        run_dir=str(world),
        **records,
        presence={"loss": "max_entropy", "background": "uniform", "places": 500},
    )
    recorded = load_species_model(run_dir / "recorded", 0)
    assert recorded.probability_kind == "relative" and recorded.about.pretraining == "none"
    assert recorded.metrics["auc"] > 0.6  # Wet against Dry, without an absence

    values = settings(start="recorded", output="surveyed", optim={"epochs": 1, "batch": 64, "lr": 1e-9})
    execute(FinetuneConfig, finetune.run, run_dir=str(world), **values)
    begun = load_species_model(run_dir / "surveyed", 0)
    assert begun.about.pretraining == "inductive" and begun.probability_kind == "occurrence"
    assert torch.allclose(begun.model.head.weight, recorded.model.head.weight[1:], atol=1e-6)
    file = run_dir / "recorded" / "folds" / "0" / "config.yaml"
    file.write_text(file.read_text().replace("pretraining: none", "pretraining: transductive"))
    assert study_of(world, **values).about(0).pretraining == "transductive"  # as what it began from
    with pytest.raises(InputError, match=r"start: fusion.* there, expected"):
        values["model"] = {**values["model"], "hidden": 8}
        study = study_of(world, **values)
        check_weights(study.config, study.model_config, study.table)


@pytest.mark.parametrize(
    "presence",
    [
        {"loss": "assume_negative", "background": "target_group", "positive_weight": 2},
        {"loss": "asymmetric"},
        {"balance": "equal"},
    ],
)
def test_every_loss_learns(world, presence):
    study = study_of(world, **settings(presence=presence, crossfit=False))
    trained = trainer.run(study.fit(None), Ranks(), NoCheckpointer(), Reporter())
    assert trained.history[trained.best_epoch - 1]["auc"] > 0.7
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]


def test_of_surveys_with_the_same_species_in_a_square_one_is_kept(world):
    whole, thinned = (study_of(world, **settings(presence=each)).table for each in ({}, {"thin_m": 16_000}))
    rows = thinned.split(0).train
    assert len(rows) < 0.8 * len(whole.split(0).train) and np.isin(rows, whole.split(0).train).all()
    squares = np.column_stack([whole.x[rows] // 16_000, whole.y[rows] // 16_000, whole.labels.sets(rows)])
    assert len(np.unique(squares, axis=0)) == len(rows)


def test_habitats_are_classes_of_which_each_survey_has_one(world, execute):
    run_dir = UPath(world)
    surveys, table = read_surveys(run_dir / "surveys.parquet")
    habitats = surveys.copy()
    habitats["species"] = [[0 if 0 in each else 1 if 1 in each else 2] for each in surveys["species"]]
    write_surveys(run_dir / "habitats" / "surveys.parquet", habitats, table, "occurrence")
    artefact.seal(run_dir / "habitats" / "surveys.parquet", artefact.Record(kind="test", fingerprint="h"))
    optim = {"lr": 0.01, "epochs": 30, "batch": 32}
    values = settings(surveys="habitats/surveys.parquet", output="habitat-model", optim=optim, patience=None)
    values["model"] = {**values["model"], "output": "class"}
    record = execute(FinetuneConfig, finetune.run, run_dir=str(world), **values)
    assert record.figures["validation_accuracy"] > 0.6 and "validation_bce" not in record.figures
    places = surveys[["lon", "lat"]].head(5)
    found = sdm_ray.load_model(str(run_dir / "habitat-model")).predict(places, str(run_dir / "covariates.zarr"))
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    with pytest.raises(InputError, match=r"survey \d+ holds \d classes .*expects one each"):
        study_of(world, **{**values, "surveys": "surveys.parquet"})


def study_of(world, **values) -> FineTuning:
    config = FinetuneConfig(run_dir=str(world), **values)
    return FineTuning(config, finetune_data.read_table(config), "")


def test_what_does_not_fit_is_named(world):
    def problem(**changes):
        with pytest.raises(InputError) as caught:
            finetune_data.read_table(FinetuneConfig(run_dir=str(world), **settings(**changes)))
        return str(caught.value)

    assert "no covariate rain" in problem(model={"covariates": ["rain"]})
    assert "model.satellite.bands: 3" in problem(cube={}, model={"satellite": {}})
    assert "cannot read images of 8 x 8" in problem(cube={"size": 8}, model={"satellite": TOWER})
    assert "no such file" in problem(surveys="other.parquet")
    whole = FinetuneConfig(run_dir=str(world), **settings(blocks={"size_m": 5e6, "folds": 2}))
    with pytest.raises(InputError, match=r"blocks\.size_m"):
        [finetune_data.read_table(whole).split(fold) for fold in (0, 1)]
