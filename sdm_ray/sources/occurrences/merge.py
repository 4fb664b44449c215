"""Surveys of several sources as one table, and their species as one list."""

import importlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.job import Job
from sdm_ray.progress import say
from sdm_ray.readers import embedding_tables
from sdm_ray.sources.base import SurveyTables, write_reports
from sdm_ray.sources.config import OCCURRENCES, SURVEYS, PrepareConfig
from sdm_ray.sources.entry import FileSource, Source, SurveySource
from sdm_ray.sources.geolifeclef.config import ChallengeSurveys
from sdm_ray.sources.occurrences.taxonomy import Matched, SpeciesList, match, read_synonyms
from sdm_ray.stores.embedding_sources import require_one_of_each
from sdm_ray.stores.surveys import COVARIATE, species_fingerprint, species_of, write_surveys

_FEW_RECORDS = 10  # below it a species is named, as no model learns from so few
_SHOWN = 3  # names in a line


@dataclass(frozen=True)
class Gathered:
    """All surveys and occurrences of a configuration, read once.

    Attributes:
        config: the job's configuration.
    """

    config: PrepareConfig

    def write_surveys(self, job: Job) -> dict[str, Any]:
        """Write `surveys.parquet`; returns its figures.

        Raises:
            InputError: a source cannot be used, or two give probabilities of different kinds.
        """
        return self._write(job, self.config.surveys, slice(0, len(self.config.surveys)))

    def write_occurrences(self, job: Job) -> dict[str, Any]:
        """Write `occurrences.parquet`; returns its figures.

        Raises:
            InputError: a source cannot be used, or is not presence-only.
        """
        part = slice(len(self.config.surveys), None)
        for each in self._tables[part]:
            if each.kind != "relative":
                raise InputError(f"occurrences: {each.report.name} gives {each.kind} probabilities, expected relative")
        return self._write(job, self.config.occurrences, part)

    @cached_property
    def _tables(self) -> list[SurveyTables]:
        sources = [*self.config.surveys, *self.config.occurrences]
        found = [
            importlib.import_module(f"sdm_ray.sources.{each.module}").surveys(each, self.config) for each in sources
        ]
        for source, table in zip(sources, found, strict=True):
            if isinstance(source, FileSource):
                table.report.check(source.max_dropped)
        return [_embedded(source, table) for source, table in zip(sources, found, strict=True)]

    @cached_property
    def _matched(self) -> Matched:
        sources = [*self.config.surveys, *self.config.occurrences]
        lists = [
            SpeciesList(table.report.name, table.species, _dataset(source, table))
            for source, table in zip(sources, self._tables, strict=True)
        ]
        return match(lists, read_synonyms(self.config.synonyms) if self.config.synonyms else None)

    def _write(self, job: Job, sources: list[Any], part: slice) -> dict[str, Any]:
        tables, species = self._tables[part], self._matched.species
        kinds = {table.kind: table.report.name for table in tables}
        if len(kinds) > 1:
            said = " and ".join(f"{name} gives {kind}" for kind, name in kinds.items())
            raise InputError(
                f"surveys: {said} probabilities, expected one kind; `occurrences` takes presence-only ones"
            )
        numbers = self._matched.numbers[part]
        surveys = _joined([_renumbered(*each) for each in zip(tables, numbers, strict=True)], sources)
        self._keep_species_of_others(species)
        embeddings = require_one_of_each([source for table in tables for source in table.embeddings], "surveys")
        write_surveys(job.output, surveys, species, tables[0].kind, embeddings)
        write_reports(job.output.parent / f"{job.output.name}.report.json", [table.report for table in tables])
        place: UPath = job.output.parent / "species.report.json"
        place.write_text(json.dumps(self._matched.report, indent=1, ensure_ascii=False))
        for line in _warnings(surveys, species, tables):
            say(f"prepare: {job.output.name}: {line}")
        return _figures(surveys, species, tables)

    def _keep_species_of_others(self, species: pd.DataFrame) -> None:
        """Refuse to replace the species table of surveys that this configuration does not write."""
        for name in {SURVEYS, OCCURRENCES} - set(self.config.writes()):
            path = self.config.path(name)
            if species_of(path) not in (None, species_fingerprint(species)):
                raise InputError(
                    f"{path.parent / 'species.parquet'}: belongs to {name}, which this configuration does not list, "
                    "and would be replaced by other species; list the sources of both, or name another run_dir"
                )


def _embedded(source: Source, table: SurveyTables) -> SurveyTables:
    """Surveys with the precomputed embeddings of their source as covariates."""
    if not isinstance(source, SurveySource) or not source.embeddings:
        return table
    ids = table.surveys["survey_id"]
    surveys, embeddings, lacking = embedding_tables.joined(table.surveys, ids, source.embeddings, COVARIATE)
    table.report.facts.update(lacking)
    return replace(table, surveys=surveys, embeddings=tuple(embeddings))


def _dataset(source: Source, table: SurveyTables) -> str:
    return source.source if isinstance(source, ChallengeSurveys) else table.report.name


def _renumbered(table: SurveyTables, numbers: NDArray[np.int32]) -> pd.DataFrame:
    lists = [np.unique(numbers[each]) for each in table.surveys["species"]]
    return table.surveys.assign(species=pd.Series(lists, index=table.surveys.index))


def _joined(tables: list[pd.DataFrame], sources: list[Any]) -> pd.DataFrame:
    """One table; ids that two sources have in common get the source's name and number."""
    if len(tables) == 1:
        return tables[0]
    named = [
        table.assign(source=f"{s.source}-{number}")
        for number, (table, s) in enumerate(zip(tables, sources, strict=True))
    ]
    rows = pd.concat(named, ignore_index=True)
    clash = rows["survey_id"].duplicated(keep=False)
    rows.loc[clash, "survey_id"] = rows["source"] + "-" + rows["survey_id"]
    if "country" in rows:
        rows["country"] = rows["country"].fillna("")
    return rows


def _warnings(surveys: pd.DataFrame, species: pd.DataFrame, tables: list[SurveyTables]) -> list[str]:
    """What a person should look at: species with few records, and spellings that were brought together."""
    records = np.bincount(np.concatenate(surveys["species"].to_numpy()), minlength=len(species))
    few = np.flatnonzero((records > 0) & (records < _FEW_RECORDS))
    lines = []
    if len(few):
        shown = ", ".join(f"{species['name'].iloc[each]} ({records[each]})" for each in few[:_SHOWN])
        more = ", ..." if len(few) > _SHOWN else ""
        lines.append(f"{len(few)} species have fewer than {_FEW_RECORDS} records: {shown}{more}; see min_records")
    for table in tables:
        merged = table.report.noted.get("spellings_merged", [])
        if merged:
            shown = "; ".join(merged[:_SHOWN]) + ("; ..." if len(merged) > _SHOWN else "")
            lines.append(f"{table.report.name}: {len(merged)} species are written in several ways: {shown}")
    return lines


def _figures(surveys: pd.DataFrame, species: pd.DataFrame, tables: list[SurveyTables]) -> dict[str, Any]:
    presences = int(surveys["species"].map(len).sum())
    counts = {"surveys": len(surveys), "species": len(species), "presences": presences}
    about = {"probability_kind": tables[0].kind}
    if len(tables) == 1:
        return counts | about | tables[0].report.figures()
    dropped = sum(table.report.lost for table in tables)
    return counts | about | {"dropped": dropped, "sources": [table.report.figures() for table in tables]}
