from dataclasses import replace

import pandas as pd
import pytest
import timm
import torch
import yaml
from safetensors.torch import save_file
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Blocks
from sdm_ray.model_io import (
    Imagery,
    LoadedEncoder,
    SpeciesFolder,
    describe_encoder,
    describe_species,
    load_encoder,
    load_species_model,
    read_species_folder,
)
from sdm_ray.models.config import AlignConfig, LocationConfig, SpeciesConfig
from sdm_ray.models.contrastive_model import AlignmentModel
from sdm_ray.models.species_model import SpeciesModel
from sdm_ray.stores.weights import save_weights


@pytest.fixture
def folder(tmp_path):
    config = SpeciesConfig(location={"wavelengths_km": [100], "hidden": 8, "depth": 1, "dim": 4}, hidden=8, embedding=4)
    species = pd.DataFrame({"species_id": [0, 1], "name": ["A", "B"], "gbif_key": [1, 2]})
    about = SpeciesFolder(
        config, species, "recorded", Blocks(origin=(1.0, 2.0)), 3, 0, Imagery(("red",), 32), "inductive", countries=True
    )
    save_weights(UPath(tmp_path), SpeciesModel(config, 2).state_dict(), describe_species(about), species, {"auc": 0.5})
    return UPath(tmp_path)


def test_a_folder_tells_what_was_written(folder):
    about = read_species_folder(folder)
    assert about.blocks == Blocks(origin=(1.0, 2.0)) and about.fold == 3
    assert about.satellite == Imagery(("red",), 32)
    assert about.pretraining == "inductive" and about.countries
    loaded = load_species_model(folder)
    assert loaded.metrics == {"auc": 0.5} and loaded.probability_kind == "recorded"
    assert loaded.model.probabilities({"lonlat": torch.tensor([[5.0, 50.0]], dtype=torch.float64)}).shape == (1, 2)


def test_another_number_of_species_is_refused(folder):
    species = pd.DataFrame({"species_id": [0], "name": ["A"], "gbif_key": [1]})
    species.to_parquet(folder / "species.parquet")
    with pytest.raises(InputError, match=r"holds 2 species, species\.parquet has 1"):
        load_species_model(folder)


def test_weights_of_another_model_are_refused(folder):
    text = yaml.safe_load((folder / "config.yaml").read_text())
    text["model"]["hidden"] = 16
    (folder / "config.yaml").write_text(yaml.safe_dump(text))
    with pytest.raises(InputError, match=r"not those of config\.yaml"):
        load_species_model(folder)


def test_an_unknown_key_is_named(folder):
    text = yaml.safe_load((folder / "config.yaml").read_text())
    text["model"]["colour"] = "red"
    (folder / "config.yaml").write_text(yaml.safe_dump(text))
    with pytest.raises(InputError, match="colour"):
        read_species_folder(folder)


def test_a_model_is_no_encoder(folder):
    with pytest.raises(InputError, match="kind species, expected encoder"):
        load_encoder(folder)


def test_a_model_is_read_without_the_weights_that_its_tower_started_from(tmp_path):
    timm_weights = tmp_path / "timm.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), timm_weights)
    tower = {"name": "test_resnet", "weights": str(timm_weights), "dim": 4}
    config = AlignConfig(location={"hidden": 8, "depth": 1, "dim": 4}, towers={"plant": tower}, dim=4)
    encoder = LoadedEncoder(AlignmentModel(config).state_dict(), config, {"plant": Imagery((), 32)}, Blocks(), None)
    save_weights(UPath(tmp_path / "encoder"), encoder.state, describe_encoder(encoder), None, {})
    timm_weights.unlink()
    assert load_encoder(UPath(tmp_path / "encoder")).model().config.towers["plant"].weights is None


def test_published_features_beside_the_encoder_are_kept_with_the_model(folder, geoclip):
    about = read_species_folder(folder)
    waves = (LocationConfig(kind="capsules", weights=str(geoclip)), LocationConfig(wavelengths_km=(100,)))
    config = about.config.model_copy(update={"frozen_location_features": waves, "fusion": "none"})
    model = SpeciesModel(config, 2).eval()
    assert not any(each.requires_grad for each in model.frozen_location_features.parameters())
    described = describe_species(replace(about, config=config))
    save_weights(folder, model.state_dict(), described, about.species, {})
    geoclip.unlink()
    places = {"lonlat": torch.tensor([[4.0, 45.0], [20.0, 60.0]], dtype=torch.float64)}
    assert torch.equal(load_species_model(folder).model(places), model(places))


@pytest.mark.parametrize("key", ["model", "probability_kind", "blocks", "fold", "folds", "satellite", "pretraining"])
def test_a_missing_key_is_one_line(folder, key):
    text = yaml.safe_load((folder / "config.yaml").read_text())
    del text[key]
    (folder / "config.yaml").write_text(yaml.safe_dump(text))
    with pytest.raises(InputError, match=rf"config\.yaml: {key}: Field required"):
        read_species_folder(folder)


def test_what_former_releases_did_not_note_has_a_default(folder):
    text = yaml.safe_load((folder / "config.yaml").read_text())
    for key in ("countries", "photos", "region"):
        del text[key]
    (folder / "config.yaml").write_text(yaml.safe_dump(text))
    about = read_species_folder(folder)
    assert (about.countries, about.photos, about.region) == (False, {}, None)


def test_a_forest_in_the_weights_is_known_without_reading_them(folder):
    assert not read_species_folder(folder).forest
    loaded = load_species_model(folder)
    state = loaded.model.state_dict() | {"forest.root": torch.zeros(1)}
    save_weights(folder, state, describe_species(loaded.about), loaded.species, {})
    assert read_species_folder(folder).forest
