"""Images of surveys in image shards: which images a survey has, and one of them for each row of a batch."""

import math
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy.spatial import KDTree
from upath import UPath

from sdm_ray.batch import Array, Batch, Ints
from sdm_ray.errors import InputError
from sdm_ray.geo.grid import to_xy
from sdm_ray.stores.shards import Shards
from sdm_ray.streams import keyed_random
from sdm_ray.streams.image_dataset import Augment, ImageDataset, photos_of

_HIDDEN = {"satellite": 7, "landscape": 8, "plant": 9}
_CHOSEN = {"satellite": 10, "landscape": 11, "plant": 12}
"""Numbers of the random draws that hide an image, and that choose one of a survey's images."""
_VISIT = r"-\d{4}-\d{3}$"  # the year and the day of the year end the id of a visit
_AUGMENT: dict[str, Augment] = {"satellite": "dihedral"}


@dataclass(frozen=True)
class Wanted:
    """Surveys, or other places, whose images are looked for.

    Attributes:
        ids: of the surveys, text (N,); None where only their places are known.
        lonlat: WGS84 degrees, float64 (N, 2).
        presence_only: whether they are presence-only records, whose ids may be those of other surveys.
        within_m: largest distance of an image's place, metres; None for a survey's own images, found by its id.
    """

    ids: "pd.Series | None"
    lonlat: np.ndarray
    presence_only: bool = False
    within_m: float | None = None


@dataclass(frozen=True)
class SurveyImages:
    """Images of one scale for surveys that have none, one or several each; ids index `rows`.

    Attributes:
        scale: of the images.
        photos: all images of the scale.
        first: where the images of each survey begin in `which`, (N + 1,).
        which: numbers of images, survey by survey.
        shape: of an image: bands, rows, columns.
        dtype: of its pixels.
        rows: number of the survey for each id, (n,).
        distance: of each survey from the place of its images, metres, 0 where there are none, (N,); None where images
            are surveys' own.
        drawn: whether one of a survey's images is drawn by a key per (seed, epoch, survey), instead of the first.
        hide: probability of hiding the image from the model, by the same key.
        seed: of what is drawn.
    """

    scale: str
    photos: ImageDataset
    first: np.ndarray = field(repr=False)
    which: np.ndarray = field(repr=False)
    shape: tuple[int, ...]
    dtype: np.dtype
    rows: np.ndarray = field(repr=False)
    distance: np.ndarray | None = field(default=None, repr=False)
    drawn: bool = False
    hide: float = 0.0
    seed: int = 0

    @property
    def counts(self) -> np.ndarray:
        """Number of images of each survey, (N,)."""
        return np.diff(self.first)

    @property
    def row_bytes(self) -> int:
        """Bytes of one image."""
        return math.prod(self.shape) * self.dtype.itemsize

    def drawing(self, seed: int, hide: float) -> "SurveyImages":
        """The same for training: images drawn, hidden and augmented at random, patches turned and photos cropped."""
        photos = replace(self.photos, augment=_AUGMENT.get(self.scale, "photo"), seed=seed)
        return replace(self, photos=photos, drawn=True, hide=hide, seed=seed)

    def shuffled(self, seed: int) -> "SurveyImages":
        """A placebo: places exchange their images at random, and surveys with the same images still share some."""
        some = np.flatnonzero(self.counts)
        places, place = np.unique(self.which[self.first[some]], return_inverse=True)
        giver = some[np.unique(place, return_index=True)[1]]  # a survey of each place
        given = giver[np.random.default_rng(seed).permutation(len(places))][place]
        counts = np.zeros(len(self.first) - 1, np.int64)
        counts[some] = self.counts[given]
        lists = [self.which[self.first[each] : self.first[each + 1]] for each in given]
        return replace(self, first=np.concatenate([[0], np.cumsum(counts)]), which=np.concatenate(lists))

    def read(self, ids: Ints, epochs: Ints) -> Batch[Array]:
        """`image_<scale>` (N, B, size, size), 0 where `has_<scale>` is false, its distance, and what is drawn."""
        survey = self.rows[ids]
        key = keyed_random.keys(self.seed, epochs, survey)
        count = self.first[survey + 1] - self.first[survey]
        has = count > 0
        images = np.zeros((len(ids), *self.shape), self.dtype)
        taken = (keyed_random.uniform(key, _CHOSEN[self.scale]) * count).astype(np.int64) if self.drawn else 0 * count
        if has.any():
            found = self.photos.read(self.which[(self.first[survey] + taken)[has]], epochs[has])
            images[has] = found[f"image_{self.scale}"]
        batch = Batch({f"has_{self.scale}": has, f"image_{self.scale}": images})
        if self.distance is not None:
            batch[f"distance_{self.scale}"] = self.distance[survey].astype(np.float32)
        if self.photos.augment != "none":
            batch[f"draws_{self.scale}"] = keyed_random.table(key)
        if self.hide:
            batch[f"hide_{self.scale}"] = keyed_random.uniform(key, _HIDDEN[self.scale]) < self.hide
        return batch


def images_of(shards: UPath, scale: str, size: int, wanted: Wanted) -> SurveyImages:
    """The images of surveys; where a survey has several, in the order of the shards.

    Raises:
        InputError: the shards cannot be read or hold no image of the scale.
    """
    photos = photos_of(shards, scale, size)
    distance = None
    if wanted.within_m is not None:
        survey, image, distance = _nearest(photos, wanted.lonlat, wanted.within_m)
    elif wanted.ids is not None:
        index = Shards(shards).index.iloc[photos.rows]
        survey, image = _own(index, wanted.ids, presence_only=wanted.presence_only)
    else:
        raise InputError(f"{shards}: images of scale {scale} are found by the ids of surveys; expected survey_id")
    order = np.lexsort((image, survey))
    first = np.searchsorted(survey[order], np.arange(len(wanted.lonlat) + 1))
    sample = photos.read(np.zeros(1, np.int64), np.zeros(1, np.int64))[f"image_{scale}"][0]
    rows = np.arange(len(wanted.lonlat))
    return SurveyImages(scale, photos, first, image[order], sample.shape, sample.dtype, rows, distance)


def _own(index: pd.DataFrame, ids: pd.Series, *, presence_only: bool) -> tuple[Ints, Ints]:
    """Pairs of a survey and an image that belongs to it (see `stores.shards.Sample`); numbers of both."""
    images = pd.DataFrame({"image": np.arange(len(index)), "id": index["survey_id"].to_numpy()})
    kinds = ["", "relative" if presence_only else "occurrence"]
    images = images[(images["id"] != "").to_numpy() & index["survey_kind"].isin(kinds).to_numpy()]
    surveys = pd.DataFrame({"survey": np.arange(len(ids)), "id": ids.to_numpy()})
    visits = surveys[surveys["id"].str.contains(_VISIT)]
    visits = visits.assign(id=visits["id"].str.replace(_VISIT, "-*", regex=True))
    pairs = pd.concat([surveys.merge(images), visits.merge(images)])
    return pairs["survey"].to_numpy(np.int64), pairs["image"].to_numpy(np.int64)


def _nearest(photos: ImageDataset, lonlat: np.ndarray, within_m: float) -> tuple[Ints, Ints, np.ndarray]:
    """Pairs of a survey and each image of the nearest place, where that is near enough; numbers of both.

    The last is each survey's distance from that place, metres, 0 where none is near enough, (N,).
    """
    places, first = np.unique(photos.place, return_index=True)
    xy = np.column_stack(to_xy(*photos.lonlat[first].T))
    distance, nearest = KDTree(xy).query(np.column_stack(to_xy(*lonlat.T)))
    near = np.flatnonzero(distance <= within_m)
    surveys = pd.DataFrame({"survey": near, "place": places[nearest[near]]})
    pairs = surveys.merge(pd.DataFrame({"image": np.arange(len(photos.place)), "place": photos.place}))
    found = pairs["survey"].to_numpy(np.int64), pairs["image"].to_numpy(np.int64)
    return *found, np.where(distance <= within_m, distance, 0.0)
