"""Pl@ntNet photos through GBIF: occurrences joined to multimedia, one JPEG per occurrence."""

import pandas as pd
from upath import UPath

from sdm_ray.readers.tables import numbers, read_table, whole_texts
from sdm_ray.sources.base import FolderFiles, ImageList, Report, place_id, usable_places
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.photos.config import PlantNet


def images(source: PlantNet, config: PrepareConfig) -> ImageList:
    """The photo of every occurrence at a usable place.

    Raises:
        InputError: the table cannot be read or lacks a column.
    """
    table = source.table
    rows = read_table(
        table, ["gbifID", "decimalLongitude", "decimalLatitude"], ["eventDate", "coordinateUncertaintyInMeters"]
    )
    report = Report(UPath(table).name, len(rows))
    repeated = rows["gbifID"].duplicated()  # an occurrence with several photos; one file is named after it
    report.note("further_photos_of_one_occurrence", rows.loc[repeated, "gbifID"])
    rows = rows[~repeated].assign(
        lon=numbers(rows, "decimalLongitude", table), lat=numbers(rows, "decimalLatitude", table)
    )
    if "coordinateUncertaintyInMeters" in rows:
        rows = rows.assign(uncertainty_m=numbers(rows, "coordinateUncertaintyInMeters", table))
    rows = rows[usable_places(rows, rows["gbifID"], source, report)]
    ids = whole_texts(rows["gbifID"])
    made = pd.DataFrame(
        {
            "key": "plantnet-" + ids,
            "ext": "jpg",
            "scale": "plant",
            "lon": rows["lon"],
            "lat": rows["lat"],
            "place_id": place_id(rows["lon"].to_numpy(), rows["lat"].to_numpy()),
            "date": rows["eventDate"].fillna("").astype(str).str[:10] if "eventDate" in rows else "",
            "file": ids + ".jpeg",
            "survey_id": ids,
            "survey_kind": "",
        }
    )
    return ImageList(made.reset_index(drop=True), FolderFiles(source.folder), report)
