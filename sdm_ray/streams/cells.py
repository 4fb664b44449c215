"""Covariates of places, by id: dense everywhere, so one more modality for location encoders to be matched with."""

from dataclasses import dataclass, field

import numpy as np

from sdm_ray.streams.pipeline import Batch


@dataclass(frozen=True)
class CellFetch:
    """Covariates of cells.

    Attributes:
        lonlat: WGS84 degrees, float64 (n, 2).
        covariates: float32 (n, C), all known.
        place: place id, int64 (n,).
    """

    lonlat: np.ndarray = field(repr=False)
    covariates: np.ndarray = field(repr=False)
    place: np.ndarray = field(repr=False)

    def only(self, rows: np.ndarray, *, plain: bool = False) -> "CellFetch":
        """Some of these cells."""
        return CellFetch(self.lonlat[rows], self.covariates[rows], self.place[rows])

    def __call__(self, ids: np.ndarray, passes: np.ndarray) -> Batch:
        """`covariates` (N, C), `lonlat`, `place`."""
        return {"lonlat": self.lonlat[ids], "covariates": self.covariates[ids], "place": self.place[ids]}
