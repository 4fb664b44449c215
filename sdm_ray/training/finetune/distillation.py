"""A random forest joined with the network: the network learns from its out-of-bag predictions, and both are averaged.

Learning from them is knowledge distillation (Hinton et al. 2015, arXiv:1503.02531) with out-of-bag predictions (Breiman
1996): a survey's label is one draw, and many trees that did not see it know how probable it was. From trees that did
see it, which repeat the label, nothing would be learnt. The ensemble is a mean of logits: a network predicts smoothly
and trees in steps, and their errors differ.

Where the loss compares surveys with background places, so does the forest: each tree sees no more of them than surveys
(down-sampling, Valavi et al. 2021, "Modelling species presence-only data with random forests"), with no species there.
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
from sdm_ray.cores import usable_cores
from sdm_ray.errors import InputError
from sdm_ray.models.distributed import ALONE, Ranks
from sdm_ray.models.forest import Forest, Tree
from sdm_ray.progress import say
from sdm_ray.streams.prefetch import prefetch
from sdm_ray.streams.survey_dataset import Labels, SurveyDataset
from sdm_ray.training.finetune.head_config import MOST_LABELS, MOST_SPECIES, EnsembleConfig

Grown = tuple[NDArray[np.float32], Forest | None]
"""Out-of-bag predictions of the surveys, (n, S), and the forest if it joins the ensemble."""
Grow = Callable[[NDArray[np.float32], NDArray[np.float32], EnsembleConfig, int], Grown]
"""(features, labels, config, seed) -> what `grown` gives."""


@dataclass(frozen=True)
class SoftLabels:
    """Labels of some surveys, mixed with predictions of a forest; see `survey_dataset.Labels`.

    Attributes:
        full: what the surveys hold.
        rows: numbers of the surveys that are trained on, ascending, (n,).
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
        """Labels of some of the surveys that are trained on, (len(ids), n_species)."""
        return self.soft[np.searchsorted(self.rows, ids)]

    def counts(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """In how many of some surveys each species is present, and in how many absent, (n_species,) each."""
        return self.full.counts(ids)


def features_of(dataset: SurveyDataset, rows: NDArray[np.int64], *, located: bool) -> NDArray[np.float32]:
    """What a forest goes by, in the order of `SpeciesModel`: degrees, then covariates, NaN where unknown; (n, F).

    Args:
        dataset: all surveys.
        rows: numbers of those that are wanted.
        located: whether the model knows the coordinates.
    """
    lonlat, covariates = dataset.all_lonlat[rows], dataset.covariates_or_nan[rows]
    kind: Features = "coordinates" if not covariates.shape[1] else "both" if located else "covariates"
    return feature_matrix(kind, lonlat[:, 0], lonlat[:, 1], covariates)


@dataclass(frozen=True)
class Joining:
    """How a forest joins a network.

    Attributes:
        config: how it is grown, and its share in the ensemble.
        distillation_weight: its share in the labels.
        located: whether the model knows the coordinates.
        background: places without any species, for losses that have them.
    """

    config: EnsembleConfig
    distillation_weight: float = 0.0
    located: bool = True
    background: SurveyDataset | None = None


def joined(
    dataset: SurveyDataset, rows: NDArray[np.int64], joining: Joining, grow: Grow
) -> tuple[SurveyDataset, Forest | None]:
    """The same surveys, their labels mixed with the forest's predictions, and the forest if it joins the ensemble.

    Args:
        dataset: all surveys; coordinates and covariates are the forest's features.
        rows: numbers of the surveys that are trained on, ascending; the forest sees no other.
        joining: the forest, and how much it weighs.
        grow: `grown`, or that of `Forests`.

    Raises:
        InputError: there are too many labels for a forest, or too many species for the ensemble.
    """
    config, species = joining.config, dataset.labels.n_species
    if (count := len(rows) * species) > MOST_LABELS:
        raise InputError(
            f"forest: {len(rows)} surveys of {species} species are {count:,} labels; it takes at most"
            f" {MOST_LABELS:,}: expected fewer, or `forest: null`"
        )
    if config.ensemble_weight and species > MOST_SPECIES:
        raise InputError(
            f"forest.ensemble_weight: for at most {MOST_SPECIES} species, found {species};"
            " expected `ensemble_weight: 0`"
        )
    x = features_of(dataset, rows, located=joining.located)
    if joining.background is not None:
        x = np.concatenate([x, features_of(joining.background, joining.background.rows, located=joining.located)])
    labels = dataset.labels.dense(rows).astype(np.float32)
    from sklearn.impute import SimpleImputer  # seconds of the start of every worker otherwise

    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    predicted, forest = grow(imputer.fit_transform(x), labels, config, dataset.seed)
    weight = joining.distillation_weight
    if not weight:
        return dataset, forest
    soft = weight * predicted
    soft += (1 - weight) * labels
    return replace(dataset, labels=SoftLabels(dataset.labels, rows, soft)), forest


class Forests:
    """Grows each forest once in a process: the trials of a sweep mostly differ in what forests do not depend on.

    Args:
        most: that are kept, one for each fold that is trained side by side.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._grown: dict[bytes, Grown] = {}

    def grown(
        self, x: NDArray[np.float32], labels: NDArray[np.float32], config: EnsembleConfig, seed: int,
        ranks: Ranks = ALONE,
    ) -> Grown:  # fmt: skip
        """As `grown_by_first`; what it gives is shared, and must not be changed.

        All ranks ask for the same forests one after the other, so that they agree on which are grown already.
        """
        trees = config.model_dump(exclude={"distillation_weight", "ensemble_weight"}) | {
            "kept": config.ensemble_weight > 0
        }
        digest = blake2b(repr((trees, seed, x.shape, labels.shape)).encode())
        for values in (x, labels):
            digest.update(values.tobytes())
        key = digest.digest()
        if key not in self._grown:
            while len(self._grown) >= self._most:
                del self._grown[next(iter(self._grown))]
            self._grown[key] = grown_by_first(x, labels, config, seed, ranks)
        return self._grown[key]


def grown_by_first(
    x: NDArray[np.float32], labels: NDArray[np.float32], config: EnsembleConfig, seed: int, ranks: Ranks = ALONE
) -> Grown:
    """As `grown`, on every rank, by rank 0 alone: the others wait and are sent the forest."""
    if ranks.world > 1 and ranks.rank == 0:
        say(f"  rank 0 grows a forest of {config.trees} trees for all {ranks.world} ranks")
    return ranks.first(partial(grown, x, labels, config, seed))


def grown(
    x: NDArray[np.float32], labels: NDArray[np.float32], config: EnsembleConfig, seed: int, threads: int | None = None
) -> Grown:
    """Mean over the trees of a random forest that did not see a survey, (n, S), and the forest if it is kept.

    Of each tree no more is kept than that, since those of many species are large.

    Args:
        x: features of n surveys and then of background places, finite, (n or more, F).
        labels: of the surveys, 0 and 1, (n, S); background places hold no species.
        config: the forest.
        seed: of the rows and features that a tree sees.
        threads: that grow trees side by side, by default as many as torch has, but no more than the cores that this
            process may use; the result does not depend on it.
    """
    threads = threads or min(torch.get_num_threads(), usable_cores())
    total, count = np.zeros(labels.shape, np.float32), np.zeros((len(labels), 1), np.float32)

    def trees() -> Iterator[Tree]:
        for tree, unseen, predicted in _grown(x, labels, config, seed, threads):
            total[unseen] += predicted
            count[unseen] += 1
            yield tree

    each = trees()
    places = min(len(x) - len(labels), len(labels))  # without any species, that a tree sees
    prevalence = labels.sum(axis=0) / (len(labels) + places)
    forest = Forest.of_trees(each, prevalence) if config.ensemble_weight else None
    for _ in each:  # all of them where nothing is kept
        pass
    total /= np.maximum(count, 1)
    return total, forest


def _grown(
    x: NDArray[np.float32], labels: NDArray[np.float32], config: EnsembleConfig, seed: int, threads: int
) -> Iterator[tuple[Tree, NDArray[np.bool_], NDArray[np.float32]]]:
    """Each tree, the surveys that it did not see, and what it predicts for them."""
    from sklearn.tree import DecisionTreeRegressor

    surveys, places = len(labels), len(x) - len(labels)
    double = np.zeros((len(x), labels.shape[1]))  # trees would make double precision of it, each anew
    double[:surveys] = labels

    def grow(number: int) -> tuple[Tree, NDArray[np.bool_], NDArray[np.float32]]:
        rng = np.random.default_rng([seed, number])
        seen = np.bincount(rng.integers(0, surveys, surveys), minlength=len(x))
        settings = {"max_features": config.max_features, "min_samples_leaf": config.min_samples_leaf}
        model = DecisionTreeRegressor(**settings, random_state=int(rng.integers(1 << 31)))
        if places:
            drawn = rng.integers(surveys, len(x), min(surveys, places))
            seen += np.bincount(drawn, minlength=len(x))
        model.fit(x, double, sample_weight=seen)
        unseen = seen[:surveys] == 0
        predicted = model.predict(x[:surveys][unseen]).astype(np.float32).reshape(-1, labels.shape[1])
        return Tree.of_sklearn(model.tree_), unseen, predicted

    yield from prefetch((partial(grow, number) for number in range(config.trees)), threads, threads)
