"""Untrained models of a few numbers, whose answers are different everywhere all the same."""

import numpy as np
import pandas as pd
import torch
from sklearn.tree import DecisionTreeRegressor

from sdm_ray.geo.blocks import Blocks
from sdm_ray.model_io import Imagery, SpeciesFolder, describe_species
from sdm_ray.models.config import LocationConfig, SpeciesConfig, TowerConfig
from sdm_ray.models.forest import Forest, Tree
from sdm_ray.models.species_model import SpeciesModel
from sdm_ray.stores.weights import save_weights

BLOCKS = Blocks(size_m=40_000, folds=3)
LOCATION = LocationConfig(wavelengths_km=(200, 50), directions=4, hidden=16, depth=1, dim=8)
TOWER = TowerConfig(name="resnet10t", bands=2, mean=(2500.0,), std=(1500.0,), nodata_zero=True, dim=8)
PLAIN = SpeciesConfig(location=LOCATION, covariates=("lime", "rain"), embedding=8, hidden=16, depth=1)
SEEING = SpeciesConfig(location=LOCATION, covariates=("lime", "rain"), satellite=TOWER, embedding=8, hidden=16)


def save_model(folder, config, species, held_out, folds=BLOCKS.folds, countries=False):
    torch.manual_seed(0 if held_out is None else 1 + held_out)
    model = SpeciesModel(config, len(species)).eval()
    if config is SEEING:
        model.set_forest(_forest(len(species)), 0.4)
    table = pd.DataFrame({"species_id": range(len(species)), "name": species, "gbif_key": range(len(species))})
    images = Imagery(("nir", "red"), 8) if config.satellite else None
    about = SpeciesFolder(config, table, "occurrence", BLOCKS, held_out, folds, images, "none", countries)
    save_weights(folder, model.state_dict(), describe_species(about), table, {})
    return model


def _forest(count):
    """Trees on degrees, lime and rain as they are where the small worlds lie."""
    rng = np.random.default_rng(torch.initial_seed())
    x = np.column_stack([rng.uniform(8, 14, 300), rng.uniform(48, 53, 300), rng.normal(size=(300, 2))])
    y = rng.random((300, count)) < 1 / (1 + np.exp(-x[:, 2:3] - np.arange(count) + x[:, 3:]))
    grown = [DecisionTreeRegressor(max_depth=6, max_features=0.5, random_state=i).fit(x, y) for i in range(10)]
    return Forest.of_trees(Tree.of_sklearn(each.tree_) for each in grown)
