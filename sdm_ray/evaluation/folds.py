"""Which rows teach, choose and test: by spatial blocks, or by whole countries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sdm_ray.errors import InputError
from sdm_ray.evaluation.baselines import build_rival, tuned
from sdm_ray.evaluation.config import BoostingConfig, ForestConfig
from sdm_ray.progress import track


@dataclass(frozen=True)
class Fold:
    """Row numbers of one fold by role."""

    name: str
    train: np.ndarray
    select: np.ndarray
    test: np.ndarray

    def check(self, labels: np.ndarray) -> None:
        """See that the fold can teach and test.

        Raises:
            InputError: a role that is needed has no survey, or the surveys of one role hold a single class.
        """
        for role, rows in (("train", self.train), ("test", self.test)):
            if not len(rows):
                raise InputError(f"{self.name}: no {role} surveys; expected some: use larger or fewer folds")
            present = labels[rows].any(axis=0) & ~labels[rows].all(axis=0)
            if not present.any():
                raise InputError(
                    f"{self.name}: its {len(rows)} {role} surveys hold a single class (no species is present"
                    " in some and absent in others); use larger or fewer folds"
                )


def country_groups(country: np.ndarray, groups: int) -> np.ndarray:
    """Put whole countries into groups of about equal size: the largest first, each into the emptiest group.

    Args:
        country: (N,) country of each row.
        groups: number of groups.

    Returns:
        (N,) int16 group of each row.

    Raises:
        InputError: there are fewer countries than groups.
    """
    names, index, counts = np.unique(country, return_inverse=True, return_counts=True)
    if len(names) < groups:
        raise InputError(f"countries: {len(names)} found, expected at least {groups}, one a fold")
    filled = np.zeros(groups, np.int64)
    group_of = np.zeros(len(names), np.int16)
    for each in np.argsort(-counts, kind="stable"):
        group_of[each] = filled.argmin()
        filled[group_of[each]] += counts[each]
    return group_of[index]


def country_folds(
    country: np.ndarray, blocks: np.ndarray, folds: int, select: float, seed: int
) -> list[Fold]:
    """Folds that leave whole countries out; the rows to choose on are whole blocks of the other countries.

    Args:
        country: (N,) country of each row.
        blocks: (N,) block id of each row.
        folds: number of groups of countries.
        select: share of the blocks to choose on.
        seed: of their draw.
    """
    group = country_groups(country, folds)
    ids, block = np.unique(blocks, return_inverse=True)
    chosen = np.random.default_rng(seed).random(len(ids))[block] < select
    made = []
    for number in range(folds):
        test = group == number
        rows = [np.flatnonzero(which) for which in (~test & ~chosen, ~test & chosen, test)]
        made.append(Fold(f"country fold {number}", *rows))
    return made


def cross_fit(
    rivals: Sequence[ForestConfig | BoostingConfig],
    features: Mapping[str, np.ndarray],
    labels: np.ndarray,
    folds: Sequence[Fold],
    *,
    seed: int,
    threads: int,
) -> tuple[dict[str, np.ndarray], dict[str, dict]]:
    """Fit each rival fold by fold and predict the rows that the fold holds out.

    Args:
        rivals: their settings.
        features: kind of features -> (N, F).
        labels: (N, S) of 0 and 1.
        folds: the folds; together they test every row that is to be predicted.
        seed: of the rivals.
        threads: for each fit.

    Returns:
        Name -> (N, S) float32 predictions, NaN for rows that no fold tests, and name -> the settings used.

    Raises:
        InputError: a fold is empty or holds a single class.
    """
    for fold in folds:
        fold.check(labels)
    predictions: dict[str, np.ndarray] = {}
    settings: dict[str, dict] = {}
    for config in rivals:
        x = features[config.features]
        if config.tune:
            first = folds[0]
            config = tuned(config, x, labels, first.train, first.select, seed=seed, threads=threads)
        found = np.full(labels.shape, np.nan, np.float32)
        name = build_rival(config, seed, threads).name
        for fold in track(folds, len(folds), f"{name}, fold"):
            rival = build_rival(config, seed, threads)
            rival.fit(x, labels, fold.train, fold.select)
            found[fold.test] = rival.predict(x[fold.test])
        predictions[name], settings[name] = found, config.model_dump()
    return predictions, settings
