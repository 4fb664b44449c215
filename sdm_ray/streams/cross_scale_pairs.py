"""Pairs of images of two scales that show one place."""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.spatial import KDTree

from sdm_ray.batch import Array, Batch, Floats, Ints
from sdm_ray.streams.dataset import Dataset, Part
from sdm_ray.streams.parts import Decoded


@dataclass(frozen=True)
class PairDataset:
    """Pairs of images, one of either scale.

    Attributes:
        datasets: of the two scales, by name.
        ids: of the images in either dataset, int64 (n, 2).
        place: number of each pair's place, int64 (n,).
    """

    datasets: dict[str, Dataset]
    ids: Ints = field(repr=False)
    place: Ints = field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def subset(self, rows: Ints, *, plain: bool = False) -> "PairDataset":
        """Some of these pairs; `plain` without augmentation."""
        part = replace(self, ids=self.ids[rows], place=self.place[rows])
        if not plain:
            return part
        every = {scale: np.arange(len(dataset)) for scale, dataset in self.datasets.items()}
        return replace(part, datasets={s: dataset.subset(every[s], plain=True) for s, dataset in self.datasets.items()})

    def parts(self) -> list[Part]:
        """Images, also those of a cube, since the pairs have an order of their own."""
        return [Decoded(self.read)]

    def read(self, ids: Ints, epochs: Ints) -> Batch[Array]:
        """`image_<scale>`, and `draws_<scale>` where drawn, of both; `lonlat` of the first; `place`."""
        found = [each.read(own, epochs) for each, own in zip(self.datasets.values(), self.ids[ids].T, strict=True)]
        batch = Batch({"lonlat": found[0]["lonlat"], "place": self.place[ids]})
        for each in found:
            batch.update({name: values for name, values in each.items() if name.startswith(("image_", "draws_"))})
        return batch


def pairs_by_place(first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """Pair the images of two scales at each place that has both.

    Every image there is in a pair: of three images and one, the one is in three pairs.

    Args:
        first: place id of each image of the first scale, (n,).
        second: place id of each image of the second, (m,).

    Returns:
        Numbers of the images, (k, 2), and the place id of each pair, (k,).
    """
    both = np.intersect1d(first, second)
    ids, meeting = _paired(first, second, np.stack([both, both], axis=1))
    return ids, both[meeting]


def pairs_within(first: Floats, second: Floats, radius_m: float) -> tuple[Ints, Ints]:
    """Pair the images of two scales with the nearest of the other scale, where it is nearer than a radius.

    Args:
        first: EPSG:3035 metres of each image of the first scale, (n, 2).
        second: EPSG:3035 metres of each image of the second, (m, 2).
        radius_m: metres.

    Returns:
        Numbers of the images, (k, 2), and a number for the place of the first image of each pair, (k,).
    """
    spots, at = zip(*(np.unique(xy, axis=0, return_inverse=True) for xy in (first, second)), strict=True)
    found = [_nearest(spots[0], spots[1], radius_m), _nearest(spots[1], spots[0], radius_m)[:, ::-1]]
    meetings = np.unique(np.concatenate(found), axis=0)
    ids, meeting = _paired(at[0].ravel(), at[1].ravel(), meetings)
    return ids, meetings[meeting, 0]


def _nearest(xy: Floats, others: Floats, radius_m: float) -> Ints:
    """Numbers of points and of the nearest other, where there is one within the radius, (k, 2)."""
    distance, nearest = KDTree(others).query(xy, distance_upper_bound=radius_m)
    near = np.flatnonzero(np.isfinite(distance))
    return np.stack([near, nearest[near]], axis=1)


def _paired(first: Ints, second: Ints, meetings: Ints) -> tuple[Ints, Ints]:
    """Numbers of images, (k, 2), whose labels meet, and the number of the meeting of each pair, (k,).

    Args:
        first: label of each image of the first scale, (n,).
        second: label of each image of the second, (m,).
        meetings: labels of either that meet, (j, 2), none without images.
    """
    sides = []
    for labels, wanted in zip((first, second), meetings.T, strict=True):
        order = np.argsort(labels, kind="stable")
        start, stop = (np.searchsorted(labels[order], wanted, side) for side in ("left", "right"))
        sides.append((order, start, stop - start))
    count = np.maximum(sides[0][2], sides[1][2])
    meeting = np.repeat(np.arange(len(meetings)), count)
    number = np.arange(len(meeting)) - np.repeat(np.cumsum(count) - count, count)
    ids = [order[start[meeting] + number % have[meeting]] for order, start, have in sides]
    return np.stack(ids, axis=1), meeting
