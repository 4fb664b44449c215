import pytest
import torch
from helpers.small import BLOCKS, LOCATION, TOWER, settings
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.model_io import load_encoder, read_species_folder
from sdm_ray.stores.weights import load_weights
from sdm_ray.training.finetune import data as finetune_data
from sdm_ray.training.finetune import job as finetune
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.fits import FineTuning
from sdm_ray.training.finetune.weight_checks import check_weights
from sdm_ray.training.pretrain import data as pretrain_data
from sdm_ray.training.pretrain import job as pretrain
from sdm_ray.training.pretrain.config import PretrainConfig

SCALES = {
    "plant": {"shards": "shards", "size": 32, "augment": "photo", "tower": {"dim": 8}},
    "satellite": {"cube": "cube.zarr", "stride_m": 4000, "size": 32, "augment": "dihedral", "tower": TOWER},
}


@pytest.fixture(scope="module")
def encoder(world, execute) -> UPath:
    """Two scales and the covariates in one space, cross-fitted."""
    record = execute(
        PretrainConfig,
        pretrain.run,
        run_dir=str(world),
        scales=SCALES,
        covariates="covariates.zarr",
        location=LOCATION,
        dim=8,
        blocks=BLOCKS,
        crossfit=True,
        optim={"epochs": 1, "batch": 32, "steps_per_epoch": 3},
        workers={"count": 0},
    )
    assert {"plant_top5", "satellite_error_km", "covariates_top1"} <= set(record.figures)
    return UPath(world / "encoder")


def test_the_folder_holds_an_encoder_of_everything_and_one_for_each_fold(encoder):
    found = [load_encoder(encoder, fold) for fold in (None, 0, 1)]
    assert [each.fold for each in found] == [None, 0, 1]
    assert found[0].images["satellite"].bands == ("red", "nir")
    assert "history" in load_weights(encoder).metrics
    model = found[1].model()
    assert model.embed_location(torch.tensor([[10.0, 50.0]], dtype=torch.float64)).shape == (1, 8)


def test_finetune_starts_from_it_and_says_what_it_had_seen(encoder, world, execute):
    values = settings(output="tuned", encoder="encoder", freeze=True, optim={"epochs": 1, "batch": 64})
    execute(FinetuneConfig, finetune.run, run_dir=str(world), **values)
    assert read_species_folder(UPath(world / "tuned")).pretraining == "transductive"  # the published one saw all
    for fold in (0, 1):
        place = UPath(world / "tuned" / "folds" / str(fold))
        assert read_species_folder(place).pretraining == "inductive"
        assert load_weights(place).metrics["transductive"] is False
        ours, theirs = load_weights(place).state, load_encoder(encoder, fold).state
        frozen = [name for name in ours if name.startswith("location.")]
        assert frozen and all(torch.equal(ours[name], theirs[name]) for name in frozen)


def test_an_encoder_of_other_blocks_had_seen_the_held_out_ones(encoder, world, execute):
    other = settings(output="other", encoder="encoder", blocks={**BLOCKS, "seed": 5}, optim={"epochs": 1, "batch": 300})
    execute(FinetuneConfig, finetune.run, run_dir=str(world), **other)
    assert load_weights(UPath(world / "other" / "folds" / "0")).metrics["transductive"] is True


def test_an_encoder_that_does_not_fit_the_model_is_refused_at_once(encoder, world):
    wrong = settings(encoder="encoder", model={"location": {**LOCATION, "dim": 9}})
    config = FinetuneConfig(run_dir=str(world), **wrong)
    fits = FineTuning(config, finetune_data.read_table(config), str(world / "nowhere"))
    with pytest.raises(InputError, match="the species model expects"):
        check_weights(config, fits.model_config, fits.table)


def test_bands_of_tower_and_images_must_agree(world):
    scales = {"plant": {"shards": "shards", "tower": {"bands": 4, "mean": [0], "std": [1]}}}
    with pytest.raises(InputError, match=r"scales\.plant\.tower\.bands: 4"):
        pretrain_data.read_sources(PretrainConfig(run_dir=str(world), scales=scales))


def test_terms_beside_images_a_teacher_and_times(world, execute, geoclip):
    record = execute(
        PretrainConfig,
        pretrain.run,
        run_dir=str(world),
        output="taught",
        scales={"plant": SCALES["plant"] | {"jitter": 0.2}},
        covariates="covariates.zarr",
        covariates_as="regression",
        teacher=str(geoclip),
        surveys="surveys.parquet",
        objective={"loss": "sigmoid", "radius_m": 500, "weights": {"dense": 2}},
        location={**LOCATION, "time": True, "anneal": True},
        dim=8,
        blocks=BLOCKS,
        optim={"epochs": 6, "batch": 64, "steps_per_epoch": 10, "lr": 0.01},
        workers={"count": 0},
    )
    history = load_weights(UPath(world / "taught")).metrics["history"]
    assert history[-1]["dense_error"] < 0.95 * history[0]["dense_error"]
    assert {"species_top1", "plant_alignment", "dense_error"} <= set(record.figures)
    assert load_encoder(UPath(world / "taught")).config.dense == 2 + 512
