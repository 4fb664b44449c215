"""A species model for a notebook, and for MLflow: coordinates in, a table of probabilities out."""

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from upath import UPath

from sdm_ray.batch import cut
from sdm_ray.errors import InputError
from sdm_ray.geo.grid import to_xy
from sdm_ray.model_io import LoadedModel, load_species_model
from sdm_ray.model_registry import fetch
from sdm_ray.models.batch import compact, inputs_of, uses_covariates
from sdm_ray.models.config import SpeciesConfig
from sdm_ray.readers import places as read
from sdm_ray.readers.places import Floats
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.series import Series
from sdm_ray.streams.places import ListedPlaces
from sdm_ray.streams.survey_images import SurveyImages, Wanted, images_of
from sdm_ray.streams.windows import Windows

_MLFLOW = ("runs:/", "models:/", "mlflow-artifacts:/")
Place = str | os.PathLike[str] | UPath
"""A path or URL."""


def load_model(place: Place, fold: int | None = None) -> "SpeciesPredictor":
    """A species model from its folder, or from MLflow.

    Args:
        place: folder or URL that `finetune` wrote, or `runs:/…` or `models:/…` on the MLflow server that
            `MLFLOW_TRACKING_URI` names.
        fold: the model of one fold, which never saw that fold's blocks; None for the one of everything.

    Raises:
        InputError: a file is missing, of another version, or is no species model; MLflow does not have it.
    """
    in_mlflow = isinstance(place, str) and place.startswith(_MLFLOW)
    return SpeciesPredictor(load_species_model(fetch(str(place)) if in_mlflow else UPath(place), fold))


@dataclass(frozen=True)
class Given:
    """What places are predicted from; see `SpeciesPredictor.predict`.

    Attributes:
        covariates: a store, or a table with a row for each place.
        cube: the tile cube.
        series: a store of time series.
        shards: image shards, or those of each scale.
        ids: of the surveys, text (N,).
    """

    covariates: Place | pd.DataFrame | None = None
    cube: Place | None = None
    series: Place | None = None
    shards: Place | Mapping[str, Place] | None = None
    ids: pd.Series | None = None


class SpeciesPredictor:
    """A loaded species model.

    Attributes:
        species: names, in the order of the columns that `predict` returns.
        covariates: names of the covariates that it knows how to use; empty where it uses none.
        series: names of the time series that it knows how to use; empty where it uses none.
        probability_kind: what a probability is of: `occurrence`, `recorded` or `relative`.
        region: west, south, east and north of its surveys, EPSG:3035 metres; None where that is not known.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self.species = loaded.species["name"].tolist()
        self.covariates = loaded.config.covariates
        self.series = () if loaded.config.series is None else loaded.config.series.names
        self.probability_kind = loaded.probability_kind
        self.region = loaded.about.region

    def predict(
        self,
        lonlat: ArrayLike | pd.DataFrame,
        covariates: Place | pd.DataFrame | None = None,
        cube: Place | None = None,
        series: Place | None = None,
        shards: Place | Mapping[str, Place] | None = None,
        *,
        force: bool = False,
    ) -> pd.DataFrame:
        """Probability of every species at some places.

        The model predicts without inputs that are not given, or not known at a place. It warns of places far outside
        the region that it was trained in.

        Args:
            lonlat: WGS84 degrees, (N, 2), or a table with columns `lon`, `lat` and, to find time series and the
                surveys' own images by, `survey_id`.
            covariates: a covariate store, or a table of the model's covariates, one row a place; where `lonlat` is a
                table that has them, they are taken from there.
            cube: the tile cube, for a model whose satellite tower was trained on one.
            series: a store of time series, for a model with encoders of them.
            shards: image shards, for a model with towers that were trained on them, or shards for each scale. Of
                several images of a place the first is taken.
            force: whether places far from Europe are predicted too.

        Returns:
            One row a place and one column a species; the index says `lon`, `lat` and what was known there (`inputs`).

        Raises:
            InputError: a coordinate is no place on Earth, or a covariate, a store, a series or the cube is missing;
                rows are counted from 1.
        """
        places, ids = read.places_of(lonlat), None
        read.check_places(places, "lonlat", force=force)
        if isinstance(lonlat, pd.DataFrame):
            if "survey_id" in lonlat and (series is not None or shards is not None):
                ids = read.ids_of(lonlat, "survey_id", "lonlat")
            if covariates is None and read.covariate_columns(list(lonlat.columns), self.covariates):
                covariates = lonlat
        remark = read.outside_region(places, self.region)
        if remark is not None:
            warnings.warn(remark, stacklevel=2)
        parts = list(self.parts(places, Given(covariates, cube, series, shards, ids)))
        found = pd.concat(parts) if parts else self._empty()
        found.attrs["probability_kind"] = self.probability_kind
        return found

    def parts(self, places: Floats, given: Given) -> Iterator[pd.DataFrame]:
        """As `predict`, some places at a time: tables of many places and species may be larger than memory.

        Args:
            places: degrees, (N, 2), checked.
            given: what they are predicted from.
        """
        stop = 0
        for batch in self._batches(places, given):
            start, stop = stop, stop + len(batch["lonlat"])
            with torch.inference_mode():
                probabilities = self._loaded.model.probabilities(batch).numpy()
            yield pd.DataFrame(
                probabilities, _index(places[start:stop], _named(self._loaded.config, batch)), self.species
            )

    def _empty(self) -> pd.DataFrame:
        return pd.DataFrame(np.empty((0, len(self.species)), np.float32), _index(np.empty((0, 2)), []), self.species)

    def _batches(self, places: Floats, given: Given) -> Iterator[dict[str, torch.Tensor]]:
        about = self._loaded.about
        values, known = self._covariates(places, given.covariates)
        windows = None if given.cube is None else self._windows(places, given.cube)
        series = {} if given.series is None else self._series(given.ids, given.series)
        images = [] if given.shards is None else self._images(places, given.ids, given.shards)
        for rows in cut(len(places), sum(each.row_bytes for each in images)):
            seen = None if windows is None else windows.read(rows)
            measured = {name: each[rows] for name, each in series.items()}
            batch = inputs_of(about.config, places[rows], values[rows], known[rows], seen, measured)
            for each in images:
                found = compact(each.read(rows, np.zeros_like(rows)))
                batch |= {name: torch.from_numpy(part) for name, part in found.items()}
            yield batch

    def _windows(self, places: Floats, path: Place) -> Windows:
        """Windows of the cube around places."""
        about = self._loaded.about
        if about.satellite is None:
            found = "no satellite tower" if about.config.satellite is None else "one that was trained on image shards"
            raise InputError(f"{path}: expected a model whose satellite tower was trained on a cube, found {found}")
        return Windows(
            str(path), about.satellite.bands, ListedPlaces(places), about.satellite.size, about.satellite.season
        )

    def _images(self, places: Floats, ids: pd.Series | None, given: Place | Mapping[str, Place]) -> list[SurveyImages]:
        """The images of places, of each scale that the model has a tower for image shards of."""
        towers = self._loaded.about.photos
        shards = given if isinstance(given, Mapping) else dict.fromkeys(towers, given)
        if not shards or not set(shards) <= set(towers):
            raise InputError(f"shards: the model looks at images of {', '.join(towers) or 'no scale'} in image shards")
        wanted = Wanted(ids, places, presence_only=self.probability_kind == "relative")
        return [
            images_of(UPath(path), scale, towers[scale].size, replace(wanted, within_m=towers[scale].within_m))
            for scale, path in shards.items()
        ]

    def _series(self, ids: pd.Series | None, path: Place) -> dict[str, np.ndarray]:
        """The model's series of some surveys, (N, channels, time...) each, NaN where nothing was measured."""
        encoders = self._loaded.config.series
        if encoders is None:
            raise InputError(f"{path}: the model has no encoder of time series")
        if ids is None:
            raise InputError(f"lonlat: has no survey_id; expected a table that has it, by which {path} is read")
        store = Series(UPath(path))
        read.require_columns(list(encoders.axes), store.names, str(path))
        for name, axes in encoders.axes.items():
            if store.axes(name) != axes:
                raise InputError(f"{path}: {name} has other axes than the series that the model was trained with")
        return store.at(ids.tolist(), list(encoders.axes))[0]

    def _covariates(self, places: Floats, given: Place | pd.DataFrame | None) -> tuple[np.ndarray, np.ndarray]:
        """Values (N, C), 0 where they are not known, and which are (N, C)."""
        names = list(self.covariates)
        if given is None or not names:
            return np.zeros((len(places), len(names)), np.float32), np.zeros((len(places), len(names)), bool)
        if isinstance(given, pd.DataFrame):
            if len(given) != len(places):
                raise InputError(f"covariates: {len(given)} rows for {len(places)} places")
            return read.covariates_of(given, names, "covariates", partly=self._loaded.config.partial_covariates)
        trained_on = self._loaded.about.embeddings
        return Covariates(UPath(given)).select(names, trained_on=trained_on).at(*to_xy(places[:, 0], places[:, 1]))


class Served:
    """The model as MLflow's pyfunc: a table with `lon`, `lat` and, where they are known, the covariates."""

    def __init__(self, predictor: SpeciesPredictor) -> None:
        self._predictor = predictor

    def predict(self, places: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """One column a species; covariates that a table lacks are taken as not known."""
        names = list(self._predictor.covariates)
        wanted = read.with_classes(places, names).reindex(columns=["lon", "lat", *names])
        return self._predictor.predict(wanted).reset_index(drop=True)


def _load_pyfunc(path: str) -> Served:
    """What MLflow calls to load the model."""
    return Served(load_model(path))


def _index(places: Floats, inputs: list[str]) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([places[:, 0], places[:, 1], inputs], names=["lon", "lat", "inputs"])


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
