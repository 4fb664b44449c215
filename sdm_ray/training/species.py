"""Surveys as training data, the loss that a species model is trained with, and its predictions."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from sdm_ray.errors import InputError
from sdm_ray.evaluation.metrics import auc
from sdm_ray.geo.blocks import Role
from sdm_ray.geo.grid import to_xy
from sdm_ray.models.augment import Augmentation
from sdm_ray.models.losses import bce
from sdm_ray.models.species import SpeciesModel
from sdm_ray.progress import say
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.holdout import HoldOut
from sdm_ray.stores.surveys import labels_of, read_kind, read_surveys
from sdm_ray.streams.surveys import SurveyFetch
from sdm_ray.streams.windows import Windows, open_cube
from sdm_ray.training.config import FinetuneConfig
from sdm_ray.training.loop import Batches, tensors
from sdm_ray.training.ranks import Ranks
from sdm_ray.training.towers import check_tower

_PREDICT_ROWS = 1024
_AUGMENTATION = Augmentation(turns=True)


@dataclass(frozen=True)
class Split:
    """Numbers of the surveys for each use, ascending."""

    train: np.ndarray
    select: np.ndarray
    calibrate: np.ndarray


@dataclass(frozen=True)
class Table:
    """Surveys with all that is known of them.

    Attributes:
        fetch: batches of the surveys.
        x: EPSG:3035 metres, (N,).
        y: EPSG:3035 metres, (N,).
        species: the species table.
        probability_kind: what a probability is of.
        covariates: names of the covariates.
        mean: of the covariates over their store, (C,).
        std: of the covariates over their store, (C,).
        holdout: what is held out together.
    """

    fetch: SurveyFetch
    x: np.ndarray
    y: np.ndarray
    species: pd.DataFrame
    probability_kind: str
    covariates: tuple[str, ...]
    mean: np.ndarray
    std: np.ndarray
    holdout: HoldOut

    def split(self, held_out: int | None, *, keep_some: bool = False) -> Split:
        """What each survey is used for when one fold is held out.

        Args:
            held_out: the fold; None to train on everything.
            keep_some: with None, leave the `select` and `calibrate` blocks out all the same.
        """
        roles = self.holdout.role(self.x, self.y, held_out)
        if keep_some and held_out is None:
            first = self.holdout.role(self.x, self.y, 0)
            roles = np.where(np.isin(first, [Role.SELECT, Role.CALIBRATE]), first, np.int8(Role.TRAIN))
        found = Split(*(np.flatnonzero(roles == each) for each in (Role.TRAIN, Role.SELECT, Role.CALIBRATE)))
        if len(found.train) == 0:
            raise InputError(
                f"blocks.size_m: with fold {held_out} held out no survey is left to train on; expected smaller blocks"
            )
        return found


def read_table(config: FinetuneConfig) -> Table:
    """Read and check all that fine-tuning needs, before anything is started.

    Raises:
        InputError: surveys, covariates or cube cannot be used, or do not fit each other.
    """
    path = config.path(config.surveys)
    surveys, species = read_surveys(path)
    lonlat = surveys[["lon", "lat"]].to_numpy(np.float64)
    x, y = to_xy(lonlat[:, 0], lonlat[:, 1])
    names, values, known, mean, std = _covariates(config, x, y)
    fetch = SurveyFetch(
        rows=np.arange(len(surveys)),
        lonlat=lonlat,
        covariates=values,
        known=known,
        labels=labels_of(surveys, species),
        images=_windows(config, lonlat),
        augment=config.cube is not None,
        hide=config.model.modality_dropout,
        seed=config.seed,
    )
    never = int((np.bincount(fetch.labels.indices, minlength=len(species)) == 0).sum())
    say(f"  {len(surveys)} surveys, {len(species)} species" + (f", {never} of them in no survey" if never else ""))
    if never == len(species):
        raise InputError(f"{path}: no survey holds any species")
    holdout = HoldOut(config.blocks, str(config.path(config.countries)) if config.countries else None)
    return Table(fetch, x, y, species, read_kind(path), names, mean, std, holdout)


def _covariates(
    config: FinetuneConfig, x: np.ndarray, y: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    if config.covariates is None:
        nothing = np.zeros(0, np.float32)
        return (), np.zeros((len(x), 0), np.float32), np.zeros(len(x), bool), nothing, nothing
    path = config.path(config.covariates)
    store = Covariates(path)
    names = config.model.covariates or tuple(store.names)
    missing = [name for name in names if name not in store.names]
    if missing:
        raise InputError(f"{path}: has no covariate {missing[0]}; found {', '.join(store.names)}")
    columns = [store.names.index(name) for name in names]
    values, known = store.at(x, y)
    if not known.any():
        raise InputError(f"{path}: no survey lies where covariates are known; expected the same region")
    if not known.all():
        say(f"  {int((~known).sum())} of {len(known)} surveys lie where covariates are unknown")
    return tuple(names), np.ascontiguousarray(values[:, columns]), known, store.mean[columns], store.std[columns]


def _windows(config: FinetuneConfig, lonlat: np.ndarray) -> Windows | None:
    if config.cube is None or config.model.satellite is None:
        return None
    path = str(config.path(config.cube))
    bands = config.bands or tuple(open_cube(path).bands)
    windows = Windows(path, bands, lonlat, config.size, config.season)
    check_tower(config.model.satellite, len(windows.wanted.bands or bands), config.size, "model.satellite", path)
    return windows


class PresenceLoss(nn.Module):
    """Binary cross-entropy of a species model, scaled for the mean over ranks (see `loop.Fit`)."""

    def __init__(self, model: SpeciesModel, batch: int) -> None:
        super().__init__()
        self.model = model
        self.batch = batch

    def forward(self, batches: Batches, ranks: Ranks) -> Tensor:
        """This rank's part of the loss."""
        batch = batches["surveys"]
        if "draws_satellite" in batch:
            turned = _AUGMENTATION(batch["image_satellite"], batch["draws_satellite"])
            batch = batch | {"image_satellite": turned}
        logits = self.model(compact(batch))
        return bce(logits, batch["labels"]) * (len(logits) * ranks.world / self.batch)


def compact(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Keep only the images that there are, as the models take them."""
    found = dict(batch)
    for name in batch:
        if name.startswith("image_"):
            found[name] = batch[name][batch[f"has_{name.removeprefix('image_')}"]]
    return found


def predict(model: SpeciesModel, fetch: SurveyFetch, rows: np.ndarray, ranks: Ranks) -> np.ndarray:
    """Logits of some surveys, float32 (n, S), the same on every rank; each rank computes a share."""
    own = rows[ranks.share(len(rows))]
    source = fetch.only(own, plain=True)
    parts = [np.empty((0, model.head.out_features), np.float32)]
    with torch.inference_mode():
        for start in range(0, len(own), _PREDICT_ROWS):
            ids = np.arange(start, min(start + _PREDICT_ROWS, len(own)))
            logits = model(compact(tensors(source(ids, np.zeros_like(ids)), ranks)))
            parts.append(logits.float().cpu().numpy())
    return ranks.rows(np.concatenate(parts))


def scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Macro AUC over the species that have both presences and absences, and the cross-entropy."""
    each = auc(labels, logits)
    counted = np.isfinite(each)
    loss = np.logaddexp(0, logits) - labels * logits
    return {"auc": float(each[counted].mean()) if counted.any() else float("nan"), "bce": float(loss.mean())}
