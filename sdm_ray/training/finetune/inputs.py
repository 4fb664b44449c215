"""The inputs of surveys: covariates, images and time series, read and checked."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sdm_ray.errors import InputError
from sdm_ray.models.config import SeriesConfig
from sdm_ray.progress import say
from sdm_ray.stores.covariates import Covariates, unknown_at
from sdm_ray.stores.embedding_sources import EmbeddingSource
from sdm_ray.stores.series import Series
from sdm_ray.streams.places import ListedPlaces
from sdm_ray.streams.survey_images import SurveyImages, Wanted, images_of
from sdm_ray.streams.windows import Windows, open_cube
from sdm_ray.training.engine.tower_checks import check_tower
from sdm_ray.training.finetune.config import FinetuneConfig


@dataclass(frozen=True)
class CovariateTable:
    """Covariates of places.

    Attributes:
        names: of the covariates.
        values: float32 (N, C), 0 where unknown.
        known: (N, C).
        mean: over their store, or the surveys whose table has them, (C,).
        std: likewise, (C,).
        embeddings: the precomputed embeddings that some of them are components of.
    """

    names: tuple[str, ...]
    values: np.ndarray
    known: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    embeddings: tuple[EmbeddingSource, ...] = ()

    def last(self, count: int) -> "CovariateTable":
        """The last of the covariates."""
        some = slice(len(self.names) - count, None)
        return CovariateTable(
            self.names[some], self.values[:, some], self.known[:, some], self.mean[some], self.std[some]
        )


def open_covariates(config: FinetuneConfig) -> Covariates | None:
    """The covariates that the model is configured to use, by default all of the store; None where there is no store.

    Raises:
        InputError: the store lacks one.
    """
    if config.covariates is None:
        return None
    store = Covariates(config.path(config.covariates))
    return store.select(config.model.covariates or store.names)


def covariates_at(
    store: Covariates | None, x: np.ndarray, y: np.ndarray, most: float = 1.0, *, partly: bool = True
) -> CovariateTable:
    """The covariates of places at EPSG:3035 metres, (N,) each; none where there is no store.

    Args:
        store: the covariates, reported where they are unknown at some places.
        x: of the places.
        y: likewise.
        most: share of the places at which a covariate may be unknown.
        partly: whether the model uses covariates of places where others are unknown.

    Raises:
        InputError: one is unknown at more, or it does not and nowhere are all known.
    """
    if store is None:
        nothing = np.zeros(0, np.float32)
        return CovariateTable((), np.zeros((len(x), 0), np.float32), np.zeros((len(x), 0), bool), nothing, nothing)
    values, known = store.at(x, y)
    for line in unknown_at(store.path, store.names, known, most):
        say(f"  {line}")
    if not partly and not known.all(axis=1).any():
        raise InputError(
            f"{store.path}: no survey lies where all covariates are known; expected the same region, fewer"
            " `model.covariates` or `model.partial_covariates`"
        )
    embeddings = tuple(store.embeddings)
    return CovariateTable(tuple(store.names), np.ascontiguousarray(values), known, store.mean, store.std, embeddings)


def windows_at(config: FinetuneConfig, lonlat: np.ndarray) -> Windows | None:
    """Windows of the cube around places, WGS84 degrees (N, 2); None where there is no cube.

    Raises:
        InputError: the cube lacks a band or the season, or the tower cannot read its windows.
    """
    if config.cube is None or config.model.satellite is None:
        return None
    path = str(config.path(config.cube.cube))
    bands = config.cube.bands or tuple(open_cube(path).bands)
    windows = Windows(path, bands, ListedPlaces(lonlat), config.cube.size, config.cube.season)
    windows.at(np.arange(0))  # refuses bands and a season that the cube lacks
    check_tower(config.model.satellite, len(bands), config.cube.size, "model.satellite", path)
    return windows


def shards_of(config: FinetuneConfig, wanted: Wanted) -> list[SurveyImages]:
    """The images of surveys in image shards, for each scale that the configuration names.

    Raises:
        InputError: shards hold no image of a scale or none of a survey, or the tower cannot read them.
    """
    found = []
    for scale, each in config.images.items():
        path = config.path(each.shards)
        images = images_of(path, scale, each.size, replace(wanted, within_m=each.within_m))
        images = images.shuffled(config.seed) if each.shuffled else images
        check_tower(config.model.towers[scale], images.shape[0], each.size, f"model.{scale}", str(path))
        if not images.counts.any():
            how = "by their ids; set within_m to" if each.within_m is None else f"within {each.within_m:g} m;"
            raise InputError(
                f"{path}: none of the {len(images.counts)} surveys has an image of scale {scale} {how}"
                " expected images of these places"
            )
        several = int((images.counts > 1).sum())
        say(
            f"  {scale}: images of {int((images.counts > 0).sum())} of {len(images.counts)} surveys"
            + (f", several of {several}" if several else "")
        )
        found.append(images)
    return found


def series_of(config: FinetuneConfig, survey_ids: pd.Series) -> tuple[dict[str, np.ndarray], SeriesConfig | None]:
    """Time series of surveys, held in memory: 2 kB for each survey's Landsat of GeoLifeCLEF, 3.6 kB for its climate.

    Returns:
        By name float32 (N, channels, time...), NaN where nothing was measured; and the encoders with the axes.

    Raises:
        InputError: the store lacks a series, or has none of the surveys.
    """
    if config.series is None or config.model.series is None:
        return {}, None
    path = config.path(config.series)
    store = Series(path)
    names = config.model.series.names or tuple(store.names)
    if missing := [name for name in names if name not in store.names]:
        raise InputError(f"{path}: has no series {missing[0]}; found {', '.join(store.names)}")
    axes = {name: store.axes(name) for name in names}
    for name, each in axes.items():
        if len(each) not in (2, 3):
            raise InputError(f"{path}: {name} has the axes {', '.join(each)}; expected channels and one or two of time")
    values, known = store.at(survey_ids.astype(str).tolist(), names)
    size = sum(each.nbytes for each in values.values()) / 2**20
    counts = ", ".join(f"{name} of {int(each.sum())}" for name, each in known.items())
    say(f"  series: {counts} of {len(survey_ids)} surveys, {size:.0f} MB in memory")
    if not any(each.any() for each in known.values()):
        raise InputError(f"{path}: has none of the {len(survey_ids)} surveys, such as {survey_ids.iloc[0]}")
    return values, config.model.series.model_copy(update={"names": tuple(names), "axes": axes})


def series_statistics(values: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel over what was measured in some rows, (C,) each; 0 and 1 of nothing.

    Args:
        values: (N, channels, time...).
        rows: numbers of the rows.
    """
    found = []
    for channel in range(values.shape[1]):
        part = values[rows, channel]
        part = part[np.isfinite(part)]
        found.append((part.mean(dtype=np.float64), part.std(dtype=np.float64)) if len(part) else (0.0, 1.0))
    mean, std = np.array(found, np.float32).T
    return mean, std
