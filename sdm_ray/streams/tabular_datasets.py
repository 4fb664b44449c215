"""Datasets without images, held in memory: values of cells, sets of species."""

from dataclasses import dataclass, field, replace

from sdm_ray.batch import Array, Batch, Floats, Ints
from sdm_ray.stores.labels import SparseLabels
from sdm_ray.streams.dataset import Part
from sdm_ray.streams.parts import InMemory


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
    lonlat: Floats = field(repr=False)
    values: Array = field(repr=False)
    place: Ints = field(repr=False)

    def __len__(self) -> int:
        return len(self.place)

    def subset(self, rows: Ints, *, plain: bool = False) -> "CellDataset":
        """Some of these cells."""
        return replace(self, lonlat=self.lonlat[rows], values=self.values[rows], place=self.place[rows])

    def parts(self) -> list[Part]:
        """All of it is in memory."""
        return [InMemory(self.read)]

    def read(self, ids: Ints, epochs: Ints) -> Batch[Array]:
        """The values (N, C) under their name, `lonlat`, `place`."""
        return Batch({"lonlat": self.lonlat[ids], self.name: self.values[ids], "place": self.place[ids]})


@dataclass(frozen=True)
class SpeciesSetDataset:
    """Sets of species of surveys.

    Attributes:
        survey: number of the survey for each id, int64 (n,).
        all_lonlat: of all surveys, WGS84 degrees, float64 (N, 2).
        labels: species of all surveys.
    """

    survey: Ints = field(repr=False)
    all_lonlat: Floats = field(repr=False)
    labels: SparseLabels = field(repr=False)

    def __len__(self) -> int:
        return len(self.survey)

    def subset(self, rows: Ints, *, plain: bool = False) -> "SpeciesSetDataset":
        """Some of these surveys."""
        return replace(self, survey=self.survey[rows])

    def parts(self) -> list[Part]:
        """All of it is in memory."""
        return [InMemory(self.read)]

    def read(self, ids: Ints, epochs: Ints) -> Batch[Array]:
        """`species` uint8 (N, S), 0 or 1; `lonlat`; `place`, the number of the survey."""
        survey = self.survey[ids]
        return Batch({"lonlat": self.all_lonlat[survey], "species": self.labels.dense(survey), "place": survey})
