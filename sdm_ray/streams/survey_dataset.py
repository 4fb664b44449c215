"""Surveys as batches for the species model: coordinates, covariates, time series, images and labels, by id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sdm_ray.streams import keyed_random
from sdm_ray.streams.loader import Batch, Fetch
from sdm_ray.streams.survey_images import SurveyImages
from sdm_ray.streams.windows import Windows

_SERIES = 16  # number of the draw that hides the first series


class Labels(Protocol):
    """Which species surveys hold, as `stores.labels.SparseLabels` has them."""

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
        lonlat: of all surveys, WGS84 degrees, float64 (N, 2).
        covariates: of all surveys, float32 (N, C), 0 where unknown; C may be 0.
        known: which covariates of a survey are known, (N, C) bool.
        labels: species of all surveys.
        images: satellite windows of all surveys.
        shards: images of all surveys out of image shards, for each scale that has any.
        series: time series of all surveys by name, float32 (N, channels, time...), NaN where nothing was measured.
        augment: whether draws for the augmentation of images come along, by a key per (seed, pass, survey), and one
            of several images out of shards is drawn; otherwise it is the first.
        hide: chance that each of covariates, images and series is to be hidden from the model, by the same key.
        seed: of what is drawn.
    """

    rows: np.ndarray = field(repr=False)
    lonlat: np.ndarray = field(repr=False)
    covariates: np.ndarray = field(repr=False)
    known: np.ndarray = field(repr=False)
    labels: Labels = field(repr=False)
    images: Windows | None = None
    shards: Sequence[SurveyImages] = ()
    series: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    augment: bool = False
    hide: float = 0.0
    seed: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def only(self, rows: np.ndarray, *, plain: bool = False) -> "SurveyDataset":
        """The same table, with ids that number some of its rows; `plain` draws nothing."""
        part = replace(self, rows=rows)
        return replace(part, augment=False, hide=0.0) if plain else part

    @property
    def covariates_or_nan(self) -> np.ndarray:
        """Covariates of all surveys, float32 (N, C), NaN where unknown, as forests and regressions take them."""
        return np.where(self.known, self.covariates, np.float32(np.nan))

    @property
    def windows(self) -> Windows | None:
        """Of each id."""
        return None if self.images is None else self.images.only(self.rows)

    @property
    def image_bytes(self) -> int:
        """Bytes of the images of one row."""
        windows = 0 if self.images is None else self.images.row_bytes
        return windows + sum(each.row_bytes for each in self.shards)

    def parts(self) -> list[Fetch]:
        """What makes up a batch: all but the images out of shards, and those of each scale."""
        drawn = [each.drawing(self.seed, self.hide) if self.augment else each for each in self.shards]
        return [replace(self, shards=()), *(replace(each, rows=self.rows) for each in drawn)]

    def __call__(self, ids: np.ndarray, epochs: np.ndarray) -> Batch:
        """A batch of DESIGN.md with `labels` dense, (N, S), and `place` the number of the survey."""
        batch = self.with_images(ids, epochs, None if self.images is None else self.images.read(self.rows[ids]))
        for each in self.parts()[1:]:
            batch |= each(ids, epochs)
        return batch

    def with_images(self, ids: np.ndarray, epochs: np.ndarray, images: np.ndarray | None) -> Batch:
        """The same with windows that have been read, uint16 (N, B, size, size), and without images out of shards."""
        survey = self.rows[ids]
        key = keyed_random.keys(self.seed, epochs, survey)
        batch: Batch = {"lonlat": self.lonlat[survey], "place": survey, "labels": self.labels.dense(survey)}
        if self.covariates.shape[1]:
            batch["covariates"] = self.covariates[survey]
            batch["has_covariates"] = self.known[survey]
            if self.hide:
                batch["hide_covariates"] = keyed_random.uniform(key, 6) < self.hide
        for number, (name, values) in enumerate(self.series.items()):
            part = values[survey]
            batch[f"series_{name}"] = part
            batch[f"has_series_{name}"] = np.isfinite(part).any(axis=tuple(range(1, part.ndim)))
            if self.hide:
                batch[f"hide_series_{name}"] = keyed_random.uniform(key, _SERIES + number) < self.hide
        if images is not None:
            batch["has_satellite"] = np.asarray(images.any(axis=(1, 2, 3)))
            batch["image_satellite"] = images
            if self.augment:
                batch["draws_satellite"] = keyed_random.table(key)
            if self.hide:
                batch["hide_satellite"] = keyed_random.uniform(key, 7) < self.hide
        return batch
