"""Which rows teach, choose and test: by spatial blocks, or by whole countries."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sdm_ray.errors import InputError
from sdm_ray.evaluation.baselines import build_rival, tuned
from sdm_ray.evaluation.config import BoostingConfig, Features, ForestConfig
from sdm_ray.geo.blocks import Blocks, Role, fold_of, role
from sdm_ray.progress import track

_NO_FOLD = -1  # held out where no block is


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
        for use, rows in (("train", self.train), ("test", self.test)):
            if not len(rows):
                raise InputError(f"{self.name}: no {use} surveys; expected some: use larger or fewer folds")
            present = labels[rows].any(axis=0) & ~labels[rows].all(axis=0)
            if not present.any():
                raise InputError(
                    f"{self.name}: its {len(rows)} {use} surveys hold a single class (no species is present"
                    " in some and absent in others); use larger or fewer folds"
                )


def block_folds(x: np.ndarray, y: np.ndarray, blocks: Blocks) -> list[Fold]:
    """One fold for each held-out set of blocks, as the models of a cross-fitted map have them.

    Args:
        x: (N,) EPSG:3035 metres.
        y: (N,) EPSG:3035 metres.
        blocks: how places are held out.
    """
    return [_fold(f"fold {held_out}", role(x, y, blocks, held_out)) for held_out in range(blocks.folds)]


def country_number(country: np.ndarray) -> np.ndarray:
    """A number (N,) int64 for each country's name or code, the same in every table, for `fold_of`."""
    names, index = np.unique(np.asarray(country).astype(str), return_inverse=True)
    digests = [hashlib.sha256(name.encode()).digest()[:8] for name in names]
    return np.array([int.from_bytes(digest, "big") >> 1 for digest in digests], np.int64)[index]


def country_folds(country: np.ndarray, x: np.ndarray, y: np.ndarray, blocks: Blocks) -> list[Fold]:
    """Folds that leave whole countries out; the rows to choose on are whole blocks of the other countries.

    Folds without any country are left out of the list: there may be fewer countries than folds.

    Args:
        country: (N,) name or code of each row's country.
        x: (N,) EPSG:3035 metres.
        y: (N,) EPSG:3035 metres.
        blocks: seed, number of folds and the share of blocks to choose on.
    """
    held_out_in = fold_of(country_number(country), blocks)
    roles = role(x, y, replace(blocks, buffer_m=0), _NO_FOLD)
    made = []
    for held_out in np.unique(held_out_in):
        made.append(_fold(f"country fold {held_out}", np.where(held_out_in == held_out, Role.TEST, roles)))
    return made


def _fold(name: str, roles: np.ndarray) -> Fold:
    return Fold(name, *(np.flatnonzero(roles == each) for each in (Role.TRAIN, Role.SELECT, Role.TEST)))


def cross_fit(
    rivals: Sequence[ForestConfig | BoostingConfig],
    features: Mapping[Features, np.ndarray],
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
