"""A species model for a notebook, and for MLflow: coordinates in, a table of probabilities out."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from upath import UPath

from sdm_ray import tracking
from sdm_ray.errors import InputError
from sdm_ray.folders import LoadedModel, load_species_model
from sdm_ray.geo.grid import to_xy
from sdm_ray.models.species import inputs_of
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.series import Series
from sdm_ray.streams.windows import Windows

_ROWS = 1024  # predicted at once
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
    ) -> pd.DataFrame:
        """Probability of every species at some places.

        What is not given, or not known at a place, the model does without.

        Args:
            lonlat: WGS84 degrees, (N, 2), or a table with columns `lon`, `lat` and, to find time series by,
                `survey_id`.
            covariates: a covariate store, or a table of the model's covariates, one row a place; where `lonlat` is a
                table that has them, they are taken from there.
            cube: the tile cube, for a model with a satellite tower.
            series: a store of time series, for a model with encoders of them.

        Returns:
            One row a place and one column a species; the index says `lon`, `lat` and what was known there (`inputs`).

        Raises:
            InputError: a coordinate is no place on Earth, or a covariate, a store, a series or the cube is missing.
        """
        places = _places(lonlat)
        measured = {} if series is None else self._series(lonlat, series)
        if covariates is None and isinstance(lonlat, pd.DataFrame) and set(self.covariates) & set(lonlat.columns):
            covariates = lonlat
        parts, inputs = [], []
        for batch in self._batches(places, covariates, cube, measured):
            with torch.inference_mode():
                parts.append(self._loaded.model.probabilities(batch).numpy())
            inputs += _named(batch)
        found = np.concatenate(parts) if parts else np.empty((0, len(self.species)), np.float32)
        index = pd.MultiIndex.from_arrays([places[:, 0], places[:, 1], inputs], names=["lon", "lat", "inputs"])
        table = pd.DataFrame(found, index, self.species)
        table.attrs["probability_kind"] = self.probability_kind
        return table

    def _batches(
        self,
        places: np.ndarray,
        covariates: str | pd.DataFrame | None,
        cube: str | None,
        series: dict[str, np.ndarray],
    ) -> Iterator[dict[str, torch.Tensor]]:
        about = self._loaded.about
        values, known = self._covariates(places, covariates)
        images = None
        if cube is not None:
            if about.satellite is None:
                raise InputError(f"{cube}: the model has no satellite tower to look at a cube with")
            images = Windows(cube, about.satellite.bands, places, about.satellite.size, about.satellite.season)
        for start in range(0, len(places), _ROWS):
            rows = np.arange(start, min(start + _ROWS, len(places)))
            seen = None if images is None else images.read(rows)
            measured = {name: each[rows] for name, each in series.items()}
            yield inputs_of(about.config, places[rows], values[rows], known[rows], seen, measured)

    def _series(self, given: ArrayLike | pd.DataFrame, path: str) -> dict[str, np.ndarray]:
        """The model's series of some surveys, (N, channels, time...) each, NaN where nothing was measured."""
        encoders = self._loaded.config.series
        if encoders is None:
            raise InputError(f"{path}: the model has no encoder of time series")
        if not isinstance(given, pd.DataFrame) or "survey_id" not in given:
            raise InputError(f"lonlat: has no survey_id; expected a table that has it, by which {path} is read")
        store = Series(UPath(path))
        _require(list(encoders.axes), store.names, path)
        for name, axes in encoders.axes.items():
            if store.axes(name) != axes:
                raise InputError(f"{path}: {name} has other axes than the series that the model was trained with")
        return store.at(given["survey_id"].astype(str).tolist(), list(encoders.axes))[0]

    def _covariates(self, places: np.ndarray, given: str | pd.DataFrame | None) -> tuple[np.ndarray, np.ndarray]:
        """Values (N, C), 0 where they are not known, and whether they are (N,)."""
        names = list(self.covariates)
        if given is None:
            return np.zeros((len(places), len(names)), np.float32), np.zeros(len(places), bool)
        if isinstance(given, pd.DataFrame):
            _require(names, list(given.columns), "covariates")
            if len(given) != len(places):
                raise InputError(f"covariates: {len(given)} rows for {len(places)} places")
            values = given[names].to_numpy(np.float32)
            known = np.isfinite(values).all(axis=1)
            return np.where(known[:, None], values, np.float32(0)), known
        store = Covariates(UPath(given))
        _require(names, store.names, given)
        values, known = store.at(*to_xy(places[:, 0], places[:, 1]))
        return values[:, [store.names.index(name) for name in names]], known


class Served:
    """The model as MLflow's pyfunc: a table with `lon`, `lat` and, where they are known, the covariates."""

    def __init__(self, predictor: SpeciesPredictor) -> None:
        self._predictor = predictor

    def predict(self, places: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """One column a species; covariates that a table lacks are taken as not known."""
        wanted = places.reindex(columns=["lon", "lat", *self._predictor.covariates])
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


def _require(wanted: list[str], found: list[str], where: str) -> None:
    missing = [name for name in wanted if name not in found]
    if missing:
        raise InputError(f"{where}: has no {missing[0]}; found {', '.join(map(str, found[:8]))}")


def _named(batch: dict[str, torch.Tensor]) -> list[str]:
    """What is known of each row, in words."""
    count = len(batch["lonlat"])
    words = [np.full(count, "location", object)]
    for name in batch:
        if name.startswith("has_"):
            word = name.removeprefix("has_").removeprefix("series_")
            words.append(np.where(batch[name].numpy(), f" {word}", ""))
    return list(np.sum(words, axis=0))
