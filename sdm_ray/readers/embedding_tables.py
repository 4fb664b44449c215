"""Tables with a precomputed embedding of each survey."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdm_ray.errors import InputError, few
from sdm_ray.readers import alphaearth
from sdm_ray.readers.config import EmbeddingTable
from sdm_ray.readers.tables import column_names, numbers, read_table, whole_texts
from sdm_ray.stores.embedding_sources import EmbeddingSource, component_names, require_one_of_each

_LENGTHS = (0.9, 1.1)  # of AlphaEarth's vectors, as published 1


def joined(
    surveys: pd.DataFrame, ids: pd.Series, tables: Sequence[EmbeddingTable], prefix: str = ""
) -> tuple[pd.DataFrame, list[EmbeddingSource], dict[str, int]]:
    """A table of surveys with the components of their embeddings as further columns, NaN where there is none.

    Args:
        surveys: any columns, (N,).
        ids: the surveys' ids as text, (N,).
        tables: of the embeddings.
        prefix: of the new columns' names.

    Returns:
        The table, where its embeddings come from, and how many surveys lack each.

    Raises:
        InputError: a table cannot be used, has no survey of these, or two are one embedding in two versions or years.
    """
    sources: list[EmbeddingSource] = []
    lacking: dict[str, int] = {}
    columns: dict[str, NDArray[np.float32]] = {}
    for each in tables:
        found, source = read_embeddings(each)
        values = found.reindex(ids).to_numpy(np.float32)
        missing = int(np.isnan(values).any(axis=1).sum())
        if len(values) and missing == len(values):
            raise InputError(f"{each.table}: has none of the {len(values)} surveys, such as {ids.iloc[0]}")
        sources.append(source)
        lacking[f"surveys_without_{each.name}"] = missing
        columns |= {f"{prefix}{name}": values[:, number] for number, name in enumerate(source.covariates)}
    where = few([each.table for each in tables])
    merged = surveys.join(pd.DataFrame(columns, index=surveys.index)) if columns else surveys
    return merged, require_one_of_each(sources, where), lacking


def read_embeddings(entry: EmbeddingTable) -> tuple[pd.DataFrame, EmbeddingSource]:
    """The embeddings of a table, a row by id and a column for each component, and what they are.

    Raises:
        InputError: it cannot be read, its components are not to be found or not as many as the embedding has, or a
            survey stands in it twice.
    """
    names = _columns(entry)
    raw = read_table(entry.table, [entry.key, *names])
    values = _values(entry, raw, names)
    if entry.name == "alphaearth":
        values = _alphaearth(entry, values)
    ids = whole_texts(raw[entry.key])
    if ids.duplicated().any():
        raise InputError(f"{entry.table}: {entry.key} {ids[ids.duplicated()].iloc[0]} stands in two rows; expected one")
    covariates = component_names(entry.name, values.shape[1])
    source = EmbeddingSource(name=entry.name, version=entry.version, year=entry.year, covariates=covariates)
    return pd.DataFrame(values.astype(np.float32), index=ids, columns=list(covariates)), source


def _columns(entry: EmbeddingTable) -> list[str]:
    """The columns of the components: the largest family of names that differ in a number alone, in its order."""
    if entry.columns is not None:
        return entry.columns
    found = [name for name in column_names(entry.table) if name != entry.key]
    families: dict[str, list[tuple[int, str]]] = {}
    for name in found:
        if match := re.fullmatch(r"(.*?)(\d+)", name):
            families.setdefault(match[1], []).append((int(match[2]), name))
    largest = max(families.values(), key=len, default=[])
    if len(largest) > 1:
        return [name for _, name in sorted(largest)]
    if len(found) == 1:
        return found
    raise InputError(f"{entry.table}: found {few(found, 12)}; name the components' columns in order under `columns`")


def _values(entry: EmbeddingTable, raw: pd.DataFrame, names: list[str]) -> NDArray[np.generic]:
    """Components (N, C), bytes as they are."""
    if len(names) > 1:
        if all(raw[name].dtype == np.int8 for name in names):
            return raw[names].to_numpy(np.int8)
        return np.column_stack([numbers(raw, name, entry.table) for name in names])
    lists = raw[names[0]]
    lengths = {len(each) if isinstance(each, np.ndarray | list | tuple) else -1 for each in lists}
    if len(lengths) != 1 or lengths == {-1}:
        raise InputError(f"{entry.table}: column {names[0]} holds no lists of one length; expected the components")
    return np.stack([np.asarray(each) for each in lists])


def _alphaearth(entry: EmbeddingTable, values: NDArray[np.generic]) -> NDArray[np.float32]:
    """The components of AlphaEarth, from bytes or from numbers, which are those of vectors of length 1."""
    if values.shape[1] != alphaearth.COMPONENTS:
        wanted = f"expected the {alphaearth.COMPONENTS} of AlphaEarth"
        raise InputError(f"{entry.table}: {values.shape[1]} columns of components, {wanted}")
    stored = values.dtype == np.int8
    found = alphaearth.dequantised(values.astype(np.int8)) if stored else values.astype(np.float32)
    length = float(np.nanmedian(np.linalg.norm(found, axis=1))) if len(found) else 1.0
    if not _LENGTHS[0] <= length <= _LENGTHS[1]:
        raise InputError(
            f"{entry.table}: the embeddings have a length of {length:.3g} (median); expected 1, or bytes (int8)"
        )
    return found
