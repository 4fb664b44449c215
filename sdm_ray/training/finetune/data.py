"""Surveys as training data, and what a species model predicts for them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch
from upath import UPath

from sdm_ray.batch import cut
from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Role
from sdm_ray.geo.grid import to_lonlat, to_xy
from sdm_ray.metrics.ranking import auc
from sdm_ray.models.batch import compact
from sdm_ray.models.config import SeriesConfig
from sdm_ray.models.distributed import Ranks
from sdm_ray.models.species_model import SpeciesModel
from sdm_ray.progress import say
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.holdout import HoldOut
from sdm_ray.stores.labels import SparseLabels
from sdm_ray.stores.surveys import countries_named, labels_of, read_kind, read_surveys
from sdm_ray.streams.survey_dataset import SurveyDataset
from sdm_ray.streams.survey_images import Wanted
from sdm_ray.training.engine.trainer import tensors
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.inputs import (
    CovariateTable,
    covariates_at,
    open_covariates,
    series_of,
    shards_of,
    windows_at,
)


@dataclass(frozen=True)
class Split:
    """Numbers of the surveys for each use, ascending."""

    train: np.ndarray
    validation: np.ndarray
    calibrate: np.ndarray


@dataclass(frozen=True)
class Table:
    """Surveys with all that is known of them.

    Attributes:
        dataset: batches of the surveys, with the labels that are known of them.
        labels: what the surveys hold.
        x: EPSG:3035 metres, (N,).
        y: EPSG:3035 metres, (N,).
        species: the species table.
        probability_kind: what a probability is of.
        covariates: the surveys' covariates.
        holdout: what is held out together.
        background: places that stand for all places, with labels of none, where the loss has them.
        series: the encoders of the surveys' time series, with the axes of these.
        thin_m: of surveys with the same species in one square of so many metres one is trained on.
        country: that each survey names, "" for none, (N,); None where none is named.
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
    country: np.ndarray | None = field(default=None, repr=False)

    def role(self, held_out: int | None) -> np.ndarray:
        """What each survey is used for when one fold is held out, codes of `Role`, (N,)."""
        return self.holdout.role(self.x, self.y, held_out, self.country)

    def split(self, held_out: int | None, *, keep_some: bool = False) -> Split:
        """What each survey is used for when one fold is held out.

        Args:
            held_out: the fold; None to train on everything.
            keep_some: with None, leave the `validation` and `calibrate` blocks out all the same.
        """
        roles = self.role(held_out)
        if keep_some and held_out is None:
            first = self.role(0)
            roles = np.where(np.isin(first, [Role.VALIDATION, Role.CALIBRATE]), first, np.int8(Role.TRAIN))
        found = Split(*(np.flatnonzero(roles == each) for each in (Role.TRAIN, Role.VALIDATION, Role.CALIBRATE)))
        if self.thin_m is not None:
            found = replace(found, train=self._thinned(found.train, self.thin_m))
        if len(found.train) == 0:
            raise InputError(
                f"blocks.size_m: with fold {held_out} held out no survey is left to train on; expected smaller blocks"
            )
        return found

    def around(self, held_out: int | None) -> SurveyDataset | None:
        """The background places of the blocks that are trained on when one fold is held out."""
        if self.background is None:
            return None
        x, y = to_xy(*self.background.lonlat.T)
        rows = np.flatnonzero(self.holdout.role(x, y, held_out) == Role.TRAIN)
        return self.background.subset(rows)

    def _thinned(self, rows: np.ndarray, side: float) -> np.ndarray:
        """One of the surveys with the same species in one square, drawn by the seed."""
        drawn = np.random.default_rng(self.dataset.seed).permutation(rows)
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
    holdout = HoldOut(config.blocks, str(config.path(config.countries)) if config.countries else None)
    background = _background(config, dataset, store)
    return Table(
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
        country=countries_named(surveys),
    )


def _require_one_class(path: UPath, ids: pd.Series, labels: SparseLabels) -> None:
    """See that every survey is of one class."""
    counts = np.diff(labels.indptr)
    wrong = np.flatnonzero(counts != 1)
    if len(wrong):
        raise InputError(
            f"{path}: survey {ids.iloc[wrong[0]]} holds {counts[wrong[0]]} classes ({len(wrong)} such surveys);"
            " `model.output: class` expects one each"
        )


def _background(config: FinetuneConfig, dataset: SurveyDataset, store: Covariates | None) -> SurveyDataset | None:
    """Places that stand for all places, with labels of none."""
    if config.presence.background is None:
        return None
    lonlat = dataset.lonlat
    values, known, images = dataset.covariates, dataset.known, dataset.images
    if config.presence.background == "uniform":
        assert store is not None
        x, y, _ = store.draw(config.presence.places, config.seed)
        lonlat = np.column_stack(to_lonlat(x, y))
        covariates = covariates_at(store, x, y)
        values, known, images = covariates.values, covariates.known, windows_at(config, lonlat)
    nothing = SparseLabels.none(len(lonlat), dataset.labels.n_species)
    rows = np.arange(len(lonlat))
    return replace(
        dataset,
        rows=rows,
        all_lonlat=lonlat,
        covariates=values,
        known=known,
        images=images,
        labels=nothing,
        seed=dataset.seed + 1,
    )


def predict(model: SpeciesModel, dataset: SurveyDataset, rows: np.ndarray, ranks: Ranks) -> np.ndarray:
    """Logits of some surveys, of classes log-probabilities, float32 (n, S), the same on every rank.

    Each rank computes a share.
    """

    def logits(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        found: torch.Tensor = model(batch)
        return torch.log_softmax(found, -1) if model.config.output == "class" else found

    return _of_surveys(logits, model.head.out_features, dataset, rows, ranks)


def embed(model: SpeciesModel, dataset: SurveyDataset, rows: np.ndarray, ranks: Ranks) -> np.ndarray:
    """The embedding z of some surveys, float32 (n, width), the same on every rank; each computes a share."""
    return _of_surveys(model.embed, model.width, dataset, rows, ranks)


def _of_surveys(
    compute: Callable[[dict[str, torch.Tensor]], torch.Tensor],
    width: int,
    dataset: SurveyDataset,
    rows: np.ndarray,
    ranks: Ranks,
) -> np.ndarray:
    """What is computed of batches of surveys, float32 (n, width)."""
    own = rows[ranks.share(len(rows))]
    source = dataset.subset(own, plain=True)
    parts = [np.empty((0, width), np.float32)]
    with torch.inference_mode():
        for ids in cut(len(own), source.image_bytes):
            parts.append(compute(compact(tensors(source.read(ids, np.zeros_like(ids)), ranks))).float().cpu().numpy())
    return ranks.rows(np.concatenate(parts))


def shared(theirs: pd.DataFrame, own: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the species that two tables have in common, by name: in the first, and in the second."""
    place = {name: row for row, name in enumerate(theirs["name"])}
    pairs = [(place[name], row) for row, name in enumerate(own["name"]) if name in place]
    first, second = np.array(pairs, np.int64).reshape(-1, 2).T
    return first, second


def scores(logits: np.ndarray, labels: np.ndarray, *, classes: bool = False) -> dict[str, float]:
    """Macro AUC of species with presences and absences, and cross-entropy; of classes likelihood and accuracy.

    Args:
        logits: (n, S); of classes logarithms of their probabilities.
        labels: 0 or 1, (n, S).
        classes: whether each row holds exactly one.
    """
    each = auc(labels, logits)
    counted = np.isfinite(each)
    found = {"auc": float(each[counted].mean()) if counted.any() else float("nan")}
    if classes:
        right = labels.argmax(axis=1)
        likelihood = float(np.take_along_axis(logits, right[:, None], 1).mean()) if len(right) else float("nan")
        return {**found, "log_likelihood": likelihood, "accuracy": float((right == logits.argmax(axis=1)).mean())}
    return {**found, "bce": float((np.logaddexp(0, logits) - labels * logits).mean())}
