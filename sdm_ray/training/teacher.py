"""A random forest that teaches beside the labels: what its trees say of surveys that they did not see.

Knowledge distillation (Hinton et al. 2015, arXiv:1503.02531) from out-of-bag predictions (Breiman 1996): a survey's
label is one draw, and many trees that did not see it know how probable it was. Of an overfitted teacher, which repeats
the labels, nothing would be learnt.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sdm_ray.errors import InputError
from sdm_ray.evaluation.baselines import feature_matrix
from sdm_ray.evaluation.medians import Medians
from sdm_ray.streams.ahead import ahead
from sdm_ray.streams.surveys import Labels, SurveyFetch
from sdm_ray.training.species_config import TeacherConfig

# Surveys x species: 0.8 GB in the trees' double precision, and 0.4 GB for the labels and for what the forest says.
_MOST_LABELS = 100_000_000


@dataclass(frozen=True)
class SoftLabels:
    """Labels of some surveys, drawn to what a teacher says of them; see `streams.surveys.Labels`.

    Attributes:
        full: what the surveys hold.
        rows: numbers of the surveys that were taught, ascending, (n,).
        soft: their probabilities, float32 (n, n_species).
    """

    full: Labels
    rows: NDArray[np.int64] = field(repr=False)
    soft: NDArray[np.float32] = field(repr=False)

    @property
    def n_species(self) -> int:
        """Number of species."""
        return self.full.n_species

    def dense(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Labels of some of the surveys that were taught, (len(ids), n_species)."""
        return self.soft[np.searchsorted(self.rows, ids)]

    def counts(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """In how many of some surveys each species is present, and in how many absent, (n_species,) each."""
        return self.full.counts(ids)


def taught(fetch: SurveyFetch, rows: NDArray[np.int64], config: TeacherConfig, threads: int) -> SurveyFetch:
    """The same surveys, whose labels are mixed with the forest's probabilities.

    Args:
        fetch: all surveys; coordinates and covariates are what the forest goes by.
        rows: numbers of the surveys that are trained on, ascending; the forest sees no other.
        config: the forest, and how much it weighs.
        threads: that grow trees side by side; what comes out does not depend on it.

    Raises:
        InputError: there are too many labels for a forest.
    """
    count = len(rows) * fetch.labels.n_species
    if count > _MOST_LABELS:
        raise InputError(
            f"teacher: {len(rows)} surveys of {fetch.labels.n_species} species are {count:,} labels; a forest takes"
            f" at most {_MOST_LABELS:,}: expected fewer, or `teacher: null`"
        )
    lonlat, covariates = fetch.lonlat[rows], fetch.covariates_or_nan[rows]
    x = feature_matrix("both" if covariates.shape[1] else "coordinates", lonlat[:, 0], lonlat[:, 1], covariates)
    labels = fetch.labels.dense(rows).astype(np.float32)
    soft = out_of_bag(Medians(x).fill(x), labels, config, fetch.seed, threads)
    soft *= config.share
    soft += (1 - config.share) * labels
    return replace(fetch, labels=SoftLabels(fetch.labels, rows, soft))


def out_of_bag(
    x: NDArray[np.float32], labels: NDArray[np.float32], config: TeacherConfig, seed: int, threads: int
) -> NDArray[np.float32]:
    """Mean over the trees of a random forest that did not see a row, (n, S).

    Trees are let go as they are grown, since those of many species are large.

    Args:
        x: features, finite, (n, F).
        labels: 0 and 1, (n, S).
        config: the forest.
        seed: of the rows and features that a tree sees.
        threads: that grow trees side by side.
    """
    total, trees = np.zeros(labels.shape, np.float32), np.zeros((len(x), 1), np.float32)
    for unseen, predicted in _grown(x, labels, config, seed, threads):
        total[unseen] += predicted
        trees[unseen] += 1
    total /= np.maximum(trees, 1)
    return total


def _grown(
    x: NDArray[np.float32], labels: NDArray[np.float32], config: TeacherConfig, seed: int, threads: int
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.float32]]]:
    """Of each tree the rows that it did not see, and what it predicts for them."""
    from sklearn.tree import DecisionTreeRegressor

    double = labels.astype(np.float64)  # what trees would make of it, each anew

    def grow(number: int) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        rng = np.random.default_rng([seed, number])
        seen = np.bincount(rng.integers(0, len(x), len(x)), minlength=len(x))
        settings = {"max_features": config.max_features, "min_samples_leaf": config.min_samples_leaf}
        tree = DecisionTreeRegressor(**settings, random_state=int(rng.integers(1 << 31)))
        tree.fit(x, double, sample_weight=seen)
        unseen = seen == 0
        return unseen, tree.predict(x[unseen]).astype(np.float32).reshape(-1, labels.shape[1])

    yield from ahead((partial(grow, number) for number in range(config.trees)), threads, threads)
