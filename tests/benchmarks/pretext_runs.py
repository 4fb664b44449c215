"""What a pretext teaches a location encoder: pairs matched in held-out blocks, and a probe of trees there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from upath import UPath

from sdm_ray.baselines.config import RIDGES
from sdm_ray.baselines.logistic_regression import heads
from sdm_ray.geo.blocks import Role, role
from sdm_ray.geo.grid import to_xy
from sdm_ray.metrics.ranking import auc, average_precision
from sdm_ray.metrics.retrieval import EMBED_ROWS, embed, matching
from sdm_ray.models.config import LocationConfig
from sdm_ray.models.distributed import Ranks
from sdm_ray.models.location import LocationEncoder
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.labels import SparseLabels
from sdm_ray.stores.surveys import labels_of, read_surveys
from sdm_ray.streams.loader import in_order
from sdm_ray.training.compare.few_shot import draw
from sdm_ray.training.engine import trainer
from sdm_ray.training.engine.checkpointing import FolderCheckpointer
from sdm_ray.training.engine.reporting import Reporter
from sdm_ray.training.pretrain.config import PretrainConfig
from sdm_ray.training.pretrain.data import Source
from sdm_ray.training.pretrain.job import Study

FOLD = 0
CANDIDATES = 1000
_ROWS, _BACKGROUND = 20_000, 2000
_MIN_POSITIVES = 10

Features = Callable[[torch.Tensor], torch.Tensor]
"""Degrees (N, 2) to features (N, F)."""


@dataclass(frozen=True)
class Trees:
    """Surveys to probe with: rows to learn from and rows of the held-out fold."""

    lonlat: torch.Tensor
    covariates: torch.Tensor
    labels: SparseLabels
    train: np.ndarray
    test: np.ndarray

    @classmethod
    def read(cls, folder: UPath, config: PretrainConfig) -> "Trees":
        """A fixed draw of the surveys of a prepared run folder."""
        surveys, species = read_surveys(folder / "surveys.parquet")
        rng = np.random.default_rng(0)
        lonlat = surveys[["lon", "lat"]].to_numpy(np.float64)
        roles = role(*to_xy(*lonlat.T), config.blocks, FOLD)
        train = np.sort(rng.permutation(np.flatnonzero(roles == Role.TRAIN))[:_ROWS])
        test = np.flatnonzero(roles == Role.TEST)
        kept = np.concatenate([train, test])
        lonlat, surveys = lonlat[kept], surveys.iloc[kept]
        values, known = Covariates(folder / "covariates.zarr").at(*to_xy(*lonlat.T))
        values = np.where(known, values, np.nanmean(np.where(known, values, np.nan), axis=0))
        labels = labels_of(surveys, species)
        train, test = np.split(np.arange(len(kept)), [len(train)])
        return cls(torch.from_numpy(lonlat.copy()), torch.from_numpy(values.astype(np.float32)), labels, train, test)


def pretrained(config: PretrainConfig, sources: Mapping[str, Source], folder: UPath) -> nn.Module:
    """The model of a pretext that never saw the test blocks of the fold."""
    study = Study(config, dict(sources), str(folder))
    fit = study.fit(FOLD)
    trained = trainer.run(fit, Ranks(), FolderCheckpointer(folder / config.output, 1e9), Reporter())
    return trained.objective.model


def matched(model: Any, source: Source, config: PretrainConfig) -> dict[str, float]:
    """Figures of images and places among a fixed draw of the fold's test blocks."""
    rows = np.flatnonzero(role(*source.xy().T, config.blocks, FOLD) == Role.TEST)
    rows = np.sort(np.random.default_rng(1).permutation(rows)[:CANDIDATES])
    pairs = embed(model, "satellite", in_order(source.dataset.subset(rows, plain=True), EMBED_ROWS))
    return matching(*pairs, source.xy(rows))


def random_features(config: LocationConfig, seed: int) -> Features:
    """An encoder that has learnt nothing."""
    torch.manual_seed(seed)
    return LocationEncoder(config).eval()


def features_of(trees: Trees, *features: Features, covariates: bool = False) -> torch.Tensor:
    """Features of all places side by side, (N, F), standardised over the rows to learn from."""
    with torch.inference_mode():
        parts = [torch.cat([each(part).float() for part in trees.lonlat.split(8192)]) for each in features]
    x = torch.cat([*parts, trees.covariates] if covariates else parts, 1).clone()
    train = torch.from_numpy(trees.train)
    mean, std = x[train].mean(0), x[train].std(0)
    return (x - mean) / torch.where(std > 1e-6, std, torch.ones_like(std))


def probe(x: torch.Tensor, trees: Trees, positives: int | None, seed: int) -> tuple[float, float]:
    """Macro AUC and average precision of a logistic regression on frozen features, in the held-out fold.

    Args:
        x: features of places, (N, F).
        trees: surveys.
        positives: presences of each species to learn from, beside background rows; None for all rows.
        seed: of the draw.
    """
    few = None if positives is None else draw(trees.labels, trees.train, positives, _BACKGROUND, seed)
    known, rows = few or (trees.labels, trees.train)
    matrix, bias = heads(x[rows], torch.from_numpy(known.dense(rows)), RIDGES)
    logits = (x[trees.test] @ matrix.T + bias).numpy()
    labels = trees.labels.dense(trees.test)
    counted = (labels.sum(0) >= _MIN_POSITIVES) & (trees.labels.counts(trees.train)[0] >= 50)
    scores = (auc(labels, logits)[counted], average_precision(labels, logits)[counted])
    return float(np.nanmean(scores[0])), float(np.nanmean(scores[1]))
