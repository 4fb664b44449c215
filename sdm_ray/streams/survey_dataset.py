"""Surveys as batches for the species model: coordinates, covariates, time series, images and labels, by id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sdm_ray.batch import Array, Batch, Floats, Ints
from sdm_ray.streams import keyed_random
from sdm_ray.streams.dataset import Part, read_parts
from sdm_ray.streams.parts import Decoded, FromCube, InMemory
from sdm_ray.streams.survey_images import SurveyImages
from sdm_ray.streams.windows import Windows

_SERIES = 16  # number of the draw that hides the first series


class Labels(Protocol):
    """Species of surveys (see `stores.labels.SparseLabels`)."""

    @property
    def n_species(self) -> int:
        """Number of species."""
        ...

    def dense(self, ids: NDArray[np.int64]) -> NDArray[np.uint8] | NDArray[np.float32]:
        """Labels of some surveys, (len(ids), n_species)."""
        ...

    def counts(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """In how many of some surveys each species is present, and in how many absent, (n_species,) each."""
        ...


@dataclass(frozen=True)
class SurveyDataset:
    """Surveys by their number; ids index `rows`.

    Attributes:
        rows: number of the survey for each id, (n,) int64.
        all_lonlat: of all surveys, WGS84 degrees, float64 (N, 2).
        covariates: of all surveys, float32 (N, C), 0 where unknown; C may be 0.
        known: which covariates of a survey are known, (N, C) bool.
        labels: species of all surveys.
        images: satellite windows of all surveys.
        shards: images of all surveys in image shards, for each scale that has any.
        series: time series of all surveys by name, float32 (N, channels, time...), NaN where nothing was measured.
        augment: whether batches have random numbers for the augmentation of images, by a key per (seed, epoch, survey),
            and one of a survey's images in shards is drawn; otherwise it is the first.
        hide: probability of hiding each of covariates, images and series from the model, by the same key.
        seed: of what is drawn.
    """

    rows: Ints = field(repr=False)
    all_lonlat: Floats = field(repr=False)
    covariates: Array = field(repr=False)
    known: NDArray[np.bool_] = field(repr=False)
    labels: Labels = field(repr=False)
    images: Windows | None = None
    shards: Sequence[SurveyImages] = ()
    series: Mapping[str, Array] = field(default_factory=dict, repr=False)
    augment: bool = False
    hide: float = 0.0
    seed: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lonlat(self) -> Floats:
        """Places of the rows, WGS84 degrees, float64 (n, 2)."""
        return self.all_lonlat[self.rows]

    def subset(self, rows: Ints, *, plain: bool = False) -> "SurveyDataset":
        """The same table, with ids that number some of its surveys; `plain` without anything drawn or hidden."""
        part = replace(self, rows=rows)
        return replace(part, augment=False, hide=0.0) if plain else part

    @property
    def covariates_or_nan(self) -> Array:
        """Covariates of all surveys, float32 (N, C), NaN where unknown, as forests and regressions take them."""
        return np.where(self.known, self.covariates, np.float32(np.nan))

    @property
    def image_bytes(self) -> int:
        """Bytes of the images of one row."""
        windows = 0 if self.images is None else self.images.row_bytes
        return windows + sum(each.row_bytes for each in self.shards)

    def parts(self) -> list[Part]:
        """What is in memory, windows of the cube, and images from shards, each scale by itself."""
        found: list[Part] = [InMemory(self._in_memory)]
        if self.images is not None:
            found.append(FromCube(self.images, self._with_windows, self.rows))
        drawn = [each.drawing(self.seed, self.hide) if self.augment else each for each in self.shards]
        return found + [Decoded(replace(each, rows=self.rows).read) for each in drawn]

    def read(self, ids: Ints, epochs: Ints) -> Batch[Array]:
        """A batch with `labels` dense, (N, S), and `place` the number of the survey."""
        return read_parts(self.parts(), ids, epochs)

    def _in_memory(self, ids: Ints, epochs: Ints) -> Batch[Array]:
        survey = self.rows[ids]
        key = keyed_random.keys(self.seed, epochs, survey)
        batch: Batch[Array] = Batch(
            {"lonlat": self.all_lonlat[survey], "place": survey, "labels": self.labels.dense(survey)}
        )
        if self.covariates.shape[1]:
            batch["covariates"] = self.covariates[survey]
            batch["has_covariates"] = self.known[survey]
            if self.hide:
                batch["hide_covariates"] = keyed_random.uniform(key, 6) < self.hide
        for number, (name, values) in enumerate(self.series.items()):
            part = values[survey]
            batch[f"series_{name}"] = part
            batch[f"has_series_{name}"] = np.asarray(np.isfinite(part).any(axis=tuple(range(1, part.ndim))))
            if self.hide:
                batch[f"hide_series_{name}"] = keyed_random.uniform(key, _SERIES + number) < self.hide
        return batch

    def _with_windows(self, ids: Ints, epochs: Ints, images: Array) -> Batch[Array]:
        key = keyed_random.keys(self.seed, epochs, self.rows[ids])
        batch: Batch[Array] = Batch(
            {"has_satellite": np.asarray(images.any(axis=(1, 2, 3))), "image_satellite": images}
        )
        if self.augment:
            batch["draws_satellite"] = keyed_random.table(key)
        if self.hide:
            batch["hide_satellite"] = keyed_random.uniform(key, 7) < self.hide
        return batch
