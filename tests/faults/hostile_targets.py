"""What `hostile` spoils: every reader of what people or earlier runs leave, each with something that it can read."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyogrio
import shapely
from faults import hostile_products
from faults.hostile import Target
from upath import UPath

from sdm_ray import jobs
from sdm_ray.config import load
from sdm_ray.geo.windows import whole
from sdm_ray.model_io import load_encoder
from sdm_ray.predictor import load_model
from sdm_ray.readers.polygons import outline
from sdm_ray.readers.tables import read_table
from sdm_ray.stores import artefact
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.cube import Cube
from sdm_ray.stores.embeddings import Embeddings
from sdm_ray.stores.land import Land
from sdm_ray.stores.ledger import Ledger
from sdm_ray.stores.maps import Map
from sdm_ray.stores.series import Series
from sdm_ray.stores.surveys import read_surveys
from sdm_ray.streams.image_dataset import photos_of

ROWS = pd.DataFrame(
    {"id": ["a", "b", "c"], "lon": [8.5, 9.25, 7.0], "lat": [47.0, 47.5, 46.25], "name": ["Ficta alba", "Ficta", "ü"]}
)
META = """<archive xmlns="http://rs.tdwg.org/dwc/text/"><core encoding="UTF-8" fieldsTerminatedBy="\\t"
 linesTerminatedBy="\\n" fieldsEnclosedBy="" ignoreHeaderLines="1" rowType="http://rs.tdwg.org/dwc/terms/Occurrence">
<files><location>occurrence.txt</location></files><id index="0"/>
<field index="1" term="http://rs.tdwg.org/dwc/terms/lon"/><field index="2" term="http://rs.tdwg.org/dwc/terms/lat"/>
</core></archive>"""


def made(golden: Path, folder: Path) -> dict[str, Target]:
    """All targets; what is not among the golden artefacts is written to a folder."""
    v1, v2 = golden / "v1", golden / "v2"
    return {
        **_configurations(folder),
        **_tables(folder),
        **_polygons(folder),
        **hostile_products.made(golden, folder),
        "surveys": Target(v1 / "surveys" / "surveys.parquet", lambda place: read_surveys(UPath(place))),
        "record": Target(v2 / "map" / "map.zarr" / "artefact.json", _record),
        "ledger": Target(v2 / "map" / "map.zarr", _ledger),
        "shards": Target(v2 / "shards" / "shards", _photos),
        "land": Target(v1 / "land" / "land.zarr", lambda place: _whole(Land(UPath(place)), "land", "country")),
        "covariates": Target(v1 / "covariates" / "covariates.zarr", _covariates),
        "cube": Target(v1 / "cube" / "cube.zarr", _cube),
        "series": Target(v1 / "series" / "series.zarr", _series),
        "embeddings": Target(v1 / "embeddings" / "embeddings.zarr", _embeddings),
        "map": Target(v2 / "map" / "map.zarr", _map),
        "encoder": Target(v2 / "encoder" / "encoder", lambda place: load_encoder(UPath(place)).model()),
        "model": Target(v2 / "model" / "model", lambda place: load_model(place).predict([(8.8, 49.1)])),
    }


def _configurations(folder: Path) -> dict[str, Target]:
    """Every example, and the demo's for a job that has none, with the configuration that it names."""
    configs = jobs.shipped_configs()
    found = {file.name: file for file in sorted((configs / "examples").glob("*.yaml"))}
    for name in jobs.JOBS:
        if f"{name}.yaml" not in found:
            text = (configs / "demo" / f"{name}.yaml").read_text()
            found[f"{name}.yaml"] = folder / f"{name}.yaml"
            found[f"{name}.yaml"].write_text(text.replace("finetune.yaml", str(configs / "demo" / "finetune.yaml")))
    return {name: Target(file, _configuration(file.stem.partition("-")[0])) for name, file in found.items()}


def _configuration(name: str):
    return lambda place: load(place, jobs.config_class(name))


def _tables(folder: Path) -> dict[str, Target]:
    ROWS.to_csv(folder / "table.csv", index=False)
    ROWS.to_csv(folder / "table.tsv", index=False, sep="\t")
    ROWS.to_parquet(folder / "table.parquet", index=False)
    ROWS.to_excel(folder / "table.xlsx", index=False)
    with zipfile.ZipFile(folder / "table.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "table.csv", "table.csv")
    with zipfile.ZipFile(folder / "archive.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.xml", META)
        archive.writestr("occurrence.txt", ROWS.to_csv(index=False, sep="\t"))
    found = [f"table.{ending}" for ending in ("csv", "tsv", "parquet", "xlsx", "zip")]
    read = {name: Target(folder / name, lambda place: read_table(str(place), ["lon", "lat"])) for name in found}
    return read | {"archive.zip": Target(folder / "archive.zip", lambda place: read_table(str(place), ["lon"]))}


def _polygons(folder: Path) -> dict[str, Target]:
    shape = shapely.box(8, 47, 9, 48)
    (folder / "area.wkt").write_text(shape.wkt)
    for name in ("area.geojson", "area.gpkg"):
        pyogrio.raw.write(
            folder / name, np.array([shapely.to_wkb(shape)]), [], [], geometry_type="Polygon", crs="EPSG:4326"
        )
    names = ("area.wkt", "area.geojson", "area.gpkg")
    return {name: Target(folder / name, lambda place: outline(str(place))) for name in names}


def _record(place: Path) -> None:
    artefact.find_record(UPath(place).parent)


def _ledger(place: Path) -> None:
    record = artefact.find_record(UPath(place))
    Ledger(UPath(place), record.fingerprint if record else "none").done()


def _photos(place: Path) -> None:
    photos = photos_of(UPath(place), "plant", 16)
    photos.read(np.arange(len(photos.rows)), np.zeros(len(photos.rows), np.int64))


def _whole(store, *layers: str) -> None:
    for layer in layers:
        getattr(store, layer)()


def _covariates(place: Path) -> None:
    store = Covariates(UPath(place))
    store.at(*store.grid.centre(np.arange(4), np.arange(4)))


def _cube(place: Path) -> None:
    store = Cube(UPath(place))
    store.read(whole(store.grid))
    store.valid_count(whole(store.grid))


def _series(place: Path) -> None:
    store = Series(UPath(place))
    store.at(list(store.survey_ids[:2]))


def _embeddings(place: Path) -> None:
    store = Embeddings(UPath(place))
    store.decode(store.read(whole(store.grid)))


def _map(place: Path) -> None:
    for level in (0, 1):
        store = Map(UPath(place), level)
        store.read(whole(store.grid))
        for name in store.layers():  # coarser levels of former releases have none
            store.layer(name)
