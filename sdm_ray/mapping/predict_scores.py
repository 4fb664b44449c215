"""Scores of predictions by published labels of the same places, such as those of a challenge's test table."""

import csv
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.mapping.config import LabelsConfig
from sdm_ray.metrics.ranking import auc, macro
from sdm_ray.readers.tables import read_table, texts, whole_texts

_SPECIES = 256  # of which probabilities are held at once


def read_labels(config: LabelsConfig) -> pd.Series:
    """The set of species of each labelled place, by its id.

    Raises:
        InputError: the table cannot be read, or names no species.
    """
    raw = read_table(config.table, [config.id, config.species])
    ids, named = whole_texts(raw[config.id]), texts(raw[config.species])
    if named.isna().all():
        raise InputError(f"{config.table}: column {config.species} is blank; expected the species of each place")
    long = ids.duplicated().any()  # a row for each species, whose name may hold blanks
    lists = [[] if pd.isna(each) else [each] if long else next(csv.reader([each], delimiter=" ")) for each in named]
    rows = pd.DataFrame({"id": ids, "species": lists}).explode("species")
    return rows.groupby("id")["species"].apply(lambda each: set(whole_texts(each).dropna()))


def score(
    config: LabelsConfig, ids: pd.Series, sets: Sequence[Sequence[str]], probabilities: UPath
) -> dict[str, float | int | None]:
    """Figures of the labelled places.

    F1, precision and recall are those of each place's set, and then means over places (Picek et al. 2024, GeoPlant,
    section 5: sample-averaged). Species that the model does not know count as missed. AUC is the mean over the species
    that some of the places have, and others not.

    Args:
        config: of the labels.
        ids: of the predicted places, (N,).
        sets: names of the species predicted for each, (N,).
        probabilities: Parquet with a row for each place in this order, and a column for each species.

    Raises:
        InputError: no place is labelled.
    """
    truth = read_labels(config)
    rows: list[int] = np.flatnonzero(ids.isin(truth.index)).tolist()
    if not rows:
        raise InputError(f"{config.table}: labels none of the {len(ids)} places, such as {ids.iloc[0]}")
    present = [truth[ids.iloc[row]] for row in rows]
    chosen = [set(sets[row]) for row in rows]
    both = np.array([len(own & found) for own, found in zip(present, chosen, strict=True)])
    own, found = (np.array([len(each) for each in which]) for which in (present, chosen))
    known = set(pq.read_schema(str(probabilities)).names)
    species = sorted(set().union(*present))
    areas, counts = _auc(probabilities, rows, present, [name for name in species if name in known])
    mean = macro(areas, counts)
    return {
        "f1": float(np.where(own + found > 0, 2 * both / np.maximum(own + found, 1), 1).mean()),
        "precision": float((both / np.maximum(found, 1)).mean()),
        "recall": float((both / np.maximum(own, 1)).mean()),
        "auc": mean.value if mean.counted else None,
        "auc_species": mean.counted,
        "labelled_places": len(rows),
        "unknown_species": len(species) - sum(name in known for name in species),
    }


def _auc(
    probabilities: UPath, rows: Sequence[int], present: Sequence[set[str]], species: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """AUC of each species (S,), and how many of the places have it (S,)."""
    areas, counts = [], []
    for start in range(0, len(species), _SPECIES):
        part = list(species[start : start + _SPECIES])
        with probabilities.open("rb") as file:
            values = pq.read_table(file, columns=part).to_pandas()[part].to_numpy()[rows]
        labels = np.array([[name in each for name in part] for each in present], np.uint8)
        areas.append(auc(labels, values))
        counts.append(labels.sum(axis=0))
    return np.concatenate([*areas, np.zeros(0)]), np.concatenate([*counts, np.zeros(0)])
