"""What a fit's model keeps of the images around its surveys: their places and the main components of their features."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional
from upath import UPath

from sdm_ray.batch import cut
from sdm_ray.errors import InputError
from sdm_ray.geo.grid import to_xy
from sdm_ray.models.config import NearbyImagesConfig
from sdm_ray.models.towers import ImageTower
from sdm_ray.progress import say
from sdm_ray.stores.shards import Shards
from sdm_ray.streams.image_dataset import ImageDataset, photos_of
from sdm_ray.training.finetune import initial_weights
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.inputs_config import NearbyConfig

_REACH = 4.0
"""Ranges beyond the surveys' region within which images are kept."""
_RANK = 1e-4
"""Share of the largest singular value below which a component is rounding of single precision."""


@dataclass(frozen=True)
class NearbyPhotos:
    """Images around the surveys.

    Attributes:
        config: what the features are made of.
        photos: the images.
        place: number of each image's place, (n,).
        xy: of the places, EPSG:3035 metres, (places, 2).
    """

    config: NearbyConfig
    photos: ImageDataset
    place: np.ndarray
    xy: np.ndarray

    @property
    def sizes(self) -> NearbyImagesConfig:
        """What the model is built from."""
        return NearbyImagesConfig(
            places=len(self.xy), components=self.config.components, ranges_km=self.config.ranges_km
        )


def read_nearby(config: FinetuneConfig, x: np.ndarray, y: np.ndarray) -> NearbyPhotos | None:
    """The images around surveys at EPSG:3035 metres, (N,) each; None where the model is to keep none.

    Raises:
        InputError: the shards cannot be read, or hold fewer places there than components.
    """
    wanted = config.nearby_images
    if wanted is None:
        return None
    path = config.path(wanted.shards)
    photos = photos_of(path, wanted.scale, wanted.size)
    xy = np.column_stack(to_xy(*photos.lonlat.T))
    reach = 1000 * _REACH * max(wanted.ranges_km)
    near = ((xy >= [x.min() - reach, y.min() - reach]) & (xy <= [x.max() + reach, y.max() + reach])).all(axis=1)
    rows = np.flatnonzero(near)
    _, first, place = np.unique(photos.place[rows], return_index=True, return_inverse=True)
    if len(first) <= wanted.components:
        raise InputError(
            f"{path}: images of scale {wanted.scale} at {len(first)} places within {reach / 1000:g} km of the surveys;"
            f" expected more than nearby_images.components, {wanted.components}"
        )
    say(f"  nearby images: {len(rows)} of scale {wanted.scale} at {len(first)} places")
    return NearbyPhotos(wanted, photos.subset(rows, plain=True), place, xy[rows[first]])


def features_of(config: FinetuneConfig, nearby: NearbyPhotos, fold: int | None) -> torch.Tensor:
    """Components of the images' features, mean 0 and deviation 1, float32 (places, components).

    Args:
        config: of the job, whose encoder describes the images of a fold.
        nearby: the images.
        fold: that is held out.

    Raises:
        InputError: features of an image are not finite, or no image has data.
    """
    tower, empty = _tower(config, nearby.config.scale, fold), nearby.config.scale == "satellite"
    found: list[torch.Tensor] = []
    with torch.inference_mode():
        for ids in cut(len(nearby.place), 3 * nearby.config.size**2):
            images = torch.from_numpy(nearby.photos.read(ids, np.zeros_like(ids))[f"image_{nearby.config.scale}"])
            found.append(statistics(images, empty) if tower is None else tower(images))
    values = torch.cat(found).double()
    bare = values.isnan().all(1) if tower is None else torch.zeros(len(values), dtype=torch.bool)
    components = main_components(_of_places(nearby, values, bare), nearby.config.components)
    if nearby.config.shuffled:
        components = components[torch.randperm(len(components), generator=torch.Generator().manual_seed(config.seed))]
    return components


def _of_places(nearby: NearbyPhotos, values: torch.Tensor, empty: torch.Tensor) -> torch.Tensor:
    """Means of images' features over each place, (places, F); of an average place where all are empty."""
    if not values[~empty].isfinite().all():
        first = int(torch.nonzero(~empty & ~values.isfinite().all(1))[0])
        key = Shards(UPath(nearby.photos.shards)).index["key"].iloc[nearby.photos.rows[first]]
        raise InputError(
            f"{nearby.photos.shards}: image {key} of scale {nearby.config.scale} has features that are not finite;"
            " expected finite pixels"
        )
    if empty.all():
        raise InputError(f"{nearby.photos.shards}: no image of scale {nearby.config.scale} has any data")
    if empty.any():
        say(f"  nearby images: {int(empty.sum())} of {len(empty)} have no data, and count as average ones")
    place = torch.from_numpy(nearby.place)[~empty]
    count = torch.bincount(place, minlength=len(nearby.xy))
    total = values.new_zeros(len(nearby.xy), values.shape[1]).index_add(0, place, values[~empty])
    found = total / count[:, None]
    found[count == 0] = found[count > 0].mean(0)
    return found


def statistics(images: torch.Tensor, nodata_zero: bool) -> torch.Tensor:
    """Mean, deviation and texture (mean absolute difference of neighbours) of each band: (N, B, h, w) to (N, 3 B).

    Args:
        images: of any type.
        nodata_zero: whether pixels whose bands are all 0 have no data, and do not count.

    Returns:
        float64, so that what does not vary has no deviation by rounding; NaN for an image without data.
    """
    images = images.double()
    known = images.ne(0).any(1, keepdim=True) if nodata_zero else torch.ones_like(images[:, :1], dtype=torch.bool)
    mean = _mean(images, known)
    count = known.sum((2, 3))
    deviation = (_mean((images - mean[:, :, None, None]).square(), known) * count / (count - 1).clamp_min(1)).sqrt()
    across = _mean(images.diff(dim=3).abs(), known[..., 1:] & known[..., :-1])
    down = _mean(images.diff(dim=2).abs(), known[..., 1:, :] & known[..., :-1, :])
    texture = torch.where(count > 0, ((across + down) / 2).nan_to_num(), torch.nan)  # of single pixels none
    return torch.cat([mean, deviation, texture], -1)


def _mean(values: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Means over the pixels that are known, (N, B); NaN where none is."""
    return torch.where(known, values, 0).sum((2, 3)) / known.sum((2, 3))


def main_components(values: torch.Tensor, count: int) -> torch.Tensor:
    """Scores of the first principal components of standardised columns, each of deviation 1, float32 (n, count).

    Where the columns have fewer dimensions than components, the others are 0: what is left of them is rounding, which a
    deviation of 1 would make as large as what images show.
    """
    centred = values - values.mean(0)
    scaled = centred / centred.std(0).clamp_min(1e-9)
    left, singular = torch.linalg.svd(scaled, full_matrices=False)[:2]
    left = torch.where(singular > _RANK * singular.max(), left, 0)[:, :count] * (len(values) - 1) ** 0.5
    return functional.pad(left, (0, count - left.shape[1])).float()


def _tower(config: FinetuneConfig, scale: str, fold: int | None) -> ImageTower | None:
    """The encoder's tower of the images' scale; None where there is none."""
    if config.encoder is None:
        return None
    model = initial_weights.loaded_encoder(config, fold)[0].model().eval()
    found = dict(model.towers.items()).get(scale)
    return found if isinstance(found, ImageTower) else None
