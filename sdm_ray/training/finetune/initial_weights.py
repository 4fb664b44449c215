"""What a fit starts from: a pretrained encoder, or another species model."""

import numpy as np
import pandas as pd
import torch

from sdm_ray.model_io import LoadedEncoder, LoadedModel, Pretraining, load_encoder, load_species_model
from sdm_ray.stores.weights import is_whole
from sdm_ray.training.finetune.config import FinetuneConfig


def encoder_of(config: FinetuneConfig, fold: int | None) -> tuple[dict[str, torch.Tensor], Pretraining]:
    """The encoder's weights for a fold, and whether they saw the fold's blocks."""
    encoder, pretraining = loaded_encoder(config, fold)
    return encoder.state, pretraining


def loaded_encoder(config: FinetuneConfig, fold: int | None) -> tuple[LoadedEncoder, Pretraining]:
    """The encoder for a fold, and whether it saw the fold's blocks."""
    assert config.encoder is not None
    path = config.path(config.encoder)
    if fold is not None and is_whole(path / "folds" / str(fold)):
        own = load_encoder(path, fold)
        if own.blocks == config.blocks and config.countries is None:
            return own, "inductive"
    return load_encoder(path), "transductive"


def start_of(config: FinetuneConfig, fold: int | None) -> tuple[LoadedModel, Pretraining]:
    """The model to start from for a fold, and whether it, or what it began from, saw the fold's blocks."""
    assert config.start is not None
    path = config.path(config.start)
    if fold is not None and is_whole(path / "folds" / str(fold)):
        own = load_species_model(path, fold)
        if own.about.blocks == config.blocks and own.about.countries == (config.countries is not None):
            return own, "transductive" if own.about.pretraining == "transductive" else "inductive"
    return load_species_model(path), "transductive"


def pretraining_of(config: FinetuneConfig, fold: int | None) -> Pretraining:
    """Whether a fit starts from what had seen the fold's blocks."""
    if config.start is not None:
        return start_of(config, fold)[1]
    return "none" if config.encoder is None else encoder_of(config, fold)[1]


def shared(theirs: pd.DataFrame, own: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the species that two tables have in common, by name: in the first, and in the second."""
    place = {name: row for row, name in enumerate(theirs["name"])}
    pairs = [(place[name], row) for row, name in enumerate(own["name"]) if name in place]
    first, second = np.array(pairs, np.int64).reshape(-1, 2).T
    return first, second
