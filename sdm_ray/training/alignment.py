"""What is known of places as training data: pairs of coordinates and images, covariates or sets of species."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sdm_ray.errors import InputError
from sdm_ray.folders import Imagery
from sdm_ray.geo.grid import to_lonlat, to_xy
from sdm_ray.models.align import COVARIATES, DENSE, SPECIES
from sdm_ray.progress import say
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.shards import Shards
from sdm_ray.stores.surveys import labels_of, read_surveys
from sdm_ray.streams.cells import CellFetch, SetFetch
from sdm_ray.streams.cubes import WindowFetch, places
from sdm_ray.streams.photos import PhotoFetch
from sdm_ray.streams.windows import Windows, open_cube
from sdm_ray.training.config import PretrainConfig, ScaleConfig
from sdm_ray.training.towers import check_tower


@dataclass(frozen=True)
class Columns:
    """Numbers of places: their names, and mean and standard deviation over their store, (C,)."""

    names: tuple[str, ...]
    mean: np.ndarray
    std: np.ndarray

    @property
    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation as tensors."""
        return torch.from_numpy(self.mean), torch.from_numpy(self.std)


@dataclass(frozen=True)
class Source:
    """The pairs of one modality.

    Attributes:
        fetch: batches of pairs; has `only(rows, plain=...)`.
        x: EPSG:3035 metres, (n,).
        y: EPSG:3035 metres, (n,).
        images: what the images are, of a scale.
        columns: what the numbers are, of covariates.
        species: how many there are, of sets of species.
    """

    fetch: Any
    x: np.ndarray
    y: np.ndarray
    images: Imagery | None = None
    columns: Columns | None = None
    species: int = 0


def read_sources(config: PretrainConfig) -> dict[str, Source]:
    """Open and check all that pretraining needs, before anything is started.

    Raises:
        InputError: shards, a cube, covariates or surveys cannot be used.
    """
    sources: dict[str, Source] = {scale: _images(config, scale, each) for scale, each in config.scales.items()}
    if config.covariates is not None:
        name = COVARIATES if config.covariates_as == "contrast" else DENSE
        sources[name] = _cells(config, config.covariates, name)
    if config.surveys is not None:
        sources[SPECIES] = _sets(config, config.surveys)
    for name, source in sources.items():
        say(f"  {name}: {len(source.x)} pairs")
    return sources


def _cells(config: PretrainConfig, path: str, name: str) -> Source:
    store = Covariates(config.path(path))
    xx, yy = np.meshgrid(store.grid.x, store.grid.y)
    values, known = store.at(xx.ravel(), yy.ravel())
    x, y = xx.ravel()[known], yy.ravel()[known]
    lonlat = np.stack(to_lonlat(x, y), axis=1)
    fetch = CellFetch(name, lonlat, values[known], np.flatnonzero(known))
    return Source(fetch, x, y, columns=Columns(tuple(store.names), store.mean, store.std))


def _sets(config: PretrainConfig, path: str) -> Source:
    surveys, species = read_surveys(config.path(path))
    lonlat = surveys[["lon", "lat"]].to_numpy(np.float64)
    fetch = SetFetch(np.arange(len(surveys)), lonlat, labels_of(surveys, species))
    return Source(fetch, *to_xy(lonlat[:, 0], lonlat[:, 1]), species=len(species))


def _images(config: PretrainConfig, scale: str, each: ScaleConfig) -> Source:
    if each.shards is not None:
        shards = Shards(config.path(each.shards))
        rows = shards.of_scale(scale)
        index = shards.index.iloc[rows]
        lonlat = index[["lon", "lat"]].to_numpy(np.float64)
        path = str(config.path(each.shards))
        place = index["place_id"].to_numpy(np.int64)
        fetch: Any = PhotoFetch(path, rows, lonlat, place, each.size, each.augment, config.seed)
        bands: tuple[str, ...] = ()
    else:
        assert each.cube is not None
        path = str(config.path(each.cube))
        cube = open_cube(path)
        bands = each.bands or tuple(cube.bands)
        lonlat = places(cube.grid, each.stride_m)
        windows = Windows(path, bands, lonlat, each.size, each.season)
        fetch = WindowFetch(windows, np.arange(len(lonlat)), each.augment != "none", config.seed)
    if len(lonlat) == 0:
        raise InputError(f"scales.{scale}.stride_m: {path} holds no place {each.stride_m:g} m apart; expected less")
    found = fetch(np.array([0]), np.array([0]))["image"].shape[1]
    check_tower(each.tower, found, each.size, f"scales.{scale}.tower", path)
    return Source(fetch, *to_xy(lonlat[:, 0], lonlat[:, 1]), images=Imagery(bands, each.size, each.season))
