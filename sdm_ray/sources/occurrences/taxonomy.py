"""Species names of several sources brought together.

Species are one where they have one GBIF key, or else one normalised name: the genus, the epithet and a rank below the
species with its epithet, without authors. A name that is only a number is known within its own data set alone.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdm_ray.errors import InputError
from sdm_ray.readers.tables import column_names, numbers, read_table, texts

_RANKS = {
    "subsp.": "subsp.", "ssp.": "subsp.", "subspecies": "subsp.", "var.": "var.", "variety": "var.", "f.": "f.",
    "forma": "f.", "subvar.": "subvar.",
}  # fmt: skip
_HYBRID = "\N{MULTIPLICATION SIGN}"
_EPITHET = re.compile(r"[a-zà-ÿ][a-zà-ÿ-]+")


@dataclass(frozen=True)
class SpeciesList:
    """The species of one source.

    Attributes:
        source: what the source is called.
        table: `species_id`, `name`, `gbif_key`.
        dataset: within which numbers that stand for names are one.
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
        unmatched: kind -> what did not match, or matched in two ways.
    """

    species: pd.DataFrame
    numbers: list[NDArray[np.int32]]
    unmatched: dict[str, object]


def normalise(name: str) -> str:
    """A scientific name without authors, in small letters: `Linum narbonense L.` is `linum narbonense`."""
    text = unicodedata.normalize("NFKC", name).replace(_HYBRID, f" {_HYBRID} ")
    tokens = [_HYBRID if token in ("x", "X") else token for token in text.split()]
    kept: list[str] = []
    epithet = False  # of the species, found yet
    for at, token in enumerate(tokens):
        rank = _RANKS.get(token.lower())
        if rank and epithet and at + 1 < len(tokens) and _EPITHET.fullmatch(tokens[at + 1]):
            kept += [rank, tokens[at + 1]]
        elif (token == _HYBRID and not epithet) or not any(part != _HYBRID for part in kept):
            kept.append(token)  # the genus
        elif not epithet and _EPITHET.fullmatch(token):
            kept.append(token)
            epithet = True
        elif not epithet:
            break  # an author, or `sp.`
    return " ".join(kept).lower()


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


def match(lists: Sequence[SpeciesList], synonyms: pd.DataFrame | None = None) -> Matched:
    """Bring the species of several sources together; the species of a single source stay as they are.

    Args:
        lists: of the sources.
        synonyms: of `read_synonyms`.
    """
    if len(lists) == 1 and synonyms is None:
        return Matched(lists[0].table, [lists[0].table["species_id"].to_numpy(np.int32)], {})
    rows = pd.concat([each.table.assign(source=i) for i, each in enumerate(lists)], ignore_index=True)
    rows["gbif_key"] = rows["gbif_key"].astype("Int64")
    accepted = _Accepted(synonyms)
    is_number = rows["name"].str.fullmatch(r"\d+")
    dataset = rows["source"].map({i: each.dataset for i, each in enumerate(lists)})
    rows["shown"] = [accepted.name(name) for name in rows["name"]]
    several = dataset[is_number].nunique() > 1 or not is_number.all()
    if several:
        rows.loc[is_number, "shown"] = dataset[is_number] + " " + rows.loc[is_number, "name"]
    rows["norm"] = rows["shown"].map(normalise).where(~is_number, rows["shown"])
    rows["gbif_key"] = rows["gbif_key"].fillna(rows["norm"].map(accepted.keys).astype("Int64"))
    rows["group"] = _groups(rows)
    first = rows.groupby("group", sort=False).agg(name=("shown", "first"), gbif_key=("gbif_key", "first"))
    clash = first["name"].duplicated(keep=False) & first["gbif_key"].notna()
    first.loc[clash, "name"] = first["name"] + " [GBIF " + first["gbif_key"].astype(str) + "]"
    first = first.sort_values("name", kind="stable")
    number = pd.Series(np.arange(len(first), dtype=np.int32), first.index)
    new = np.asarray(number.loc[rows["group"]], np.int32)
    species = pd.DataFrame({"species_id": number.to_numpy(), "name": first["name"].astype(str).to_numpy()})
    species["gbif_key"] = first["gbif_key"].array
    parts = [new[(rows["source"] == i).to_numpy()] for i in range(len(lists))]
    return Matched(species, parts, _unmatched(rows, lists))


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
        norm = normalise(name)
        while norm in self._following and normalise(self._following[norm]) != norm:
            name = self._following[norm]
            norm = normalise(name)
        return self._following.get(norm, name)


def _groups(rows: pd.DataFrame) -> NDArray[np.int64]:
    """A number for each species: by key where there is one, else by name; a name whose key is known has that key."""
    keyed = rows.dropna(subset=["gbif_key"])
    key_of = keyed.groupby("norm", sort=False)["gbif_key"].first()
    key = rows["gbif_key"].fillna(rows["norm"].map(key_of).astype("Int64"))
    label = ("key " + key.astype(str)).where(key.notna(), "name " + rows["norm"])
    return pd.factorize(label)[0]


def _unmatched(rows: pd.DataFrame, lists: Sequence[SpeciesList]) -> dict[str, object]:
    sources = rows.groupby("group")["source"].nunique()
    alone = rows[rows["group"].map(sources) == 1]
    only = {each.source: alone.loc[alone["source"] == i, "name"].tolist() for i, each in enumerate(lists)}
    keyed = rows.dropna(subset=["gbif_key"])
    names_of_key = keyed.groupby("gbif_key")["norm"].unique()
    keys_of_name = keyed.groupby("norm")["gbif_key"].unique()
    return {
        "in_one_source_only": only if len(lists) > 1 else {},
        "keys_of_several_names": {str(key): list(each) for key, each in names_of_key.items() if len(each) > 1},
        "names_of_several_keys": {name: [int(k) for k in each] for name, each in keys_of_name.items() if len(each) > 1},
    }
