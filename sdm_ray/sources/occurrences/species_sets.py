"""From rows of occurrences to sets of species: no label is lost when many rows are one survey."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdm_ray.errors import InputError
from sdm_ray.sources.base import Report


@dataclass(frozen=True)
class SpeciesSets:
    """One array of species numbers for each survey, and the species in alphabetical order."""

    lists: list[NDArray[np.int32]]
    species: pd.DataFrame


def species_sets(
    survey: NDArray[np.int64],
    names: pd.Series,
    count: int,
    min_records: int,
    report: Report,
    gbif_key: pd.Series | None = None,
) -> SpeciesSets:
    """Group occurrences by survey.

    Args:
        survey: number of the survey of each occurrence, (N,).
        names: species of each occurrence, (N,); blank where none was recorded.
        count: number of surveys; one without occurrences gets an empty set.
        min_records: surveys that a species must be in; rarer ones are left out of every set.
        report: takes how many rows were repeated and how many species were too rare.
        gbif_key: of each occurrence's species, (N,).

    Raises:
        InputError: no species is frequent enough.
    """
    rows = pd.DataFrame({"survey": survey, "name": names.to_numpy()})
    rows["key"] = pd.array([pd.NA] * len(rows), "Int64") if gbif_key is None else gbif_key.to_numpy()
    named = rows[rows["name"].notna()]
    single = named.drop_duplicates(["survey", "name"])
    records = single["name"].value_counts()
    kept = sorted(records.index[records >= min_records])
    if not kept:
        most = f"{records.index[0]} has most, {records.iloc[0]}" if len(records) else "no row names a species"
        raise InputError(f"{report.name}: no species has {min_records} records ({most})")
    number = pd.Series(np.arange(len(kept), dtype=np.int32), kept)
    frequent = single[single["name"].isin(kept)]
    frequent = frequent.assign(species=number.loc[frequent["name"]].to_numpy()).sort_values(["survey", "species"])
    breaks = np.searchsorted(frequent["survey"].to_numpy(), np.arange(1, count))
    lists = np.split(frequent["species"].to_numpy(np.int32), breaks)
    report.facts |= {
        "repeated_rows": len(named) - len(single),
        "species_below_min_records": len(records) - len(kept),
        "records_of_rare_species": int(records[records < min_records].sum()),
        "surveys_without_species": sum(len(each) == 0 for each in lists),
    }
    keys = single.groupby("name")["key"].first().loc[kept].astype("Int64")
    names_kept = [str(name) for name in kept]
    species = pd.DataFrame({"species_id": number.to_numpy(), "name": names_kept, "gbif_key": keys.array})
    return SpeciesSets(lists, species)
