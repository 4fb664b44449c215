"""What is known of places without images, by id: values of cells, sets of species."""

from dataclasses import dataclass, field, replace

import numpy as np

from sdm_ray.stores.labels import SparseLabels
from sdm_ray.streams.loader import Batch


@dataclass(frozen=True)
class CellDataset:
    """Values of cells.

    Attributes:
        name: of the values in a batch.
        lonlat: WGS84 degrees, float64 (n, 2).
        values: float32 (n, C), all known.
        place: place id, int64 (n,).
    """

    name: str
    lonlat: np.ndarray = field(repr=False)
    values: np.ndarray = field(repr=False)
    place: np.ndarray = field(repr=False)

    def only(self, rows: np.ndarray, *, plain: bool = False) -> "CellDataset":
        """Some of these cells."""
        return replace(self, lonlat=self.lonlat[rows], values=self.values[rows], place=self.place[rows])

    def __call__(self, ids: np.ndarray, epochs: np.ndarray) -> Batch:
        """The values (N, C) under their name, `lonlat`, `place`."""
        return {"lonlat": self.lonlat[ids], self.name: self.values[ids], "place": self.place[ids]}


@dataclass(frozen=True)
class SpeciesSetDataset:
    """Sets of species of surveys.

    Attributes:
        survey: number of the survey for each id, int64 (n,).
        all_lonlat: of all surveys, WGS84 degrees, float64 (N, 2).
        labels: species of all surveys.
    """

    survey: np.ndarray = field(repr=False)
    all_lonlat: np.ndarray = field(repr=False)
    labels: SparseLabels = field(repr=False)

    @property
    def lonlat(self) -> np.ndarray:
        """WGS84 degrees, float64 (n, 2)."""
        return self.all_lonlat[self.survey]

    def only(self, rows: np.ndarray, *, plain: bool = False) -> "SpeciesSetDataset":
        """Some of these surveys."""
        return replace(self, survey=self.survey[rows])

    def __call__(self, ids: np.ndarray, epochs: np.ndarray) -> Batch:
        """`species` uint8 (N, S), 0 or 1; `lonlat`; `place`, the number of the survey."""
        survey = self.survey[ids]
        return {"lonlat": self.all_lonlat[survey], "species": self.labels.dense(survey), "place": survey}
