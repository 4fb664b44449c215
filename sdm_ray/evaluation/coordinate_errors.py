"""Detection of coordinate errors: simulated errors of images' coordinates, ranked by the match of image and place.

A place outside the region of the pretraining is no match, whatever an encoder that never saw its like gives there.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import normalize
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.evaluation.config import CoordinatesConfig, Fault
from sdm_ray.geo.blocks import Role, role
from sdm_ray.geo.checks import within
from sdm_ray.geo.grid import Extent, to_lonlat, to_xy
from sdm_ray.metrics.ranking import auc
from sdm_ray.metrics.retrieval import EMBED_ROWS, embed
from sdm_ray.model_io import load_encoder
from sdm_ray.models.contrastive_model import AlignmentModel
from sdm_ray.stores.weights import is_whole
from sdm_ray.streams.image_dataset import photos_of
from sdm_ray.streams.loader import in_order

_TAIL_M = 5000.0  # half of the heavy-tailed errors are larger


@dataclass(frozen=True)
class Detection:
    """Detection of one kind of error.

    Attributes:
        auc: ROC-AUC of wrong against correct coordinates by the cosine similarity of image and place; 0.5 is chance.
        outside: share of the wrong coordinates that lie outside the region of the pretraining.
        pairs: number of correct pairs, and of wrong ones.
        shift_km: median distance between wrong and correct coordinates.
    """

    auc: float
    outside: float
    pairs: int
    shift_km: float


@dataclass(frozen=True)
class _Matched:
    """Images embedded by the encoder that held out their blocks."""

    image: np.ndarray  # (n, D), unit length
    own: np.ndarray  # embeddings of their own coordinates, (n, D), unit length
    lonlat: np.ndarray  # (n, 2)
    model: AlignmentModel
    region: Extent | None

    def outside(self, lonlat: np.ndarray) -> np.ndarray:
        """Which places lie outside the region of the pretraining, (n,)."""
        if self.region is None:
            return np.zeros(len(lonlat), bool)
        return ~within(*to_xy(*lonlat.T), self.region)

    def match(self, lonlat: np.ndarray) -> np.ndarray:
        """Cosine similarity of the images and places, -1 outside the region, (n,)."""
        found = (self.image * _places(self.model, lonlat)).sum(axis=1)
        return np.where(self.outside(lonlat), np.float32(-1), found)


def detect(config: CoordinatesConfig, encoder: UPath, shards: UPath, scale: str, seed: int) -> dict[Fault, Detection]:
    """Detection of simulated errors by kind, on images of one scale in held-out blocks.

    Images whose coordinates an error leaves as they are, such as whole degrees when rounded, count in neither class.

    Args:
        config: kinds of errors and number of images.
        encoder: cross-fitted encoder.
        shards: images.
        scale: of the images.
        seed: of the sample and the errors.

    Raises:
        InputError: the encoder has no fold encoders or no tower for the scale, fewer than two images are held out, or
            an error moves none.
    """
    matched = [each for each in _matched(config, encoder, shards, scale, seed) if len(each.image)]
    found = {}
    for number, fault in enumerate(config.faults):
        rng = np.random.default_rng([seed, number])
        correct, wrong, shifts, outside = [], [], [], []
        for each in matched:
            lonlat = SIMULATE[fault](each.lonlat, rng)
            moves = (lonlat != each.lonlat).any(axis=1)
            correct.append((each.image * each.own).sum(axis=1)[moves])
            wrong.append(each.match(lonlat)[moves])
            outside.append(each.outside(lonlat)[moves])
            moved = np.subtract(to_xy(*lonlat[moves].T), to_xy(*each.lonlat[moves].T))
            shifts.append(np.hypot(*moved) / 1000)
        if not sum(map(len, wrong)):
            raise InputError(
                f"{shards}: the error {fault} moves none of its images of scale {scale}; expected images of several"
                " places, or `coordinates.faults` without it"
            )
        scores = -np.concatenate(correct + wrong)
        labels = np.repeat([0, 1], len(scores) // 2)
        value = float(auc(labels[:, None].astype(np.uint8), scores[:, None])[0])
        shift = float(np.median(np.concatenate(shifts)))
        found[fault] = Detection(value, float(np.concatenate(outside).mean()), len(scores) // 2, shift)
    return found


def _matched(config: CoordinatesConfig, path: UPath, shards: UPath, scale: str, seed: int) -> list[_Matched]:
    """The images of each fold, embedded by the encoder that held out their blocks."""
    whole = load_encoder(path)
    if scale not in whole.images or whole.images[scale].bands:
        raise InputError(f"{path}: was not trained on shards of scale {scale}; found {', '.join(whole.images)}")
    if not is_whole(path / "folds" / "0"):
        raise InputError(
            f"{path}: has no fold encoders, so that it was trained on the images; expected `crossfit: true`"
        )
    dataset = photos_of(shards, scale, whole.images[scale].size)
    x, y = to_xy(*dataset.lonlat.T)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(x))[: config.images])
    found = []
    for fold in range(whole.blocks.folds):
        held_out = chosen[role(x[chosen], y[chosen], whole.blocks, fold) == Role.TEST]
        encoder = load_encoder(path, fold)
        model = encoder.model()
        part = dataset.subset(held_out, plain=True)
        image, own = embed(model, scale, in_order(part, EMBED_ROWS))
        found.append(_Matched(image, own, part.lonlat, model, encoder.region))
    if sum(len(each.image) for each in found) < 2:
        raise InputError(f"{shards}: has fewer than two images of scale {scale} in the held-out blocks of {path}")
    return found


def _places(model: AlignmentModel, lonlat: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return normalize(model.embed_location(torch.from_numpy(lonlat)), dim=-1).numpy()


def _swapped(lonlat: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.stack([lonlat[:, 1], lonlat[:, 0].clip(-90, 90)], axis=1)


def _sign_flipped(lonlat: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return lonlat * [-1, 1]


def _stale(lonlat: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The previous position of the receiver: that of the last image of another place, in the order of the shards."""
    arrived = np.flatnonzero((lonlat != np.roll(lonlat, 1, axis=0)).any(axis=1))  # first image of each visit of a place
    if not len(arrived):
        return lonlat
    visit = np.searchsorted(arrived, np.arange(len(lonlat)), side="right") - 1  # -1: the last one goes on at the start
    return lonlat[arrived[visit] - 1]


def _heavy_tail(lonlat: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    distance = _TAIL_M * np.abs(rng.standard_cauchy(len(lonlat))).clip(max=400)
    angle = rng.uniform(0, 2 * np.pi, len(lonlat))
    x, y = to_xy(*lonlat.T)
    return np.stack(to_lonlat(x + distance * np.cos(angle), y + distance * np.sin(angle)), axis=1)


def _rounded(lonlat: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.round(lonlat)


SIMULATE: dict[Fault, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "swap": _swapped,
    "sign_flip": _sign_flipped,
    "stale": _stale,
    "heavy_tail": _heavy_tail,
    "rounding": _rounded,
}
"""Kind of error -> from coordinates (n, 2), WGS84 degrees, to wrong ones."""
