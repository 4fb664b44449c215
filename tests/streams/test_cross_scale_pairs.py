from dataclasses import dataclass

import numpy as np

from sdm_ray.batch import Batch
from sdm_ray.streams.cross_scale_pairs import PairDataset, pairs_by_place, pairs_within


def test_every_image_at_a_place_of_both_scales_is_in_a_pair():
    first, second = np.array([7, 3, 7, 9, 7]), np.array([9, 7, 4, 9, 9])
    ids, place = pairs_by_place(first, second)
    assert place.tolist() == [7, 7, 7, 9, 9, 9]
    assert np.array_equal(first[ids[:, 0]], place) and np.array_equal(second[ids[:, 1]], place)
    assert set(ids[:, 0]) == {0, 2, 4, 3} and set(ids[:, 1]) == {0, 1, 3, 4}
    assert pairs_by_place(first, np.array([1, 2]))[0].shape == (0, 2)


def test_images_are_paired_with_the_nearest_within_the_radius():
    first = np.array([[0.0, 0.0], [0.0, 0.0], [100.0, 0.0], [5000.0, 0.0]])
    second = np.array([[30.0, 0.0], [60.0, 0.0], [9000.0, 0.0]])
    ids, place = pairs_within(first, second, 50)
    assert sorted(map(tuple, ids.tolist())) == [(0, 0), (1, 0), (2, 1)]
    assert place[ids[:, 0] == 0] == place[ids[:, 0] == 1] != place[ids[:, 0] == 2]
    assert len(pairs_within(first, second, 20)[0]) == 0


def test_pairs_within_a_radius_are_as_many_as_images_at_most_and_all_are_near():
    rng = np.random.default_rng(0)
    first, second = rng.uniform(0, 10_000, (300, 2)), np.repeat(rng.uniform(0, 10_000, (60, 2)), 4, axis=0)
    ids, _ = pairs_within(first, second, 400)
    distance = np.linalg.norm(first[:, None] - second[None], axis=2)
    assert (distance[ids[:, 0], ids[:, 1]] < 400).all()
    assert set(ids[:, 0]) == set(np.flatnonzero(distance.min(axis=1) < 400))
    assert set(ids[:, 1]) == set(np.flatnonzero(distance.min(axis=0) < 400))
    assert len(ids) == len(np.unique(ids, axis=0))
    assert len(ids) < 300 + 240


@dataclass(frozen=True)
class Tens:
    """Images that tell their number and epoch."""

    scale: str
    lonlat: np.ndarray
    drawn: bool = True

    def __len__(self):
        return len(self.lonlat)

    def subset(self, rows, *, plain=False):
        return Tens(self.scale, self.lonlat[rows], drawn=self.drawn and not plain)

    def read(self, ids, epochs):
        batch = Batch({f"image_{self.scale}": self.lonlat[ids, 0] * 10, "place": ids, "lonlat": self.lonlat[ids]})
        return batch | {f"draws_{self.scale}": epochs} if self.drawn else batch


def test_both_images_of_a_pair_come_together():
    places = {"plant": np.arange(8.0).reshape(4, 2), "satellite": np.arange(40.0, 46).reshape(3, 2)}
    datasets = {scale: Tens(scale, each) for scale, each in places.items()}
    dataset = PairDataset(datasets, np.array([[3, 0], [1, 2], [0, 1]]), np.array([5, 6, 7]))
    batch = dataset.subset(np.array([1, 2])).read(np.array([1, 0]), np.array([0, 4]))
    assert batch["image_plant"].tolist() == [0, 20] and batch["image_satellite"].tolist() == [420, 440]
    assert batch["lonlat"].tolist() == [[0, 1], [2, 3]] and batch["place"].tolist() == [7, 6]
    assert batch["draws_plant"].tolist() == batch["draws_satellite"].tolist() == [0, 4]
    plain = dataset.subset(np.array([0]), plain=True).read(np.array([0]), np.array([0]))
    assert set(plain) == {"image_plant", "image_satellite", "lonlat", "place"}
