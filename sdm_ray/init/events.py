"""Sampling events of a Darwin Core archive as a person's own table: surveys of presence and absence."""

from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.init.stated import Stated
from sdm_ray.readers.darwin_core import META, open_archive
from sdm_ray.sources.base import SurveyTables
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.occurrences import darwin_core_events
from sdm_ray.sources.occurrences.config import DarwinCoreEvents


def is_archive_of_events(path: str) -> bool:
    """Whether a file or folder is a Darwin Core archive whose core table holds sampling events."""
    place = UPath(path)
    if place.is_dir() and not (place / META).exists():
        return False
    if not place.is_dir() and place.suffix.lower() != ".zip":
        return False
    try:
        return open_archive(place)[0].row_type == "Event"
    except InputError:  # a zip of something else
        return False


def read_events(path: str, stated: Stated) -> tuple[DarwinCoreEvents, SurveyTables, list[str]]:
    """The entry of `prepare`, with the scope that is taken; what it reads; and what was found, a line each.

    Raises:
        InputError: the events state no taxonomic scope and none is stated, or too many rows cannot be used.
    """
    source = DarwinCoreEvents(source="darwin_core_events", table=path, scope=stated.scope)
    try:
        tables = darwin_core_events.surveys(source, PrepareConfig(surveys=[source]))
    except InputError as error:
        raise InputError(str(error).replace("as `scope`", "with --scope, such as --scope Tracheophyta")) from None
    tables.report.check(source.max_dropped)
    scope = tables.report.facts.get("scope", stated.scope)
    notes = [
        "Darwin Core archive of sampling events",
        f"occurrence: what is in the scope {scope} and not reported by an event was absent; another with --scope",
    ]
    return source.model_copy(update={"scope": scope}), tables, notes
