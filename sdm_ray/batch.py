"""Batches: what streams give and models take. Light: imports neither torch nor Ray."""

from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

A = TypeVar("A")
Array = NDArray[Any]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Batch(dict[str, A], Generic[A]):
    """What is known of N places, one array for each input; NumPy arrays in streams, tensors in models.

    A key is there where its input is used. The first axis of every array is N, but for those that say otherwise.

    `lonlat`
        WGS84 degrees, longitude first, float64 (N, 2).
    `place`
        Number of each row's place, int64 (N,). Rows of one place are never negatives of each other.
    `time`
        Day of year and year, NaN where unknown, float32 (N, 2).
    `image_<scale>`
        Images of a scale (`plant`, `landscape`, `satellite`), (N, bands, side, side): bytes, or reflectance x 10,000
        with 0 for no data. Rows without an image are 0; a model is given the rows that have one (`models.batch`).
    `has_<scale>`
        Which rows have an image, bool (N,); where the key is missing, all have.
    `distance_<scale>`
        Metres from each place to the place of its image, 0 where it has none, float32 (N,); where images are of the
        nearest place.
    `draws_<scale>`
        Uniform random numbers in [0, 1) for the augmentation of each row's image, float32 (N, 8); a model is given
        those of the rows that have one.
    `features_<scale>`
        What the tower of a scale made of the images, in their place, float32 (N, dim).
    `covariates`
        Covariates, 0 where unknown, float32 (N, C); or (U, C) for U distinct sets of values, with `covariates_of`.
    `has_covariates`
        Whether each of them is known, bool (N, C) or (U, C).
    `covariates_of`
        The row of `covariates` that belongs to each place, int64 (N,).
    `series_<name>`
        A time series, NaN where nothing was measured, float32 (N, channels, time...).
    `has_series_<name>`
        Whether anything was measured, bool (N,).
    `hide_<input>`
        In training: which rows' input (a scale, `covariates`, `series_<name>`) the model must do without, bool (N,).
    `labels`
        Species of each row, 0 or 1 as uint8, or probabilities as float32, (N, S); 255 stands for unknown.
    `species`
        Species of each row as an input (pretraining), 0 or 1, uint8 (N, S).
    `dense`
        What is regressed from the coordinates (pretraining), float32 (N, C).
    """

    @property
    def rows(self) -> int:
        """Number of places."""
        return len(self["lonlat"])  # type: ignore[arg-type]

    def __or__(self, other: Mapping[str, A]) -> "Batch[A]":  # type: ignore[override]
        """This batch with further or other inputs."""
        return Batch({**self, **other})


def cut(rows: int, row_bytes: int = 0, most_rows: int = 1024, most_bytes: int = 64 << 20) -> Iterator[Ints]:
    """Numbers of rows in parts that are predicted at once.

    Args:
        rows: how many there are.
        row_bytes: of the images of one row.
        most_rows: of a part.
        most_bytes: of the images of a part, unless one row has more.
    """
    size = rows_at_once(row_bytes, most_rows, most_bytes)
    for start in range(0, rows, size):
        yield np.arange(start, min(start + size, rows))


def rows_at_once(row_bytes: int = 0, most_rows: int = 1024, most_bytes: int = 64 << 20) -> int:
    """How many rows are predicted at once (see `cut`)."""
    return min(most_rows, max(1, most_bytes // max(1, row_bytes)))


def share(rows: int, rank: int, world: int) -> slice:
    """A rank's part of some rows; the parts of all ranks tile them."""
    return slice(rows * rank // world, rows * (rank + 1) // world)
