"""Untrained models of a few numbers, whose answers are different everywhere all the same."""

import pandas as pd
import torch

from sdm_ray.folders import Imagery, SpeciesFolder, describe_species
from sdm_ray.geo.blocks import Blocks
from sdm_ray.models.config import LocationConfig, SpeciesConfig, TowerConfig
from sdm_ray.models.species import SpeciesModel
from sdm_ray.stores.weights import save_weights

BLOCKS = Blocks(size_m=40_000, folds=3)
LOCATION = LocationConfig(wavelengths_km=(200, 50), directions=4, hidden=16, depth=1, dim=8)
TOWER = TowerConfig(name="resnet10t", bands=2, mean=(2500.0,), std=(1500.0,), nodata_zero=True, dim=8)
PLAIN = SpeciesConfig(location=LOCATION, covariates=("lime", "rain"), embedding=8, hidden=16, depth=1)
SEEING = SpeciesConfig(location=LOCATION, covariates=("lime", "rain"), satellite=TOWER, embedding=8, hidden=16)


def save_model(folder, config, species, held_out, folds=BLOCKS.folds, countries=False):
    torch.manual_seed(0 if held_out is None else 1 + held_out)
    model = SpeciesModel(config, len(species)).eval()
    table = pd.DataFrame({"species_id": range(len(species)), "name": species, "gbif_key": range(len(species))})
    images = Imagery(("nir", "red"), 8) if config.satellite else None
    about = SpeciesFolder(config, table, "occurrence", BLOCKS, held_out, folds, images, "none", countries)
    save_weights(folder, model.state_dict(), describe_species(about), table, {})
    return model
