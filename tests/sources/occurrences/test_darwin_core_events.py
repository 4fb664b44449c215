"""Sampling events with the Humboldt extension as presence-absence surveys."""

import pytest

from sdm_ray.errors import InputError
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.occurrences import darwin_core_events
from sdm_ray.sources.occurrences.config import DarwinCoreEvents

JOB = PrepareConfig(land={"source": "virtual"})
DWC, ECO = "http://rs.tdwg.org/dwc/terms/", "http://rs.tdwg.org/eco/terms/"
EVENTS = """eventID parentEventID decimalLongitude decimalLatitude eventDate coordinateUncertaintyInMeters
site - 3.5 43.5 - 25
a site - - 2021-06-01 -
b - 4.5 44.5 2021-06-02 10
c - 5.5 45.5 2021-06-03 10
d - 6.5 46.5 2021-06-04 10
e - 7.5 47.5 2021-06-05 10
"""
SEEN = """eventID scientificName kingdom class family occurrenceStatus
a Abies_alba Plantae Pinopsida Pinaceae present
a Parus_major Animalia Aves Paridae present
b Picea_abies Plantae Pinopsida Pinaceae present
b Abies_alba Plantae Pinopsida Pinaceae absent
b Pinus Plantae Pinopsida Pinaceae present
d Picea_abies Plantae Pinopsida Pinaceae present
e Parus_major Animalia Aves Paridae present
"""
SCOPES = """eventID targetTaxonomicScope excludedTaxonomicScope isTaxonomicScopeFullyReported
a Plantae|Fungi - true
b Plantae|Fungi - true
c Plantae|Fungi - true
d Plantae|Fungi - false
e Aves - true
"""


def section(tag: str, row_type: str, name: str, text: str, terms: str) -> str:
    header = text.split("\n")[0].split(" ")
    key = "id" if tag == "core" else "coreid"
    fields = "".join(f'<field index="{i}" term="{terms}{term}"/>' for i, term in enumerate(header) if i)
    return (
        f'<{tag} encoding="UTF-8" fieldsTerminatedBy="\\t" linesTerminatedBy="\\n" fieldsEnclosedBy="" '
        f'ignoreHeaderLines="1" rowType="{row_type}"><files><location>{name}</location></files>'
        f'<{key} index="0"/>{fields}</{tag}>'
    )


def made(folder, scopes: str | None = SCOPES, core: str = DWC + "Event", seen: str = SEEN, **settings):
    tables = [("core", core, "event.txt", EVENTS, DWC), ("extension", DWC + "Occurrence", "occurrence.txt", seen, DWC)]
    if scopes:
        tables.append(("extension", ECO + "Event", "humboldt.txt", scopes, ECO))
    body = "".join(section(*table) for table in tables)
    (folder / "meta.xml").write_text(f'<archive xmlns="http://rs.tdwg.org/dwc/text/">{body}</archive>')
    for _, _, name, text, _ in tables:
        lines = ["\t".join("" if each == "-" else each for each in line.split(" ")) for line in text.splitlines()]
        (folder / name).write_text("\n".join(lines).replace("_", " ") + "\n")
    source = {"source": "darwin_core_events", "table": str(folder), **settings}
    return darwin_core_events.surveys(DarwinCoreEvents.model_validate(source), JOB)


def sets(found) -> dict[str, set[str]]:
    names = found.species["name"].to_numpy()
    return {
        key: set(names[each]) for key, each in zip(found.surveys["survey_id"], found.surveys["species"], strict=True)
    }


def test_absences_lie_within_the_declared_scope_alone(tmp_path):
    found = made(tmp_path)
    assert sets(found) == {"a": {"Abies alba"}, "b": {"Picea abies"}, "c": set()}
    assert found.kind == "occurrence"
    assert found.report.left == {
        "no_scope": ["site"], "scope_not_fully_reported": ["d"], "other_scope": ["e"],
        "outside_scope": ["1"], "above_species": ["4"],
    }  # fmt: skip
    assert found.report.facts["scope"] == "Plantae|Fungi"
    assert found.report.facts["absences_stated"] == 1
    first = found.surveys.iloc[0]
    assert (first["lon"], first["lat"], first["year"], first["date"]) == (3.5, 43.5, 2021, "2021-06-01")
    assert first["uncertainty_m"] == 25  # of the site, as the place


def test_a_scope_is_chosen_by_name(tmp_path):
    assert sets(made(tmp_path, scope="Aves")) == {"e": {"Parus major"}}
    with pytest.raises(InputError, match=r"no event reports the scope Fungi fully; .* reported: Plantae\|Fungi, Aves"):
        made(tmp_path, scope="Fungi")


def test_what_a_scope_excludes_is_outside(tmp_path):
    excluding = SCOPES.replace("a Plantae|Fungi -", "a Plantae|Fungi Pinaceae")
    assert sets(made(tmp_path, excluding))["a"] == set()


def test_events_without_a_scope_need_one(tmp_path):
    with pytest.raises(InputError, match="has no Humboldt extension, so it states no taxonomic scope; name the taxon"):
        made(tmp_path, None)
    found = sets(made(tmp_path, None, scope="Pinopsida"))
    assert found == {
        "a": {"Abies alba"}, "b": {"Picea abies"}, "c": set(), "d": {"Picea abies"}, "e": set(),
    }  # fmt: skip


def test_an_archive_of_occurrences_is_one_line(tmp_path):
    with pytest.raises(InputError, match="is an archive of Occurrence, expected Event with an extension Occurrence"):
        made(tmp_path, core=DWC + "Occurrence")


def test_columns_that_an_archive_lacks_are_blank(tmp_path):
    bare = "\n".join(" ".join(line.split(" ")[:-1]) for line in SCOPES.splitlines())  # no isTaxonomicScopeFullyReported
    with pytest.raises(InputError, match="no event reports a taxonomic scope fully; fully reported: none"):
        made(tmp_path, bare)
    plain = "eventID scientificName kingdom\na Abies_alba Plantae\nb Picea_abies Plantae\n"
    found = made(tmp_path, seen=plain)
    assert sets(found) == {"a": {"Abies alba"}, "b": {"Picea abies"}, "c": set()}


@pytest.mark.parametrize("content", [None, b"no zip"])
def test_what_is_no_archive_is_one_line(tmp_path, content):
    file = tmp_path / "a.zip"
    file.write_bytes(content or b"")
    source = DarwinCoreEvents(source="darwin_core_events", table=str(file))
    if content is None:
        file.unlink()
    with pytest.raises(InputError, match=r"a\.zip: (no such file|cannot be read as a Darwin Core archive)"):
        darwin_core_events.surveys(source, JOB)
