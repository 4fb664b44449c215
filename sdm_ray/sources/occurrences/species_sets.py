"""From rows of occurrences to sets of species: no label is lost when many rows are one survey."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdm_ray.errors import InputError
from sdm_ray.sources.base import Report
from sdm_ray.sources.occurrences.taxonomy import group_spellings


@dataclass(frozen=True)
class SpeciesSets:
    """One array of species numbers for each survey, and the species in alphabetical order."""

    lists: list[NDArray[np.int32]]
    species: pd.DataFrame


def species_sets(
    survey: NDArray[np.int64], occurrences: pd.DataFrame, count: int, min_records: int, report: Report
) -> SpeciesSets:
    """Group occurrences by survey.

    The spellings of one species are one species, called by the spelling of most rows; of as many by one that is not
    all capitals and has single blanks.

    Args:
        survey: number of the survey of each occurrence, (N,).
        occurrences: `species`, blank where none was recorded, and `gbif_key`, (N,).
        count: number of surveys; one without occurrences gets an empty set.
        min_records: surveys that a species must be in; rarer ones are left out of every set.
        report: takes how many rows were repeated, which spellings were merged and which species were too rare.

    Raises:
        InputError: no species is frequent enough.
    """
    rows = pd.DataFrame({"survey": survey, "name": occurrences["species"].to_numpy()})
    rows["key"] = occurrences["gbif_key"].astype("Int64").array
    rows = rows[rows["name"].notna()]
    spellings = rows.groupby(["name", "key"], dropna=False, sort=False).size().rename("rows").reset_index()
    spellings["untidy"] = [name.isupper() or name != " ".join(name.split()) for name in spellings["name"]]
    spellings = spellings.sort_values(["rows", "untidy", "name"], ascending=[False, True, True])
    spellings = spellings.rename(columns={"key": "gbif_key"})
    taxa, taxon = group_spellings(spellings.reset_index(drop=True))
    report.note(
        "spellings_merged", (f"{name}: {', '.join(others)}" for name, others in taxa["others"].items() if others)
    )
    number = pd.MultiIndex.from_frame(spellings[["name", "gbif_key"]]).get_indexer(
        pd.MultiIndex.from_arrays([rows["name"], rows["key"]])
    )
    single = pd.DataFrame({"survey": rows["survey"], "taxon": taxon[number]}).drop_duplicates()
    records = single["taxon"].value_counts().reindex(range(len(taxa)), fill_value=0).to_numpy()
    kept = taxa[records >= min_records].sort_index()
    if kept.empty:
        most = (
            f"{taxa.index[int(records.argmax())]} has most, {records.max()}" if len(taxa) else "no row names a species"
        )
        raise InputError(f"{report.name}: no species has {min_records} records ({most})")
    new = pd.Series(np.arange(len(kept), dtype=np.int32), kept["taxon"])
    frequent = single[single["taxon"].isin(new.index)]
    frequent = frequent.assign(species=new.loc[frequent["taxon"]].to_numpy()).sort_values(["survey", "species"])
    breaks = np.searchsorted(frequent["survey"].to_numpy(), np.arange(1, count))
    lists = np.split(frequent["species"].to_numpy(np.int32), breaks)
    report.facts |= {
        "repeated_rows": len(rows) - len(single),
        "species_below_min_records": len(taxa) - len(kept),
        "records_of_rare_species": int(records[records < min_records].sum()),
        "surveys_without_species": sum(len(each) == 0 for each in lists),
    }
    ids = np.arange(len(kept), dtype=np.int32)
    species = pd.DataFrame({"species_id": ids, "name": [str(name) for name in kept.index]})
    return SpeciesSets(lists, species.assign(gbif_key=kept["gbif_key"].array))
