"""Darwin Core archives of sampling events with occurrences and, where it is wanted, the Humboldt extension."""

import zipfile
from pathlib import Path

import pandas as pd

DWC, ECO = "http://rs.tdwg.org/dwc/terms/", "http://rs.tdwg.org/eco/terms/"


def write_archive(file: Path, events: pd.DataFrame, occurrences: pd.DataFrame, humboldt: pd.DataFrame | None) -> Path:
    """Write a zip; the first column of each table is the event's id, and columns are named by their terms."""
    tables = [
        ("core", DWC + "Event", "event.txt", events, DWC),
        ("extension", DWC + "Occurrence", "occurrence.txt", occurrences, DWC),
    ]
    if humboldt is not None:
        tables.append(("extension", ECO + "Event", "humboldt.txt", humboldt, ECO))
    with zipfile.ZipFile(file, "w") as archive:
        body = ""
        for tag, row_type, name, table, terms in tables:
            key = "id" if tag == "core" else "coreid"
            fields = "".join(f'<field index="{i}" term="{terms}{each}"/>' for i, each in enumerate(table.columns) if i)
            body += (
                f'<{tag} encoding="UTF-8" fieldsTerminatedBy="\\t" linesTerminatedBy="\\n" fieldsEnclosedBy=""'
                f' ignoreHeaderLines="1" rowType="{row_type}"><files><location>{name}</location></files>'
                f'<{key} index="0"/>{fields}</{tag}>'
            )
            archive.writestr(name, table.to_csv(sep="\t", index=False))
        archive.writestr("meta.xml", f'<archive xmlns="http://rs.tdwg.org/dwc/text/">{body}</archive>')
    return file
