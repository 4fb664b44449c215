"""Surveys as training data, and what a species model predicts for them."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch
from upath import UPath

from sdm_ray.batch import rows_at_once
from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Role, block_id
from sdm_ray.geo.grid import to_xy
from sdm_ray.models.config import SeriesConfig
from sdm_ray.models.distributed import Ranks
from sdm_ray.models.species_model import SpeciesModel
from sdm_ray.progress import say
from sdm_ray.stores.holdout import HoldOut
from sdm_ray.stores.labels import SparseLabels
from sdm_ray.stores.surveys import countries_named, labels_of, read_embeddings, read_kind, read_surveys
from sdm_ray.streams.loader import in_order
from sdm_ray.streams.reader_tasks import NO_TASKS, ReaderTasks
from sdm_ray.streams.survey_dataset import SurveyDataset
from sdm_ray.streams.survey_images import Wanted
from sdm_ray.training.engine.execution import tensors
from sdm_ray.training.finetune.background import background_of
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.data_defaults import ENOUGH, blocks_of
from sdm_ray.training.finetune.inputs import (
    CovariateTable,
    covariates_at,
    open_covariates,
    series_of,
    shards_of,
    windows_at,
)
from sdm_ray.training.finetune.nearby import NearbyPhotos, read_nearby
from sdm_ray.training.finetune.survey_covariates import side_by_side, survey_covariates


@dataclass(frozen=True)
class Split:
    """Numbers of the surveys for each use, ascending.

    Attributes:
        train: that the model learns from.
        validation: that choose the epoch.
        calibrate: that the model is calibrated on.
        background: numbers of the background places in the blocks of `train`, where there are any.
    """

    train: np.ndarray
    validation: np.ndarray
    calibrate: np.ndarray
    background: np.ndarray | None = None


@dataclass(frozen=True)
class Table:
    """Surveys with their inputs and labels.

    Attributes:
        dataset: batches of the surveys, with the labels that are known of them.
        labels: what the surveys hold.
        x: EPSG:3035 metres, (N,).
        y: EPSG:3035 metres, (N,).
        species: the species table.
        probability_kind: `occurrence`, `recorded` or `relative`.
        covariates: the surveys' covariates.
        holdout: what is held out together.
        background: places that stand for all places, with labels of none, where the loss has them.
        series: the encoders of the surveys' time series, with the axes of these.
        thin_m: side of squares in which surveys with the same species count once in training, metres.
        thin_seed: which of them counts.
        country: that each survey names, "" for none, (N,); None where none is named.
        pooled: whether the folds' held-out surveys stand for the `validation` and `calibrate` blocks, which are
            trained on.
        nearby: the images around the surveys, where the model keeps them.
    """

    dataset: SurveyDataset
    labels: SparseLabels
    x: np.ndarray
    y: np.ndarray
    species: pd.DataFrame
    probability_kind: str
    covariates: CovariateTable = field(repr=False)
    holdout: HoldOut
    background: SurveyDataset | None = None
    series: SeriesConfig | None = None
    thin_m: float | None = None
    thin_seed: int = 0
    country: np.ndarray | None = field(default=None, repr=False)
    pooled: bool = False
    nearby: NearbyPhotos | None = field(default=None, repr=False)

    def role(self, held_out: int | None) -> np.ndarray:
        """What each survey is used for when one fold is held out, codes of `Role`, (N,)."""
        return self.holdout.role(self.x, self.y, held_out, self.country)

    def block_of(self, rows: np.ndarray) -> np.ndarray:
        """Number of the block that each of some surveys lies in."""
        return block_id(self.x[rows], self.y[rows], self.holdout.blocks)

    def held_out(self, fold: int) -> np.ndarray:
        """Numbers of the surveys of a fold, ascending."""
        return np.flatnonzero(self.role(fold) == Role.TEST)

    def split(self, held_out: int | None, *, keep_some: bool = False) -> Split:
        """What each survey is used for when one fold is held out.

        Args:
            held_out: the fold; None to train on everything.
            keep_some: with None, leave the `validation` and `calibrate` blocks out all the same.
        """
        roles = self._roles(self.role, held_out, keep_some)
        found = Split(*(np.flatnonzero(roles == each) for each in (Role.TRAIN, Role.VALIDATION, Role.CALIBRATE)))
        if self.background is not None:
            x, y = to_xy(*self.background.lonlat.T)
            places = self._roles(lambda fold: self.holdout.role(x, y, fold), held_out, keep_some)
            found = replace(found, background=np.flatnonzero(places == Role.TRAIN))
        if self.thin_m is not None:
            found = replace(found, train=self._thinned(found.train, self.thin_m))
        if len(found.train) == 0:
            raise InputError(
                f"blocks.size_m: with fold {held_out} held out no survey is left to train on; expected smaller blocks"
            )
        return found

    def _roles(self, role: Callable[[int | None], np.ndarray], held_out: int | None, keep_some: bool) -> np.ndarray:
        roles = role(held_out)
        if self.pooled:
            return np.where(np.isin(roles, [Role.VALIDATION, Role.CALIBRATE]), np.int8(Role.TRAIN), roles)
        if not keep_some or held_out is not None:
            return roles
        first = role(0)
        return np.where(np.isin(first, [Role.VALIDATION, Role.CALIBRATE]), first, np.int8(Role.TRAIN))

    def _thinned(self, rows: np.ndarray, side: float) -> np.ndarray:
        """One of the surveys with the same species in one square, drawn by the seed."""
        drawn = np.random.default_rng(self.thin_seed).permutation(rows)
        squares = np.stack([np.floor(each[drawn] / side) for each in (self.x, self.y)], axis=1).astype(np.int64)
        sets = self.labels.sets(drawn)
        first = np.unique(np.column_stack([squares, sets]), axis=0, return_index=True)[1]
        return np.sort(drawn[first])


def read_table(config: FinetuneConfig) -> Table:
    """Read and check all that fine-tuning needs, before anything is started.

    Raises:
        InputError: surveys, covariates or cube cannot be used, or do not fit each other.
    """
    path = config.path(config.surveys)
    surveys, species = read_surveys(path)
    lonlat = surveys[["lon", "lat"]].to_numpy(np.float64)
    x, y = to_xy(lonlat[:, 0], lonlat[:, 1])
    store = open_covariates(config)
    covariates = covariates_at(store, x, y, config.max_unknown, partly=config.model.partial_covariates)
    if config.survey_covariates:
        own = survey_covariates(surveys, config.survey_covariates, path, config.max_unknown, read_embeddings(path))
        covariates = side_by_side(covariates, own)
    series, encoders = series_of(config, surveys["survey_id"])
    kind = read_kind(path)
    wanted = Wanted(surveys["survey_id"].astype(str), lonlat, presence_only=kind == "relative")
    labels = labels_of(surveys, species)
    dataset = SurveyDataset(
        rows=np.arange(len(surveys)),
        all_lonlat=lonlat,
        covariates=covariates.values,
        known=covariates.known,
        labels=labels,
        images=windows_at(config, lonlat),
        shards=shards_of(config, wanted),
        series=series,
        augment=bool(config.model.towers),
        hide=config.model.modality_dropout,
        seed=config.seed,
    )
    never = int((np.bincount(labels.indices, minlength=len(species)) == 0).sum())
    say(f"  {len(surveys)} surveys, {len(species)} species" + (f", {never} of them in no survey" if never else ""))
    if never == len(species):
        raise InputError(f"{path}: no survey holds any species")
    if config.model.output == "class":
        _require_one_class(path, surveys["survey_id"], labels)
    blocks = blocks_of(config, x, y, 0.0 if dataset.images is None else dataset.images.reach_m)
    if config.blocks is None:
        buffer = f", a buffer of {blocks.buffer_m:g} m around those held out" if blocks.buffer_m else ""
        say(f"  blocks of {blocks.size_m / 1000:g} km, {blocks.folds} folds{buffer}")
    holdout = HoldOut(blocks, str(config.path(config.countries)) if config.countries else None)
    background = background_of(config, dataset, store, covariates)
    table = Table(
        dataset=dataset,
        labels=labels,
        x=x,
        y=y,
        species=species,
        probability_kind=kind,
        covariates=covariates,
        holdout=holdout,
        background=background,
        series=encoders,
        thin_m=config.presence.thin_m,
        thin_seed=config.seed,
        country=countries_named(surveys),
        nearby=read_nearby(config, x, y),
    )
    return replace(table, pooled=_pools(config, table))


def _pools(config: FinetuneConfig, table: Table) -> bool:
    """Whether the folds are pooled; reports where `validation` or `calibrate` blocks hold few surveys."""
    if config.pooled is not None:
        return config.pooled
    folds = range(table.holdout.blocks.folds) if config.crossfit else [None]
    splits = [table.split(fold, keep_some=True) for fold in folds]
    sizes = {name: min(len(getattr(each, name)) for each in splits) for name in ("validation", "calibrate")}
    few = {name: size for name, size in sizes.items() if size < ENOUGH and getattr(table.holdout.blocks, name) > 0}
    if not few:
        return False
    found = " and ".join(f"{name} blocks hold {count} surveys" for name, count in few.items())
    remedy = "pooled over the folds instead" if config.crossfit else "expected larger shares or `crossfit: true`"
    say(f"  {found}{' in some fold' if config.crossfit else ''}, fewer than {ENOUGH}: {remedy}")
    return config.crossfit


def _require_one_class(path: UPath, ids: pd.Series, labels: SparseLabels) -> None:
    """Check that every survey has one class."""
    counts = np.diff(labels.indptr)
    wrong = np.flatnonzero(counts != 1)
    if len(wrong):
        raise InputError(
            f"{path}: survey {ids.iloc[wrong[0]]} holds {counts[wrong[0]]} classes ({len(wrong)} such surveys);"
            " `model.output: class` expects one each"
        )


def predict(
    model: SpeciesModel, dataset: SurveyDataset, rows: np.ndarray, ranks: Ranks, readers: ReaderTasks = NO_TASKS
) -> np.ndarray:
    """Logits of some surveys, of classes log-probabilities, float32 (n, S), the same on every rank.

    Each rank computes a share, whose images are read ahead by its threads or by `readers`.
    """

    def logits(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        found: torch.Tensor = model(batch)
        return torch.log_softmax(found, -1) if model.config.output == "class" else found

    own = dataset.subset(rows[ranks.share(len(rows))], plain=True)
    return ranks.rows(_of_surveys(logits, model.head.out_features, own, ranks, readers))


def embed(model: SpeciesModel, dataset: SurveyDataset, rows: np.ndarray, ranks: Ranks) -> np.ndarray:
    """The embedding z of some surveys, float32 (n, width), the same on every rank; each computes a share."""
    own = dataset.subset(rows[ranks.share(len(rows))], plain=True)
    return ranks.rows(_of_surveys(model.embed, model.width, own, ranks))


def _of_surveys(
    compute: Callable[[dict[str, torch.Tensor]], torch.Tensor],
    width: int,
    dataset: SurveyDataset,
    ranks: Ranks,
    readers: ReaderTasks = NO_TASKS,
) -> np.ndarray:
    """What is computed of batches of surveys, float32 (n, width)."""
    parts = [np.empty((0, width), np.float32)]
    with torch.inference_mode(), closing(in_order(dataset, rows_at_once(dataset.image_bytes), readers)) as batches:
        for batch in batches:
            parts.append(compute(tensors(batch, ranks)).float().cpu().numpy())
    return np.concatenate(parts)


def alone(model: SpeciesModel) -> Ranks:
    """This process by itself, on the model's device."""
    return Ranks(device=str(next(model.parameters()).device))
