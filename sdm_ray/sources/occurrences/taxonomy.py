"""Species names brought together, of one source and of several.

Species are one where they have one GBIF key, or else one normalised name (see `scientific_names`). A name that is only
a number is known within its own data set alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdm_ray.errors import InputError
from sdm_ray.readers.tables import column_names, numbers, read_table, texts
from sdm_ray.sources.occurrences.scientific_names import normalise


@dataclass(frozen=True)
class SpeciesList:
    """The species of one source.

    Attributes:
        source: what the source is called.
        table: `species_id`, `name`, `gbif_key`.
        dataset: the data set within which a number stands for one species.
    """

    source: str
    table: pd.DataFrame
    dataset: str


@dataclass(frozen=True)
class Matched:
    """Species of several sources in one table.

    Attributes:
        species: `species_id`, `name`, `gbif_key`, in alphabetical order.
        numbers: for each source the new number of each of its species.
        report: kind -> what was merged, what did not match, and what matched in two ways.
    """

    species: pd.DataFrame
    numbers: list[NDArray[np.int32]]
    report: dict[str, object]


def read_synonyms(path: str) -> pd.DataFrame:
    """A table of synonyms: `name, accepted` and perhaps `gbif_key` of the accepted name.

    Raises:
        InputError: it cannot be read, a name has two accepted names, or synonyms go round in a circle.
    """
    optional = ["gbif_key"] if "gbif_key" in column_names(path) else []
    raw = read_table(path, ["name", "accepted"], optional)
    rows = pd.DataFrame({"name": texts(raw["name"]), "accepted": texts(raw["accepted"])})
    rows["gbif_key"] = numbers(raw, "gbif_key", path).astype("Int64") if optional else pd.NA
    rows = rows.dropna(subset=["name", "accepted"])
    pairs = pd.DataFrame({"from": rows["name"].map(normalise), "to": rows["accepted"].map(normalise)}).drop_duplicates()
    twice = pairs["from"].duplicated()
    if twice.any():
        raise InputError(f"{path}: {pairs['from'][twice].iloc[0]} has two accepted names")
    following = dict(zip(pairs["from"], pairs["to"], strict=True))
    for start in following:
        seen, name = {start}, following[start]
        while name in following and following[name] != name:
            if name in seen:
                raise InputError(f"{path}: the synonyms of {start} go round in a circle")
            seen.add(name)
            name = following[name]
    return rows.reset_index(drop=True)


def group_spellings(spellings: pd.DataFrame) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Bring the spellings of each species together.

    Args:
        spellings: `name`, `gbif_key` and perhaps `form`, the normalised name; the first name of a species names it.

    Returns:
        A row for each species, by its name: `gbif_key`, `taxon` (0, 1, ...) and `others`, its further spellings; and
        the number of the species of each spelling, (N,).
    """
    rows = spellings.assign(gbif_key=spellings["gbif_key"].astype("Int64"))
    if "form" not in rows:
        rows["form"] = rows["name"].map(normalise)
    taxon = _groups(rows)
    grouped = rows.groupby(taxon, sort=True)
    taxa = grouped.agg(name=("name", "first"), gbif_key=("gbif_key", "first"))
    taxa["others"] = [[each for each in dict.fromkeys(names) if each != names.iloc[0]] for _, names in grouped["name"]]
    clash = taxa["name"].duplicated(keep=False) & taxa["gbif_key"].notna()
    taxa.loc[clash, "name"] = taxa["name"] + " [GBIF " + taxa["gbif_key"].astype(str) + "]"
    return taxa.assign(taxon=range(len(taxa))).set_index("name"), taxon


def match(lists: Sequence[SpeciesList], synonyms: pd.DataFrame | None = None) -> Matched:
    """Bring the species of several sources together; the species of a single source stay as they are.

    Args:
        lists: species of each source.
        synonyms: a table of `read_synonyms`.
    """
    if len(lists) == 1 and synonyms is None:
        return Matched(lists[0].table, [lists[0].table["species_id"].to_numpy(np.int32)], {})
    rows = pd.concat([each.table.assign(source=i) for i, each in enumerate(lists)], ignore_index=True)
    rows["gbif_key"] = rows["gbif_key"].astype("Int64")
    accepted = _Accepted(synonyms)
    is_number = rows["name"].str.fullmatch(r"\d+")
    dataset = rows["source"].map({i: each.dataset for i, each in enumerate(lists)})
    rows["written"] = rows["name"]
    rows["name"] = [accepted.name(name) for name in rows["written"]]
    if dataset[is_number].nunique() > 1 or not is_number.all():
        rows.loc[is_number, "name"] = dataset[is_number] + " " + rows.loc[is_number, "name"]
    rows["form"] = rows["name"].map(normalise).where(~is_number, rows["name"])
    rows["gbif_key"] = rows["gbif_key"].fillna(rows["form"].map(accepted.keys).astype("Int64"))
    taxa, rows["taxon"] = group_spellings(rows)
    taxa = taxa.sort_index(kind="stable")
    number = pd.Series(np.arange(len(taxa), dtype=np.int32), taxa["taxon"])
    rows["new"] = number.loc[rows["taxon"]].to_numpy()
    species = pd.DataFrame({"species_id": number.to_numpy(), "name": taxa.index.astype(str).to_numpy()})
    species["gbif_key"] = taxa["gbif_key"].array
    parts = [rows.loc[rows["source"] == i, "new"].to_numpy(np.int32) for i in range(len(lists))]
    return Matched(species, parts, _report(rows, species["name"], lists))


class _Accepted:
    """Accepted names, and their keys by normalised name."""

    def __init__(self, synonyms: pd.DataFrame | None) -> None:
        self._following: dict[str, str] = {}
        self.keys: Mapping[str, int] = {}
        if synonyms is not None:
            self._following = dict(zip(synonyms["name"].map(normalise), synonyms["accepted"], strict=True))
            known = synonyms.dropna(subset=["gbif_key"])
            self.keys = dict(zip(known["accepted"].map(normalise), known["gbif_key"].astype(int), strict=True))

    def name(self, name: str) -> str:
        """The accepted name, or the name itself."""
        form = normalise(name)
        while form in self._following and normalise(self._following[form]) != form:
            name = self._following[form]
            form = normalise(name)
        return self._following.get(form, name)


def _groups(rows: pd.DataFrame) -> NDArray[np.int64]:
    """A number for each species: by key where there is one, else by name; a name whose key is known has that key."""
    keyed = rows.dropna(subset=["gbif_key"])
    key_of = keyed.groupby("form", sort=False)["gbif_key"].first()
    key = rows["gbif_key"].fillna(rows["form"].map(key_of).astype("Int64"))
    label = ("key " + key.astype(str)).where(key.notna(), "name " + rows["form"])
    return pd.factorize(label)[0]


def _report(rows: pd.DataFrame, names: pd.Series, lists: Sequence[SpeciesList]) -> dict[str, object]:
    """What was merged, what one source alone has, and where keys and names contradict each other."""
    sources = rows.groupby("taxon")["source"].nunique()
    alone = rows[rows["taxon"].map(sources) == 1]
    only = {each.source: alone.loc[alone["source"] == i, "name"].tolist() for i, each in enumerate(lists)}
    written = rows.groupby("new")["written"].unique()
    merged = {name: [each for each in every if each != name] for name, every in zip(names, written, strict=True)}
    keyed = rows.dropna(subset=["gbif_key"])
    names_of_key = keyed.groupby("gbif_key")["form"].unique()
    keys_of_name = keyed.groupby("form")["gbif_key"].unique()
    return {
        "merged": {name: others for name, others in merged.items() if others},
        "in_one_source_only": only if len(lists) > 1 else {},
        "keys_of_several_names": {str(key): list(each) for key, each in names_of_key.items() if len(each) > 1},
        "names_of_several_keys": {name: [int(k) for k in each] for name, each in keys_of_name.items() if len(each) > 1},
    }
