"""A random forest beside the network: it teaches what its trees say of surveys that they did not see, and it votes.

Teaching is knowledge distillation (Hinton et al. 2015, arXiv:1503.02531) from out-of-bag predictions (Breiman 1996): a
survey's label is one draw, and many trees that did not see it know how probable it was. Of an overfitted teacher, which
repeats the labels, nothing would be learnt. The vote is a mean of logits (a committee): a network answers smoothly and
trees in steps, and they err apart.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray

from sdm_ray.baselines.base import feature_matrix
from sdm_ray.baselines.config import Features
from sdm_ray.errors import InputError
from sdm_ray.models.forest import Forest, Tree
from sdm_ray.streams.prefetch import prefetch
from sdm_ray.streams.survey_dataset import Labels, SurveyDataset
from sdm_ray.training.finetune.config import CompanionConfig

_MOST_LABELS = 100_000_000  # surveys x species, 0.8 GB in the double precision of trees
_MOST_VOTED = 1000  # species: each lengthens the embedding that a map holds of a tile, 1 GB for so many

Grown = tuple[NDArray[np.float32], Forest | None]
"""What the trees that did not see a survey say of it, (n, S), and the forest if it is to vote."""
Grow = Callable[[NDArray[np.float32], NDArray[np.float32], CompanionConfig, int], Grown]
"""(features, labels, config, seed) -> what `grown` gives."""


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


def features_of(dataset: SurveyDataset, rows: NDArray[np.int64], *, located: bool) -> NDArray[np.float32]:
    """What a forest goes by, as `SpeciesModel` gives it: degrees, then covariates, NaN where unknown; (n, F).

    Args:
        dataset: all surveys.
        rows: numbers of those that are wanted.
        located: whether the model knows the coordinates.
    """
    lonlat, covariates = dataset.lonlat[rows], dataset.covariates_or_nan[rows]
    kind: Features = "coordinates" if not covariates.shape[1] else "both" if located else "covariates"
    return feature_matrix(kind, lonlat[:, 0], lonlat[:, 1], covariates)


def taught(
    dataset: SurveyDataset, rows: NDArray[np.int64], config: CompanionConfig, grow: Grow, *, located: bool = True
) -> tuple[SurveyDataset, Forest | None]:
    """The same surveys, whose labels are mixed with what the forest says of them, and the forest if it is to vote.

    Args:
        dataset: all surveys; coordinates and covariates are what the forest goes by.
        rows: numbers of the surveys that are trained on, ascending; the forest sees no other.
        config: the forest, and how much it weighs.
        grow: `grown`, or that of `Forests`.
        located: whether the model knows the coordinates.

    Raises:
        InputError: there are too many labels for a forest, or too many species for its vote.
    """
    species = dataset.labels.n_species
    if (count := len(rows) * species) > _MOST_LABELS:
        raise InputError(
            f"forest: {len(rows)} surveys of {species} species are {count:,} labels; it takes at most"
            f" {_MOST_LABELS:,}: expected fewer, or `forest: null`"
        )
    if config.ensemble_weight and species > _MOST_VOTED:
        raise InputError(
            f"forest.ensemble_weight: for at most {_MOST_VOTED} species, found {species}; expected `ensemble_weight: 0`"
        )
    from sklearn.impute import SimpleImputer  # seconds of the start of every worker otherwise

    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    x = features_of(dataset, rows, located=located)
    labels = dataset.labels.dense(rows).astype(np.float32)
    said, forest = grow(imputer.fit_transform(x), labels, config, dataset.seed)
    soft = config.distillation_weight * said
    soft += (1 - config.distillation_weight) * labels
    return replace(dataset, labels=SoftLabels(dataset.labels, rows, soft)), forest


class Forests:
    """Grows each forest once in a process: the trials of a sweep mostly differ in what forests do not depend on.

    Args:
        most: that are kept, one for each fold that is trained side by side.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._grown: dict[bytes, Grown] = {}

    def grown(self, x: NDArray[np.float32], labels: NDArray[np.float32], config: CompanionConfig, seed: int) -> Grown:
        """As `grown`; what it gives is shared, and must not be changed."""
        trees = config.model_dump(exclude={"distillation_weight", "ensemble_weight"}) | {
            "votes": config.ensemble_weight > 0
        }
        digest = blake2b(repr((trees, seed, x.shape, labels.shape)).encode())
        for values in (x, labels):
            digest.update(values.tobytes())
        key = digest.digest()
        if key not in self._grown:
            while len(self._grown) >= self._most:
                del self._grown[next(iter(self._grown))]
            self._grown[key] = grown(x, labels, config, seed)
        return self._grown[key]


def grown(
    x: NDArray[np.float32], labels: NDArray[np.float32], config: CompanionConfig, seed: int, threads: int | None = None
) -> Grown:
    """Mean over the trees of a random forest that did not see a row, (n, S), and the forest if it is to vote.

    Of each tree no more is kept than that, since those of many species are large.

    Args:
        x: features, finite, (n, F).
        labels: 0 and 1, (n, S).
        config: the forest.
        seed: of the rows and features that a tree sees.
        threads: that grow trees side by side, by default as many as torch has; what comes out does not depend on it.
    """
    threads = threads or torch.get_num_threads()
    total, count = np.zeros(labels.shape, np.float32), np.zeros((len(x), 1), np.float32)

    def heard() -> Iterator[Tree]:
        for tree, unseen, said in _grown(x, labels, config, seed, threads):
            total[unseen] += said
            count[unseen] += 1
            yield tree

    trees = heard()
    forest = Forest.of_trees(trees) if config.ensemble_weight else None
    for _ in trees:  # all of them where nothing is kept
        pass
    total /= np.maximum(count, 1)
    return total, forest


def _grown(
    x: NDArray[np.float32], labels: NDArray[np.float32], config: CompanionConfig, seed: int, threads: int
) -> Iterator[tuple[Tree, NDArray[np.bool_], NDArray[np.float32]]]:
    """Each tree, the rows that it did not see, and what it says of them."""
    from sklearn.tree import DecisionTreeRegressor

    double = labels.astype(np.float64)  # what trees would make of it, each anew

    def grow(number: int) -> tuple[Tree, NDArray[np.bool_], NDArray[np.float32]]:
        rng = np.random.default_rng([seed, number])
        seen = np.bincount(rng.integers(0, len(x), len(x)), minlength=len(x))
        settings = {"max_features": config.max_features, "min_samples_leaf": config.min_samples_leaf}
        model = DecisionTreeRegressor(**settings, random_state=int(rng.integers(1 << 31)))
        model.fit(x, double, sample_weight=seen)
        unseen = seen == 0
        said = model.predict(x[unseen]).astype(np.float32).reshape(-1, labels.shape[1])
        return Tree.of_sklearn(model.tree_), unseen, said

    yield from prefetch((partial(grow, number) for number in range(config.trees)), threads, threads)
