"""A model folder as the map needs it."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
from upath import UPath

from sdm_ray.models.config import SpeciesConfig
from sdm_ray.models.species import SpeciesModel
from sdm_ray.stores.weights import Weights, load_weights


@dataclass(frozen=True)
class ModelFolder:
    folder: UPath
    weights: Weights
    config: SpeciesConfig
    species: pd.DataFrame
    probability_kind: str
    folds: int
    blocks: dict[str, Any] | None
    bands: list[str]
    size: int
    pretraining: str

    def load(self) -> SpeciesModel:
        model = SpeciesModel(self.config, len(self.species))
        model.load_state_dict(self.weights.state)
        return model.eval()


def open_model(folder: UPath) -> ModelFolder:
    weights = load_weights(folder)
    c = weights.config
    folds = 0
    while (folder / "folds" / str(folds)).is_dir():
        folds += 1
    im = c.get("imagery") or {}
    return ModelFolder(folder, weights, SpeciesConfig(**c["model"]), weights.species, c["probability_kind"], folds,
                       c.get("blocks"), im.get("bands", []), im.get("size", 0), c.get("pretraining", "none"))
