"""Whether the surveys of a fold are enough to learn from, found out before anything is trained."""

from collections.abc import Iterable

import numpy as np

from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Role
from sdm_ray.progress import say
from sdm_ray.stores.labels import SparseLabels
from sdm_ray.training.finetune.data import Table


def varies(labels: SparseLabels, rows: np.ndarray) -> bool:
    """Whether any species is present in some surveys and absent in others."""
    present, absent = labels.counts(rows)
    return bool(((present > 0) & (absent > 0)).any())


def check_folds(table: Table, folds: Iterable[int | None], *, absences: bool) -> None:
    """Check that every fold can be learnt from, and report what cannot.

    Args:
        table: the surveys.
        folds: numbers of the folds; None for the one of everything.
        absences: whether the loss learns from absences, so that nothing can be learnt from a single class.

    Raises:
        InputError: the surveys of a fold hold a single class.
    """
    for fold in folds:
        name = "the one fold" if fold is None else f"fold {fold}"
        split = table.split(fold, keep_some=True)
        if absences and not varies(table.labels, split.train):
            raise InputError(
                f"{name}: its {len(split.train)} train surveys hold a single class (no species is present in some and"
                " absent in others); expected other surveys or smaller blocks, or for records of one species background"
                " places: `presence: {loss: assume_negative, background: uniform}`"
            )
        if len(split.validation) and not varies(table.labels, split.validation):
            say(
                f"  {name}: its {len(split.validation)} `validation` surveys hold a single class;"
                " it trains all its epochs"
            )
        tested = np.flatnonzero(table.role(fold) == Role.TEST)
        unknown = (table.labels.counts(tested)[0] > 0) & (table.labels.counts(split.train)[0] == 0)
        if unknown.any():
            first = table.species["name"].iloc[int(np.argmax(unknown))]
            say(f"  {name}: {unknown.sum()} species of its test blocks are in no survey to learn from, such as {first}")
