"""Training data: pairs of coordinates with images, covariates or sets of species."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Blocks, role, role_on_grid
from sdm_ray.geo.grid import Extent, to_lonlat, to_xy
from sdm_ray.model_io import Imagery
from sdm_ray.models.contrastive_model import COVARIATES, DENSE, SPECIES
from sdm_ray.models.geoclip import Capsules
from sdm_ray.progress import say
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.cube import Cube
from sdm_ray.stores.surveys import labels_of, read_surveys
from sdm_ray.streams.cross_scale_pairs import PairDataset, pairs_by_place, pairs_within
from sdm_ray.streams.dataset import Dataset
from sdm_ray.streams.image_dataset import photos_of
from sdm_ray.streams.place_grid import PlaceGrid
from sdm_ray.streams.tabular_datasets import CellDataset, SpeciesSetDataset
from sdm_ray.streams.window_dataset import WindowDataset
from sdm_ray.streams.windows import Windows, open_cube
from sdm_ray.training.engine.tower_checks import check_tower
from sdm_ray.training.pretrain.config import CrossScaleConfig, PretrainConfig, ScaleConfig

_TEACHER_ROWS = 4096


@dataclass(frozen=True)
class Columns:
    """Columns of values of places: names where they have any, mean and standard deviation over all places, (C,)."""

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
        dataset: batches of pairs.
        points: EPSG:3035 metres, (n, 2); or the grid of the dataset's windows, of which there may be very many.
        other_xy: of the second image where there are two, EPSG:3035 metres, (n, 2).
        place: place id of each image of shards, (n,).
        images: bands and size of a scale's images.
        columns: names and statistics of covariates and dense values.
        species: number of species, of sets of species.
    """

    dataset: Dataset
    points: np.ndarray | PlaceGrid
    other_xy: np.ndarray | None = None
    place: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    images: Imagery | None = None
    columns: Columns | None = None
    species: int = 0

    def __len__(self) -> int:
        return len(self.points)

    def xy(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Places of some of the pairs, or of all, EPSG:3035 metres, (N, 2)."""
        if isinstance(self.points, PlaceGrid):
            return np.column_stack(self.points.xy(np.arange(len(self)) if rows is None else rows))
        return self.points if rows is None else self.points[rows]

    @property
    def extent(self) -> Extent:
        """Of all places, EPSG:3035 metres."""
        if isinstance(self.points, PlaceGrid):
            return self.points.extent
        (west, south), (east, north) = self.points.min(axis=0), self.points.max(axis=0)
        return float(west), float(south), float(east), float(north)

    def where(self, used: Callable[[np.ndarray], np.ndarray], blocks: Blocks, held_out: int) -> "Source":
        """The pairs whose place, or both places, lie where they are used.

        Args:
            used: codes of `Role` -> whether places of this role are used, of the same shape.
            blocks: how places are held out.
            held_out: the fold held out.
        """
        if isinstance(self.points, PlaceGrid):
            assert isinstance(self.dataset, WindowDataset)
            points = self.points.only(lambda x, y: used(role_on_grid(x, y, blocks, held_out)))
            return replace(self, dataset=self.dataset.at(points), points=points)
        chosen = used(role(self.points[:, 0], self.points[:, 1], blocks, held_out))
        if self.other_xy is not None:
            chosen = chosen & used(role(self.other_xy[:, 0], self.other_xy[:, 1], blocks, held_out))
        return self.subset(np.flatnonzero(chosen))

    def subset(self, rows: np.ndarray, *, plain: bool = False) -> "Source":
        """Some of the pairs; `plain` without augmentation."""
        other_xy = None if self.other_xy is None else self.other_xy[rows]
        place = self.place[rows] if len(self.place) else self.place
        return replace(
            self, dataset=self.dataset.subset(rows, plain=plain), points=self.xy(rows), other_xy=other_xy, place=place
        )


def read_sources(config: PretrainConfig) -> dict[str, Source]:
    """Open and check all inputs of pretraining, before training starts.

    Raises:
        InputError: shards, a cube, covariates or surveys cannot be used.
    """
    sources: dict[str, Source] = {scale: _images(config, scale, each) for scale, each in config.scales.items()}
    if config.covariates is not None:
        sources |= _cells(config, config.covariates)
    if config.surveys is not None:
        sources[SPECIES] = _sets(config, config.surveys)
    for pair in config.cross_scale_pairs:
        sources[pair.name] = _pairs(pair, {scale: sources[scale] for scale in pair.scales})
    for name, source in sources.items():
        say(f"  {name}: {len(source)} pairs")
    return sources


def _cells(config: PretrainConfig, path: str) -> dict[str, Source]:
    """Covariates of all cells, matched or regressed, and features of a teacher there."""
    store = Covariates(config.path(path))
    xx, yy = np.meshgrid(store.grid.x, store.grid.y)
    values, each_known = store.at(xx.ravel(), yy.ravel())
    known = each_known.all(axis=1)
    xy, values = np.column_stack([xx.ravel()[known], yy.ravel()[known]]), values[known]
    lonlat = np.stack(to_lonlat(*xy.T), axis=1)
    place = np.flatnonzero(known)
    columns = Columns(tuple(store.names), store.mean, store.std)
    found = {}
    if config.covariates_as == "contrast":
        found[COVARIATES] = Source(CellDataset(COVARIATES, lonlat, values, place), xy, columns=columns)
    regressed = [(values, columns)] if config.covariates_as == "regression" else []
    if config.teacher is not None:
        regressed.append(_teacher_features(config.teacher, lonlat))
    if regressed:
        every = np.concatenate([each for each, _ in regressed], axis=1)
        joined = (np.concatenate([getattr(each, part) for _, each in regressed]) for part in ("mean", "std"))
        found[DENSE] = Source(CellDataset(DENSE, lonlat, every, place), xy, columns=Columns((), *joined))
    return found


def _teacher_features(weights: str, lonlat: np.ndarray) -> tuple[np.ndarray, Columns]:
    """Features of places by a published location encoder, (n, 512), and their statistics."""
    teacher = Capsules(weights).eval()
    with torch.inference_mode():
        parts = [teacher(part).numpy() for part in torch.from_numpy(lonlat).split(_TEACHER_ROWS)]
    values = np.concatenate(parts)
    return values, Columns((), values.mean(axis=0), values.std(axis=0))


def _sets(config: PretrainConfig, path: str) -> Source:
    surveys, species = read_surveys(config.path(path))
    lonlat = surveys[["lon", "lat"]].to_numpy(np.float64)
    dataset = SpeciesSetDataset(np.arange(len(surveys)), lonlat, labels_of(surveys, species))
    return Source(dataset, np.column_stack(to_xy(*lonlat.T)), species=len(species))


def _pairs(pair: CrossScaleConfig, sources: dict[str, Source]) -> Source:
    """The images of two scales that show one place."""
    datasets = {scale: source.dataset for scale, source in sources.items()}
    first, second = (source.xy() for source in sources.values())
    if pair.radius_m > 0:
        ids, place = pairs_within(first, second, pair.radius_m)
        found = f"images less than {pair.radius_m:g} m apart"
    else:
        ids, place = pairs_by_place(*(source.place for source in sources.values()))
        found = "images with one place_id"
    if len(ids) == 0:
        raise InputError(f"cross_scale_pairs: {pair.scales[0]} and {pair.scales[1]} have no {found}")
    return Source(PairDataset(datasets, ids, place), first[ids[:, 0]], second[ids[:, 1]])


def _images(config: PretrainConfig, scale: str, each: ScaleConfig) -> Source:
    place = np.zeros(0, np.int64)
    bands: tuple[str, ...] = ()
    points: np.ndarray | PlaceGrid
    if each.shards is not None:
        shards = config.path(each.shards)
        photos = photos_of(shards, scale, each.size, each.augment, config.seed, times=config.location.time)
        dataset: Dataset = photos
        path, points, place = str(shards), np.column_stack(to_xy(*photos.lonlat.T)), photos.place
    else:
        assert each.cube is not None
        path = str(config.path(each.cube))
        cube = open_cube(path)
        bands = each.bands or tuple(cube.bands)
        points = _with_data(cube, PlaceGrid.over(cube.grid, each.stride_m), each.season)
        windows = Windows(path, bands, points, each.size, each.season)
        dataset = WindowDataset(windows, each.augment != "none", config.seed)
    if len(points) == 0:
        known = f"{path} holds no place with data among those {each.stride_m:g} m apart"
        raise InputError(f"scales.{scale}.stride_m: {known}; expected less")
    found = dataset.read(np.array([0]), np.array([0]))[f"image_{scale}"].shape[1]
    check_tower(each.tower, found, each.size, f"scales.{scale}.tower", path)
    return Source(dataset, points, place=place, images=Imagery(bands, each.size, each.season))


def _with_data(cube: Cube, places: PlaceGrid, season: str | None) -> PlaceGrid:
    """The places with a valid scene at their own pixel, which sea and clouds lack."""
    time = cube.time(season)

    def seen(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        rows, cols = cube.grid.cell(*(each.ravel() for each in np.meshgrid(x, y)))
        return (cube.valid_at(rows, cols, time) > 0).reshape(len(y), len(x))

    found = places.only(seen)
    if len(found) < len(places):
        say(f"  {cube.path}: {len(places) - len(found)} of {len(places)} places have no data and are left out")
    return found
