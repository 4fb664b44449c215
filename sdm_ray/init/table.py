"""A person's own table of species records: how it is written and what its columns are, guessed and then read."""

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from sdm_ray.errors import InputError
from sdm_ray.init.columns import Columns, as_patterns, crs_in, find_columns
from sdm_ray.init.events import is_archive_of_events, read_events
from sdm_ray.init.stated import Kind, Stated
from sdm_ray.readers.config import TableFormat
from sdm_ray.readers.tables import column_names, dialect_of, encoding_of, read_table, texts
from sdm_ray.sources.base import Report
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.occurrences import gbif
from sdm_ray.sources.occurrences.config import DarwinCoreEvents, Gbif, TableColumns, Tables
from sdm_ray.sources.occurrences.presence import PresenceRule, species_columns
from sdm_ray.sources.occurrences.tables import read_occurrences, surveys_of

_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")
_NAMES_IN_A_SURVEY = 1.2  # mean species of a survey from which on surveys are taken for whole lists
_FILLED = 0.95  # of the rows, for a column to be taken as presence or date without being named
_DARWIN_CORE = ("decimalLongitude", "decimalLatitude", "scientificName")
BRAUN_BLANQUET = {"r": 0.1, "+": 0.5, "1": 2.5, "2": 15.0, "2m": 4.0, "2a": 10.0, "2b": 20.0} | {
    "3": 37.5,
    "4": 62.5,
    "5": 87.5,
}
"""Cover classes -> their cover in percent (van der Maarel 1979, Vegetatio 39:97)."""


@dataclass(frozen=True)
class OwnTable:
    """A table as `prepare` will read it.

    Attributes:
        source: the entry of `prepare`.
        kind: what the probabilities are of.
        notes: what was guessed, a line each.
        surveys: `lon`, `lat` and lists of species numbers, a row for each survey.
        species: names.
        report: rows that cannot be used.
    """

    source: Tables | Gbif | DarwinCoreEvents
    kind: Kind
    notes: list[str]
    surveys: pd.DataFrame
    species: list[str]
    report: Report


def read_own_table(path: str, stated: Stated) -> OwnTable:
    """Guess how a table is written, and read it as `prepare` will.

    Raises:
        InputError: it cannot be read, or something has to be stated.
    """
    if is_archive_of_events(path):
        events, tables, notes = read_events(path, stated)
        return OwnTable(events, tables.kind, notes, tables.surveys, tables.species["name"].tolist(), tables.report)
    form, notes = _format(path, stated)
    names = column_names(path, form)
    if set(_DARWIN_CORE) <= set(names):
        return _gbif(path, form, notes)
    columns = find_columns(names, stated, path)
    if not isinstance(columns.species, str):
        columns = _wide(path, names, columns, form)
    raw = read_table(path, [each for each in _single(columns)], form=form)
    form = _coordinates(path, raw, columns, form, stated)
    columns, date_format = _dated(raw, columns, stated)
    columns, classes = _presence(raw, columns, form, stated)
    settings: dict[str, Any] = {
        **form.model_dump(exclude_defaults=True),
        "source": "tables",
        "table": path,
        "columns": TableColumns(**{key: each for key, each in vars(columns).items() if each is not None}),
        "date_format": date_format,
        "cover_classes": classes,
    }
    draft = Tables(**settings, probability_kind=stated.kind or "occurrence")
    rows, report = read_occurrences(draft)
    kind, reason = _kind(rows, columns, stated)
    source = draft.model_copy(update={"probability_kind": kind})
    tables = surveys_of(rows, source, kind, 1, report)
    report.check(source.max_dropped)
    notes += [_shown_columns(columns, form, date_format), f"{kind}: {reason}"]
    return OwnTable(source, kind, notes, tables.surveys, tables.species["name"].tolist(), report)


def _gbif(path: str, form: TableFormat, notes: list[str]) -> OwnTable:
    """Occurrences in the columns of GBIF and Darwin Core."""
    source = Gbif(**form.model_dump(exclude_defaults=True), source="gbif", table=path)
    tables = gbif.surveys(source, PrepareConfig(surveys=[source]))
    tables.report.check(source.max_dropped)
    notes = [*notes, "columns of Darwin Core, as GBIF writes them", "relative: presence-only records"]
    return OwnTable(source, "relative", notes, tables.surveys, tables.species["name"].tolist(), tables.report)


def _format(path: str, stated: Stated) -> tuple[TableFormat, list[str]]:
    form = TableFormat(encoding=stated.encoding, sheet=stated.sheet, layer=stated.layer, crs=stated.crs)
    guessed = None if stated.encoding else encoding_of(path)
    if guessed is not None:
        form = form.model_copy(update={"encoding": guessed[0]})
    dialect = dialect_of(path, form)
    if dialect is None:
        return form, []
    between = {"\t": "tabs", " ": "blanks"}.get(dialect.separator, f"{dialect.separator!r}")
    reads = "" if guessed is None else f", which reads {guessed[1]!r} (another with --encoding)"
    return form, [f"text with {between} between fields, in {dialect.encoding}{reads}"]


def _single(columns: Columns) -> list[str]:
    """The columns of a role, without those of a wide table's species."""
    return list(dict.fromkeys(each for each in vars(columns).values() if isinstance(each, str)))


def _wide(path: str, names: list[str], columns: Columns, form: TableFormat) -> Columns:
    """The columns of species of a table that has no column of their names."""
    taken = [each for each in _single(columns) if each != columns.presence]
    if columns.species:
        species_columns(names, columns.species, taken, path)  # refuses what is no column
        return columns
    free = [name for name in names if name not in taken and names.count(name) == 1]
    raw = read_table(path, free, form=form) if free else pd.DataFrame()
    chosen = [name for name in free if _is_binary(raw[name], varied=name != columns.presence)]
    if not chosen or _repeated(path, columns.survey, form):
        raise InputError(
            f"{path}: no column of species names is known, and none holds 0 and 1; name it with --species taxon, or"
            " columns of species with --species 'first:last'"
        )
    return Columns(**{**vars(columns), "presence": None, "species": as_patterns(chosen, names)})


def _repeated(path: str, survey: str | None, form: TableFormat) -> bool:
    """Whether surveys have several rows, so that no column is that of a species."""
    return survey is not None and bool(read_table(path, [survey], form=form)[survey].duplicated().any())


def _is_binary(values: pd.Series, *, varied: bool) -> bool:
    """Whether a column holds presences, and where it is to be varied also rows without one."""
    try:
        found = PresenceRule().presences(values, "")
    except InputError:
        return False
    numbers = pd.to_numeric(texts(values), errors="coerce")
    present = found == 1
    return bool(present.any() and not (varied and present.all()) and numbers.dropna().isin([0, 1]).all())


def _coordinates(path: str, raw: pd.DataFrame, columns: Columns, form: TableFormat, stated: Stated) -> TableFormat:
    """The format with the decimal sign and the reference system of the coordinates."""
    written = [texts(raw[name]).dropna().astype(str) for name in (columns.lon, columns.lat)]
    decimal: Literal[".", ","] = "," if any(each.str.fullmatch(_COMMA).any() for each in written) else "."
    form = form.model_copy(update={"decimal": decimal, "crs": stated.crs or crs_in(columns)})
    numbers = [pd.to_numeric(each.str.replace(decimal, "."), errors="coerce").dropna() for each in written]
    if form.crs is None and any(len(each) and (each.abs() > 360).mean() > 0.5 for each in numbers):
        shown = ", ".join(str(each.iloc[0]) for each in written if len(each))
        raise InputError(
            f"{path}: {columns.lon} and {columns.lat} are no degrees (such as {shown}); state their projection, such as"
            " --crs EPSG:25832"
        )
    return form


def _dated(raw: pd.DataFrame, columns: Columns, stated: Stated) -> tuple[Columns, str | None]:
    """The columns with dates that can be read, and how these are written; a column of dates is optional."""
    if columns.date is None:
        return columns, None
    values = texts(raw[columns.date]).dropna().astype(str)
    found = _date_format(values)
    if found is not None:
        return columns, None if found == "iso" else found
    if stated.date is not None:
        raise InputError(
            f"column {columns.date} holds {values.iloc[0] if len(values) else 'nothing'!r}: the order of day and month"
            " is not certain; set `date_format` in prepare.yaml after an init without --date"
        )
    return Columns(**{**vars(columns), "date": None}), None


def _date_format(values: pd.Series) -> str | None:
    """`iso`, `day_first` or `month_first`; None where the values are no dates, or their order is not certain."""
    if not len(values):
        return None
    if values.str.match(r"\d{4}(-\d{1,2}(-\d{1,2})?)?(T|\s|$)").mean() > _FILLED:
        return "iso"
    parts = values.str.extract(r"^(\d{1,2})([./ -])(\d{1,2})[./ -]\d{4}\b").dropna()
    if len(parts) < _FILLED * len(values):
        return None
    first, second = parts[0].astype(int).max(), parts[2].astype(int).max()
    if (first > 12) == (second > 12):  # either tells nothing, or they contradict each other
        return "day_first" if first <= 12 and (parts[1] == ".").all() else None
    return "day_first" if first > 12 else "month_first"


def _presence(
    raw: pd.DataFrame, columns: Columns, form: TableFormat, stated: Stated
) -> tuple[Columns, dict[str, float]]:
    """The columns with a column of presences that can be read, and the cover classes in it."""
    if columns.presence is None or not isinstance(columns.species, str):
        return columns, {}
    values = texts(raw[columns.presence])
    if set(values.dropna().str.lower()) <= set(BRAUN_BLANQUET) and values.str.contains(r"[r+a-z]").any():
        return columns, BRAUN_BLANQUET
    try:
        known = np.isfinite(PresenceRule(decimal=form.decimal).presences(values, columns.presence)).mean()
    except InputError:
        known = 0.0
    if known < _FILLED and stated.presence is None:
        return Columns(**{**vars(columns), "presence": None}), {}
    return columns, {}


def _kind(rows: pd.DataFrame, columns: Columns, stated: Stated) -> tuple[Kind, str]:
    """What the probabilities are of, and why."""
    if stated.kind is not None:
        return stated.kind, "as stated"
    other = "; another with --kind"
    if not isinstance(columns.species, str):
        return "occurrence", f"each row states presence and absence of every species{other}"
    if columns.presence is not None and rows["species"].isna().any():
        return "occurrence", f"column {columns.presence} states absences{other}"
    if columns.survey is not None:
        sizes = rows.dropna(subset=["species"]).groupby("survey_id")["species"].nunique()
        if len(sizes) and sizes.mean() >= _NAMES_IN_A_SURVEY:
            return "occurrence", f"what a survey does not list counts as absent there{other}"
    return "relative", f"presence-only records, as nothing states absences{other}"


def _shown_columns(columns: Columns, form: TableFormat, date_format: str | None) -> str:
    words = []
    for role, name in vars(columns).items():
        if name is not None:
            words.append(f"{role} {', '.join(name) if isinstance(name, list) else name}")
    written = [f"decimal {form.decimal!r}"] if form.decimal != "." else []
    written += [f"in {form.crs}"] if form.crs else []
    written += [f"dates {date_format.replace('_', ' ')}"] if date_format else []
    return "columns " + "; ".join(words) + (f" ({', '.join(written)})" if written else "")
