"""A species model for a notebook, and for MLflow: coordinates in, a table of probabilities out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from upath import UPath

from sdm_ray import tracking
from sdm_ray.batch import cut
from sdm_ray.errors import InputError
from sdm_ray.geo.grid import to_xy
from sdm_ray.model_io import LoadedModel, load_species_model
from sdm_ray.models.batch import compact, inputs_of, uses_covariates
from sdm_ray.models.config import SpeciesConfig
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.series import Series
from sdm_ray.streams.survey_images import SurveyImages, Wanted, images_of
from sdm_ray.streams.windows import Windows

_MLFLOW = ("runs:/", "models:/", "mlflow-artifacts:/")


def load_model(place: str, fold: int | None = None) -> "SpeciesPredictor":
    """A species model from its folder, or from MLflow.

    Args:
        place: folder or URL that `finetune` wrote, or `runs:/…` or `models:/…` on the MLflow server that
            `MLFLOW_TRACKING_URI` names.
        fold: the model of one fold, which never saw that fold's blocks; None for the one of everything.

    Raises:
        InputError: a file is missing, of another version, or is no species model; MLflow does not have it.
    """
    return SpeciesPredictor(
        load_species_model(tracking.fetch(place) if place.startswith(_MLFLOW) else UPath(place), fold)
    )


class SpeciesPredictor:
    """A loaded species model.

    Attributes:
        species: names, in the order of the columns that `predict` returns.
        covariates: names of the covariates that it knows how to use; empty where it uses none.
        series: names of the time series that it knows how to use; empty where it uses none.
        probability_kind: what a probability is of: `occurrence`, `recorded` or `relative`.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self.species = loaded.species["name"].tolist()
        self.covariates = loaded.config.covariates
        self.series = () if loaded.config.series is None else loaded.config.series.names
        self.probability_kind = loaded.probability_kind

    def predict(
        self,
        lonlat: ArrayLike | pd.DataFrame,
        covariates: str | pd.DataFrame | None = None,
        cube: str | None = None,
        series: str | None = None,
        shards: str | Mapping[str, str] | None = None,
    ) -> pd.DataFrame:
        """Probability of every species at some places.

        What is not given, or not known at a place, the model does without.

        Args:
            lonlat: WGS84 degrees, (N, 2), or a table with columns `lon`, `lat` and, to find time series and the
                surveys' own images by, `survey_id`.
            covariates: a covariate store, or a table of the model's covariates, one row a place; where `lonlat` is a
                table that has them, they are taken from there.
            cube: the tile cube, for a model with a satellite tower.
            series: a store of time series, for a model with encoders of them.
            shards: image shards, for a model with towers for them, or shards for each scale. Of several images of a
                place the first is taken.

        Returns:
            One row a place and one column a species; the index says `lon`, `lat` and what was known there (`inputs`).

        Raises:
            InputError: a coordinate is no place on Earth, or a covariate, a store, a series or the cube is missing.
        """
        places = _places(lonlat)
        ids = lonlat["survey_id"].astype(str) if isinstance(lonlat, pd.DataFrame) and "survey_id" in lonlat else None
        if covariates is None and isinstance(lonlat, pd.DataFrame) and _given_in(lonlat, self.covariates):
            covariates = lonlat
        given = _Given(covariates, cube, series, shards, ids)
        parts, inputs = [], []
        for batch in self._batches(places, given):
            with torch.inference_mode():
                parts.append(self._loaded.model.probabilities(batch).numpy())
            inputs += _named(self._loaded.config, batch)
        found = np.concatenate(parts) if parts else np.empty((0, len(self.species)), np.float32)
        index = pd.MultiIndex.from_arrays([places[:, 0], places[:, 1], inputs], names=["lon", "lat", "inputs"])
        table = pd.DataFrame(found, index, self.species)
        table.attrs["probability_kind"] = self.probability_kind
        return table

    def _batches(self, places: np.ndarray, given: "_Given") -> Iterator[dict[str, torch.Tensor]]:
        about = self._loaded.about
        values, known = self._covariates(places, given.covariates)
        windows = None
        if given.cube is not None:
            if about.satellite is None:
                raise InputError(f"{given.cube}: the model has no satellite tower to look at a cube with")
            windows = Windows(given.cube, about.satellite.bands, places, about.satellite.size, about.satellite.season)
        series = {} if given.series is None else self._series(given.ids, given.series)
        images = [] if given.shards is None else self._images(places, given.ids, given.shards)
        for rows in cut(len(places), sum(each.row_bytes for each in images)):
            seen = None if windows is None else windows.read(rows)
            measured = {name: each[rows] for name, each in series.items()}
            batch = inputs_of(about.config, places[rows], values[rows], known[rows], seen, measured)
            for each in images:
                found = {name: torch.from_numpy(part) for name, part in each.read(rows, np.zeros_like(rows)).items()}
                batch |= compact(found)
            yield batch

    def _images(self, places: np.ndarray, ids: pd.Series | None, given: str | Mapping[str, str]) -> list[SurveyImages]:
        """The images of places, of each scale that the model has a tower for image shards of."""
        towers = self._loaded.about.photos
        shards = dict.fromkeys(towers, given) if isinstance(given, str) else given
        if not shards or not set(shards) <= set(towers):
            raise InputError(f"shards: the model looks at images of {', '.join(towers) or 'no scale'} out of shards")
        wanted = Wanted(ids, places, presence_only=self.probability_kind == "relative")
        return [
            images_of(UPath(path), scale, towers[scale].size, replace(wanted, within_m=towers[scale].within_m))
            for scale, path in shards.items()
        ]

    def _series(self, ids: pd.Series | None, path: str) -> dict[str, np.ndarray]:
        """The model's series of some surveys, (N, channels, time...) each, NaN where nothing was measured."""
        encoders = self._loaded.config.series
        if encoders is None:
            raise InputError(f"{path}: the model has no encoder of time series")
        if ids is None:
            raise InputError(f"lonlat: has no survey_id; expected a table that has it, by which {path} is read")
        store = Series(UPath(path))
        _require(list(encoders.axes), store.names, path)
        for name, axes in encoders.axes.items():
            if store.axes(name) != axes:
                raise InputError(f"{path}: {name} has other axes than the series that the model was trained with")
        return store.at(ids.tolist(), list(encoders.axes))[0]

    def _covariates(self, places: np.ndarray, given: str | pd.DataFrame | None) -> tuple[np.ndarray, np.ndarray]:
        """Values (N, C), 0 where they are not known, and which are (N, C)."""
        names = list(self.covariates)
        if given is None:
            return np.zeros((len(places), len(names)), np.float32), np.zeros((len(places), len(names)), bool)
        if isinstance(given, pd.DataFrame):
            given = _with_classes(given, names)
            _require(names, list(given.columns), "covariates")
            if len(given) != len(places):
                raise InputError(f"covariates: {len(given)} rows for {len(places)} places")
            values = given[names].to_numpy(np.float32)
            known = np.isfinite(values)
            return np.where(known, values, np.float32(0)), known
        return Covariates(UPath(given)).select(names).at(*to_xy(places[:, 0], places[:, 1]))


@dataclass(frozen=True)
class _Given:
    """What places are predicted from, as `SpeciesPredictor.predict` takes it."""

    covariates: str | pd.DataFrame | None
    cube: str | None
    series: str | None
    shards: str | Mapping[str, str] | None
    ids: pd.Series | None


class Served:
    """The model as MLflow's pyfunc: a table with `lon`, `lat` and, where they are known, the covariates."""

    def __init__(self, predictor: SpeciesPredictor) -> None:
        self._predictor = predictor

    def predict(self, places: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """One column a species; covariates that a table lacks are taken as not known."""
        names = list(self._predictor.covariates)
        wanted = _with_classes(places, names).reindex(columns=["lon", "lat", *names])
        return self._predictor.predict(wanted).reset_index(drop=True)


def _load_pyfunc(path: str) -> Served:
    """What MLflow calls to load the model."""
    return Served(load_model(path))


def _places(lonlat: ArrayLike | pd.DataFrame) -> np.ndarray:
    if isinstance(lonlat, pd.DataFrame):
        _require(["lon", "lat"], list(lonlat.columns), "lonlat")
        lonlat = lonlat[["lon", "lat"]]
    places = np.asarray(lonlat, np.float64)
    if places.ndim == 1 and len(places) == 2:
        places = places[None]
    if places.ndim != 2 or places.shape[1] != 2:
        raise InputError(f"lonlat: expected longitude and latitude in two columns, found the shape {places.shape}")
    wrong = np.flatnonzero(~((np.abs(places[:, 0]) <= 180) & (np.abs(places[:, 1]) <= 90)))
    if len(wrong):
        lon, lat = places[wrong[0]]
        raise InputError(f"lonlat: row {wrong[0]} is ({lon}, {lat}); expected degrees, longitude first")
    return places


def _given_in(table: pd.DataFrame, names: Sequence[str]) -> bool:
    """Whether a table has any of some covariates, or the codes of their classes."""
    return bool({*names, *(name.rpartition("=")[0] for name in names)} & set(table.columns))


def _with_classes(given: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """A table with the share of each class, `cover=5`, where it has a column of their codes, `cover`."""
    made = {}
    for name in names:
        column, _, code = name.rpartition("=")
        if name not in given and column in given:
            codes = given[column].to_numpy(np.float64)
            made[name] = np.where(np.isfinite(codes), codes == float(code), np.nan)
    return given.assign(**made)


def _require(wanted: list[str], found: list[str], where: str) -> None:
    missing = [name for name in wanted if name not in found]
    if missing:
        raise InputError(f"{where}: has no {missing[0]}; found {', '.join(map(str, found[:8]))}")


def _named(config: SpeciesConfig, batch: dict[str, torch.Tensor]) -> list[str]:
    """What is known of each row, in words."""
    count = len(batch["lonlat"])
    words = [np.full(count, "location", object)]
    for name in batch:
        if name.startswith("has_"):
            word = name.removeprefix("has_").removeprefix("series_")
            has = batch[name].numpy()
            words.append(np.where(uses_covariates(config, has) if word == "covariates" else has, f" {word}", ""))
    return list(np.sum(words, axis=0))
