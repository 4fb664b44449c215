"""Covariates that the surveys' table carries in columns: numbers, and classes as one covariate each."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from sdm_ray.errors import InputError, few
from sdm_ray.progress import say
from sdm_ray.readers.places import covariates_of
from sdm_ray.stores.covariates import unknown_at
from sdm_ray.stores.embedding_sources import EmbeddingSource, expanded, require_one_of_each
from sdm_ray.stores.surveys import COVARIATE
from sdm_ray.training.finetune.inputs import CovariateTable

_FEWEST = 10  # surveys of a class; a rarer one has no covariate of its own, which makes it "none of the others"


def survey_covariates(
    surveys: pd.DataFrame,
    wanted: Sequence[str],
    where: object,
    most: float,
    embeddings: Sequence[EmbeddingSource] = (),
) -> CovariateTable:
    """The covariates of surveys by their table, reported where they are unknown at some.

    Args:
        surveys: the table, with columns `covariate:NAME`.
        wanted: their names; of classes, the name of the column, which gives a covariate `NAME=class` for each class;
            that of an embedding stands for all its components.
        where: what the table is, for messages.
        most: share of the surveys at which a covariate may be unknown.
        embeddings: the precomputed embeddings that some columns are components of.

    Raises:
        InputError: the table lacks one, one is unknown at too many surveys, or has the same value everywhere.
    """
    wanted = expanded(wanted, embeddings)
    own = surveys[[name for name in surveys if str(name).startswith(COVARIATE)]]
    own = own.rename(columns=lambda name: str(name).removeprefix(COVARIATE))
    if missing := [name for name in wanted if name not in own]:
        found = few(list(map(str, own)), 12) if len(own.columns) else "none; expected `columns.covariates` of `prepare`"
        raise InputError(f"{where}: has no covariate {missing[0]}; found {found}")
    names = [each for name in wanted for each in _names_of(own[name])]
    values, known = covariates_of(own, names, str(where))
    for line in unknown_at(where, names, known, most):
        say(f"  {line}")
    mean, std = (
        np.array([how(column[there]) for column, there in zip(values.T, known.T, strict=True)], np.float32)
        for how in (np.mean, np.std)
    )
    if len(same := np.flatnonzero(std == 0)):
        raise InputError(f"{where}: covariate {names[same[0]]} is {mean[same[0]]:g} at every survey; leave it out")
    used = tuple(each for each in embeddings if each.among(names))
    return CovariateTable(tuple(names), values, known, mean, std, used)


def columns_of(table: pd.DataFrame, like: CovariateTable, where: str) -> CovariateTable:
    """The same covariates of the rows of another table, by its columns.

    Raises:
        InputError: the table lacks a column.
    """
    values, known = covariates_of(table, like.names, where)
    return replace(like, values=values, known=known)


def side_by_side(first: CovariateTable, second: CovariateTable) -> CovariateTable:
    """Two tables of the same places as one.

    Raises:
        InputError: both have a covariate of one name, or one embedding in two versions or years.
    """
    embeddings = tuple(require_one_of_each(first.embeddings + second.embeddings, "covariates, survey_covariates"))
    if twice := set(first.names) & set(second.names):
        raise InputError(f"survey_covariates: {twice.pop()} is a covariate of the store as well; rename one of them")
    values, known = (
        np.ascontiguousarray(np.hstack(pair)) for pair in ((first.values, second.values), (first.known, second.known))
    )
    mean, std = np.concatenate([first.mean, second.mean]), np.concatenate([first.std, second.std])
    return CovariateTable(first.names + second.names, values, known, mean, std, embeddings)


def _names_of(values: pd.Series) -> list[str]:
    """The covariates of a column: itself, or one for each class that enough surveys have."""
    if pd.api.types.is_numeric_dtype(values):
        return [str(values.name)]
    counts = values.value_counts()
    return [f"{values.name}={each}" for each in sorted(counts.index[counts >= min(_FEWEST, counts.max())])]
