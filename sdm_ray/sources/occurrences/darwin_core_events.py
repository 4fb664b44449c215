"""Sampling events of a Darwin Core archive as presence-absence surveys within their declared taxonomic scope.

An event says what was found; what was not found is an absence only where the event looked for it and reported all of
it. Both are stated by the Humboldt extension (https://eco.tdwg.org): `targetTaxonomicScope`,
`excludedTaxonomicScope` and `isTaxonomicScopeFullyReported`.
"""

import re

import pandas as pd
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.readers.darwin_core import ID, ArchiveTable, open_archive
from sdm_ray.readers.tables import numbers, texts
from sdm_ray.sources.base import Report, SurveyTables
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.occurrences.config import DarwinCoreEvents
from sdm_ray.sources.occurrences.scientific_names import above_species
from sdm_ray.sources.occurrences.tables import surveys_of

_PLACE = ["decimalLongitude", "decimalLatitude", "coordinateUncertaintyInMeters", "eventDate", "countryCode"]
_CLASSIFICATION = ["kingdom", "phylum", "class", "order", "family", "genus", "scientificName", "higherClassification"]
_SCOPE, _EXCLUDED, _FULL = "targetTaxonomicScope", "excludedTaxonomicScope", "isTaxonomicScopeFullyReported"
_HUMBOLDT = ("Event", "HumboldtEcologicalInventory")
_DEEPEST = 10  # parents of an event


def surveys(source: DarwinCoreEvents, config: PrepareConfig) -> SurveyTables:
    """Events of one taxonomic scope that report it fully, with the set of their species within it.

    Surveys of a model have absences of the same species, so one scope is taken: `source.scope`, else that of most
    events. Events of other scopes or none, and occurrences outside the scope, are left out and counted.

    Raises:
        InputError: the archive cannot be read, is none of events, or none of its events states such a scope.
    """
    path = source.table
    core, *extensions = open_archive(UPath(path))
    found = next((each for each in extensions if each.row_type == "Occurrence"), None)
    if core.row_type != "Event" or found is None:
        raise InputError(f"{path}: is an archive of {core.row_type}, expected Event with an extension Occurrence")
    humboldt = next((each for each in extensions if each.row_type in _HUMBOLDT), None)
    events = _placed(_table(core, ["parentEventID", *_PLACE])).drop_duplicates(ID).set_index(ID)
    report = Report(UPath(path).name, len(events))
    occurrences = _table(found, ["occurrenceStatus", "individualCount", "species", "taxonRank", *_CLASSIFICATION])
    scope = _scopes(humboldt, source, events, report)
    parents = events["parentEventID"].dropna()  # what was done in them is in their children
    scope = scope[~scope.index.isin(parents) | scope.index.isin(occurrences[ID])]
    seen = _seen(occurrences[occurrences[ID].isin(scope.index)], scope, path, report)
    seen = pd.DataFrame({"survey_id": scope.index}).merge(seen, "left", left_on="survey_id", right_on=ID)
    return surveys_of(_rows(seen, events, path), source, "occurrence", source.min_records, report)


def _table(table: ArchiveTable, wanted: list[str]) -> pd.DataFrame:
    """The key and the wanted columns as text, None where blank; those that the table lacks are all blank."""
    key = table.dialect.names[0] if ID not in table.names else ID
    there = [name for name in wanted if name in table.names]
    rows = table.read(list(dict.fromkeys([key, *there]))).apply(texts)
    rows = rows.assign(**{ID: rows[key], **{name: None for name in wanted if name not in there}})[[ID, *wanted]]
    return rows[rows[ID].notna()].reset_index(drop=True)


def _placed(events: pd.DataFrame) -> pd.DataFrame:
    """Events with the place and date of their parents where they state none themselves."""
    events = events.copy()
    by_id = events.drop_duplicates(ID).set_index(ID)
    parent = events["parentEventID"]
    for _ in range(_DEEPEST):
        if parent.isna().all():
            break
        for name in _PLACE:
            events[name] = events[name].fillna(parent.map(by_id[name]))
        parent = parent.map(by_id["parentEventID"])
    return events


def _scopes(
    humboldt: ArchiveTable | None, source: DarwinCoreEvents, events: pd.DataFrame, report: Report
) -> pd.DataFrame:
    """Scope and what it excludes, for each event whose absences are known."""
    if humboldt is None:
        if source.scope is None:
            raise InputError(
                f"{source.table}: has no Humboldt extension, so it states no taxonomic scope; name the taxon that "
                "every event reports fully as `scope`"
            )
        return pd.DataFrame({_SCOPE: source.scope, _EXCLUDED: None}, events.index)
    rows = _table(humboldt, [_SCOPE, _EXCLUDED, _FULL]).drop_duplicates(ID).set_index(ID)
    rows = rows[rows.index.isin(events.index)]
    full = rows[_FULL].str.lower().isin(["true", "1", "yes"]) & rows[_SCOPE].notna()
    report.leave("no_scope", events.index.difference(rows.index))
    report.leave("scope_not_fully_reported", rows.index[~full])
    rows = rows[full]
    counts = rows[_SCOPE].value_counts()
    wanted = source.scope or (counts.index[0] if len(counts) else None)
    if wanted not in counts.index:
        stated = ", ".join(map(str, counts.index[:5])) or "none"
        asked = "a taxonomic scope" if wanted is None else f"the scope {wanted}"
        raise InputError(f"{source.table}: no event reports {asked} fully; fully reported: {stated}")
    report.leave("other_scope", rows.index[rows[_SCOPE] != wanted])
    report.facts["scope"] = wanted
    return rows[rows[_SCOPE] == wanted]


def _seen(occurrences: pd.DataFrame, scope: pd.DataFrame, path: str, report: Report) -> pd.DataFrame:
    """Event and species of each occurrence within the scope of its event."""
    name = occurrences["species"].fillna(occurrences["scientificName"])
    absent = occurrences["occurrenceStatus"].str.lower().isin(["absent", "absence"])
    absent |= numbers(occurrences, "individualCount", path) == 0
    inside = _within(occurrences, occurrences[ID].map(scope[_SCOPE]))
    inside &= ~_within(occurrences, occurrences[ID].map(scope[_EXCLUDED]))
    high = name.map(lambda each: isinstance(each, str) and above_species(each)).astype(bool)
    report.facts["absences_stated"] = int(absent.sum())
    report.leave("outside_scope", occurrences.index[~inside & ~absent])
    report.leave("above_species", occurrences.index[inside & ~absent & high])
    return pd.DataFrame({ID: occurrences[ID], "species": name})[inside & ~absent & ~high]


def _within(occurrences: pd.DataFrame, scopes: pd.Series) -> pd.Series:
    """Whether a taxon of the scope is among those that an occurrence is classified by; names stand between bars."""
    taxa = occurrences[_CLASSIFICATION].fillna("").agg("|".join, axis="columns").str.lower()
    names = [set(re.split(r"\s*[|;,]\s*", each)) for each in taxa]
    wanted = [set(re.split(r"\s*[|;]\s*", each.lower())) if isinstance(each, str) else set() for each in scopes]
    found = [bool(have & want - {""}) for have, want in zip(names, wanted, strict=True)]
    return pd.Series(found, occurrences.index, dtype=bool)


def _rows(seen: pd.DataFrame, events: pd.DataFrame, path: str) -> pd.DataFrame:
    about = events.loc[seen["survey_id"]].reset_index(drop=True)
    day = about["eventDate"].astype("string").str[:10]
    return pd.DataFrame(
        {
            "survey_id": seen["survey_id"],
            "lon": numbers(about, "decimalLongitude", path),
            "lat": numbers(about, "decimalLatitude", path),
            "year": pd.to_numeric(day.str[:4], errors="coerce").astype("Int32"),
            "uncertainty_m": numbers(about, "coordinateUncertaintyInMeters", path),
            "date": day.astype(object).where(day.notna(), None),
            "country": about["countryCode"].fillna("").astype(str),
            "species": seen["species"].astype(object).where(seen["species"].notna(), None),
            "gbif_key": pd.array([pd.NA] * len(seen), "Int64"),
        }
    )
