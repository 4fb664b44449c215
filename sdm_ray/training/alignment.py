"""Imagery of every scale as training data, the loss that aligns them with coordinates, and how it is measured."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import to_lonlat, to_xy
from sdm_ray.models.align import COVARIATES, AlignmentModel
from sdm_ray.models.losses import Workers, info_nce
from sdm_ray.progress import say
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.shards import Shards
from sdm_ray.streams.cells import CellFetch
from sdm_ray.streams.cubes import WindowFetch, places
from sdm_ray.streams.photos import PhotoFetch
from sdm_ray.streams.windows import Windows, open_cube
from sdm_ray.training.config import PretrainConfig, ScaleConfig
from sdm_ray.training.folders import Imagery
from sdm_ray.training.loop import Batches, tensors
from sdm_ray.training.ranks import Ranks
from sdm_ray.training.towers import check_tower

_EMBED_ROWS = 256


@dataclass(frozen=True)
class Source:
    """The pairs of one modality.

    Attributes:
        fetch: batches of pairs; has `only(rows, plain=...)`.
        x: EPSG:3035 metres, (n,).
        y: EPSG:3035 metres, (n,).
        images: what the images are; None for covariates.
    """

    fetch: Any
    x: np.ndarray
    y: np.ndarray
    images: Imagery | None = None


@dataclass(frozen=True)
class Statistics:
    """Covariates by name, with their mean and standard deviation over the store, (C,)."""

    names: tuple[str, ...] = ()
    mean: np.ndarray | None = None
    std: np.ndarray | None = None


def read_sources(config: PretrainConfig) -> tuple[dict[str, Source], Statistics]:
    """Open and check all that pretraining needs, before anything is started.

    Raises:
        InputError: shards, a cube or covariates cannot be used.
    """
    sources: dict[str, Source] = {scale: _images(config, scale, each) for scale, each in config.scales.items()}
    statistics = Statistics()
    if config.covariates is not None:
        store = Covariates(config.path(config.covariates))
        xx, yy = np.meshgrid(store.grid.x, store.grid.y)
        values, known = store.at(xx.ravel(), yy.ravel())
        x, y = xx.ravel()[known], yy.ravel()[known]
        lonlat = np.stack(to_lonlat(x, y), axis=1)
        sources[COVARIATES] = Source(CellFetch(lonlat, values[known], np.flatnonzero(known)), x, y)
        statistics = Statistics(tuple(store.names), store.mean, store.std)
    for name, source in sources.items():
        say(f"  {name}: {len(source.x)} pairs")
    return sources, statistics


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
    return Source(fetch, *to_xy(lonlat[:, 0], lonlat[:, 1]), Imagery(bands, each.size, each.season))


class AlignmentLoss(nn.Module):
    """Weighted mean of the scales' InfoNCE over the pairs of all ranks (see `loop.Fit`)."""

    def __init__(self, model: AlignmentModel, weights: dict[str, float]) -> None:
        super().__init__()
        self.model = model
        self.weights = weights

    def forward(self, batches: Batches, ranks: Ranks) -> Tensor:
        """The loss; its gradients are scaled for the mean over ranks."""
        workers = Workers(ranks.rank, ranks.world)
        total = torch.zeros((), device=ranks.device)
        for name, pairs in self.model(merge(batches)).items():
            loss = info_nce(pairs.other, pairs.location, pairs.logit_scale, pairs.place, workers=workers)
            total = total + self.weights.get(name, 1.0) * loss
        return total / sum(self.weights.values())


def merge(batches: Batches) -> dict[str, Tensor]:
    """One batch of DESIGN.md from the batches of the modalities, whose places lie one after the other."""
    sizes = {name: len(batch["lonlat"]) for name, batch in batches.items()}
    owner = torch.cat([torch.full((size,), i) for i, size in enumerate(sizes.values())])
    first = next(iter(batches.values()))["lonlat"]
    merged = {key: torch.cat([batch[key] for batch in batches.values()]) for key in ("lonlat", "place")}
    for i, (name, batch) in enumerate(batches.items()):
        has = (owner == i).to(first.device)
        merged[f"has_{name}"] = has
        if name == COVARIATES:
            values = batch[COVARIATES].new_zeros(len(owner), batch[COVARIATES].shape[1])
            values[has] = batch[COVARIATES]
            merged[COVARIATES] = values
        else:
            merged[f"image_{name}"] = batch["image"]
    return merged


def embed(model: AlignmentModel, name: str, fetch: Any, ranks: Ranks) -> tuple[np.ndarray, np.ndarray]:  # noqa: ANN401
    """Unit embeddings of the pairs of one modality, and of their coordinates; (n, D) each, the same on every rank."""
    share = ranks.share(len(fetch.lonlat))
    others, locations = [], []
    for start in range(share.start, share.stop, _EMBED_ROWS):
        ids = np.arange(start, min(start + _EMBED_ROWS, share.stop))
        pairs = model(_alone(model, name, tensors(fetch(ids, np.zeros_like(ids)), ranks)))[name]
        others.append(pairs.other.float().cpu().numpy())
        locations.append(pairs.location.float().cpu().numpy())
    nothing = np.empty((0, model.config.dim), np.float32)
    return ranks.rows(np.concatenate([nothing, *others])), ranks.rows(np.concatenate([nothing, *locations]))


def _alone(model: AlignmentModel, name: str, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """A batch with one modality, the others empty."""
    merged = merge({name: batch})
    empty = torch.zeros(len(batch["lonlat"]), dtype=torch.bool, device=batch["lonlat"].device)
    for scale, tower in model.config.towers.items():
        if scale != name:
            size = tower.size or 64
            merged[f"has_{scale}"] = empty
            merged[f"image_{scale}"] = batch["lonlat"].new_zeros(0, tower.bands, size, size)
    if model.config.covariates and name != COVARIATES:
        merged["has_covariates"] = empty
        merged[COVARIATES] = torch.zeros(len(empty), len(model.config.covariates), device=empty.device)
    return merged


def matching(other: np.ndarray, location: np.ndarray, xy: np.ndarray) -> dict[str, float]:
    """How well pairs are matched among themselves.

    Args:
        other: unit embeddings of the images, (n, D).
        location: unit embeddings of their coordinates, (n, D).
        xy: EPSG:3035 metres, (n, 2).

    Returns:
        Share of the images whose own coordinates are first (`top1`) or among the first five (`top5`), and the median
        distance to the coordinates that match best (`error_km`).
    """
    similarity = other @ location.T
    own = np.diag(similarity)
    better = (similarity > own[:, None]).sum(axis=1)
    distance = np.hypot(*(xy[similarity.argmax(axis=1)] - xy).T) / 1000
    return {
        "top1": float((better < 1).mean()),
        "top5": float((better < 5).mean()),
        "error_km": float(np.median(distance)),
    }
