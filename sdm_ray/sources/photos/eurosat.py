"""EuroSAT: 23,000 Sentinel-2 patches of 640 m over Europe, with the coordinates of their centres."""

import numpy as np
import pandas as pd
from upath import UPath

from sdm_ray.readers.tables import numbers, read_table
from sdm_ray.sources.base import ImageList, Report, ZipFiles, place_id, usable_places
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.photos.config import EuroSat


def images(source: EuroSat, config: PrepareConfig) -> ImageList:
    """The patches at usable places; their JPEG bytes are packed unchanged.

    Raises:
        InputError: the table cannot be read or lacks a column.
    """
    rows = read_table(source.table, ["file", "lon", "lat"])
    rows["lon"], rows["lat"] = numbers(rows, "lon", source.table), numbers(rows, "lat", source.table)
    report = Report(UPath(source.table).name, len(rows))
    rows = rows[usable_places(rows, rows["file"], source, report)]
    stems = rows["file"].str.rpartition("/")[2].str.rpartition(".")[0]
    table = pd.DataFrame(
        {
            "key": "eurosat-" + stems,
            "ext": "jpg",
            "scale": "satellite",
            "lon": rows["lon"],
            "lat": rows["lat"],
            "place_id": place_id(rows["lon"].to_numpy(np.float64), rows["lat"].to_numpy(np.float64)),
            "date": "",
            "file": rows["file"],
        }
    )
    return ImageList(table.reset_index(drop=True), ZipFiles(source.images), report)
