"""More of what `hostile` spoils: products of jobs, polygons, tables of species and of units, satellite scenes."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyogrio
import rasterio
import shapely
from faults.hostile import Target
from helpers.satellite import item, static, write
from helpers.scene_settings import settings
from upath import UPath

from sdm_ray.geo.grid import Grid, to_lonlat
from sdm_ray.impact.change.config import ChangeConfig
from sdm_ray.impact.change.layer_differences import create, plan
from sdm_ray.impact.change.layer_differences import write as write_differences
from sdm_ray.impact.config import ImpactConfig
from sdm_ray.impact.units import read_treatment, read_units
from sdm_ray.indicators.config import ListConfig, RangesConfig, TraitsConfig, ZoneFileConfig
from sdm_ray.indicators.error_model import read_error_model
from sdm_ray.indicators.traits import read_list, read_ranges, read_traits
from sdm_ray.indicators.zone_file import NamedZones
from sdm_ray.sources.occurrences.species_matcher import SpeciesMatcher
from sdm_ray.sources.sentinel2 import scene_files, stac_items
from sdm_ray.stores import raster
from sdm_ray.stores.geoparquet import write_geoparquet
from sdm_ray.viewer import site

SPECIES = ["Ficta alba", "Ficta sylvatica", "Ficta viridis"]
TRAITS = pd.DataFrame({"species": SPECIES, "height": [0.5, 2.25, 30.0], "area_km2": [1200, 99.5, 4e6]})
UNITS = pd.DataFrame(
    {"parcel": ["a", "b", "c"], "treated": [1, 0, 0], "date": ["2021-05-01", "", ""], "soil": [1, 2, 3]}
)
SQUARES = [shapely.box(x, 3_000_000, x + 900, 3_000_900) for x in (4_000_000, 4_001_000, 4_002_000)]
GRID = Grid(4_000_000, 3_010_000, 1000, 10, 10)
SAFE = "S2A_MSIL2A_20190715T110621_N0400_R137_T32TLT_20190715T142301.SAFE"
_METADATA = """<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-2A_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd">
<PRODUCT_START_TIME>2019-07-15T11:06:21.024Z</PRODUCT_START_TIME><PROCESSING_BASELINE>04.00</PROCESSING_BASELINE>
<SPACECRAFT_NAME>Sentinel-2A</SPACECRAFT_NAME><BOA_ADD_OFFSET band_id="0">-1000</BOA_ADD_OFFSET>
<Cloud_Coverage_Assessment>12.5</Cloud_Coverage_Assessment></n1:Level-2A_User_Product>"""


def made(golden: Path, folder: Path) -> dict[str, Target]:
    """The targets; what is not among the golden artefacts is written to a folder."""
    v1 = golden / "v1"
    indicators = v1 / "indicators" / "indicators.zarr"
    return {
        "indicators": Target(indicators, _differences(indicators, folder / "change.zarr")),
        "change": Target(v1 / "change" / "change.zarr", lambda place: site.find([str(place)])),
        "errors": Target(v1 / "errors" / "errors", lambda place: read_error_model(UPath(place))),
        **_zones(folder),
        **_units(folder),
        **_traits(folder),
        **_scenes(folder),
    }


def _differences(whole: Path, written: Path):
    grid = raster.read_grid(raster.open_group(UPath(whole) / "0"))

    def read(place: Path) -> None:
        site.find([str(place)])
        names = {"first": str(whole), "second": str(place)}
        config = ChangeConfig(maps={"first": "a.zarr", "second": "b.zarr"}, indicators=names, run_dir=str(place.parent))
        found = plan(config, list(names), grid)
        create(UPath(written), found, 64)
        write_differences(UPath(written), found, 64)

    return read


def _zones(folder: Path) -> dict[str, Target]:
    table = pd.DataFrame({"code": ["a", "b", "c"], "name": ["A", "B", ""]})
    write_geoparquet(UPath(folder / "zones.parquet"), table, np.array(SQUARES), [])
    for name in ("zones.gpkg", "zones.geojson"):
        _write_squares(folder / name, table)
    read = lambda place: NamedZones.read(ZoneFileConfig(file=str(place), id="code", name="name"), GRID)  # noqa: E731
    return {name: Target(folder / name, read) for name in ("zones.parquet", "zones.gpkg", "zones.geojson")}


def _units(folder: Path) -> dict[str, Target]:
    write_geoparquet(UPath(folder / "parcels.parquet"), UNITS, np.array(SQUARES), [])
    _write_squares(folder / "parcels.gpkg", UNITS)
    UNITS.assign(lon=[8.0, 8.5, 9.0], lat=[47.0, 47.5, 48.0]).to_csv(folder / "places.csv", index=False)

    def read(place: Path) -> None:
        config = ImpactConfig(
            units=str(place),
            id="parcel",
            treatment={"column": "treated", "date": "date"},
            outcome={"maps": {2020: "a.zarr", 2022: "b.zarr"}},
            covariates={"columns": ["soil"]},
        )
        read_treatment(read_units(config), config)

    return {name: Target(folder / name, read) for name in ("parcels.parquet", "parcels.gpkg", "places.csv")}


def _traits(folder: Path) -> dict[str, Target]:
    TRAITS.to_csv(folder / "traits.csv", index=False)
    TRAITS.to_parquet(folder / "traits.parquet", index=False)
    matcher = SpeciesMatcher(SPECIES)

    def read(place: Path) -> None:
        read_traits(TraitsConfig(file=str(place), columns=["height"]), matcher)
        read_ranges(RangesConfig(file=str(place)), matcher)
        read_list("all", ListConfig(file=str(place)), matcher)

    return {name: Target(folder / name, read) for name in ("traits.csv", "traits.parquet")}


def _scenes(folder: Path) -> dict[str, Target]:
    profile = {"driver": "GTiff", "crs": rasterio.CRS.from_epsg(32632), "width": 16, "height": 16}
    profile["transform"] = rasterio.Affine(10, 0, 500_000, 0, -10, 5_200_000)
    product = folder / "safe" / SAFE
    images = product / "GRANULE" / "L2A_T32TLT_A021214_20190715T110624" / "IMG_DATA" / "R10m"
    for band in ("B02", "B03", "B04", "B08"):
        write(images / f"T32TLT_20190715T110621_{band}_10m.tif", np.full((16, 16), 1500, np.uint16), profile)
    (product / "MTD_MSIL2A.xml").write_text(_METADATA)
    (folder / "zipped").mkdir()
    with zipfile.ZipFile(folder / "zipped" / "scene.zip", "w") as archive:
        for file in sorted(product.rglob("*.*")):
            archive.write(file, file.relative_to(product.parent))
    assets = {band: f"{band}.tif" for band in ("B02", "B03", "B04", "B08")}
    listed = [item(f"scene-{number}", f"2019-07-0{number}", assets, profile) for number in (1, 2)]
    catalogue = static(folder, listed)
    return {
        "scene.SAFE": Target(folder / "safe", _files),
        "scene.zip": Target(folder / "zipped", _files),
        "stac": Target(catalogue.parent, _stac),
    }


def _files(place: Path) -> None:
    scenes = {"kind": "files", "folders": [str(place)]}
    source = settings(scenes=scenes, years=[2019], mask=None, retries=0)
    scene_files.find(source, source.scenes)


def _stac(place: Path) -> None:
    source = settings(scenes={"kind": "stac", "url": str(place / "catalog.json")}, years=[2019], mask=None, retries=0)
    stac_items.find(source, source.scenes, (4_000_000, 2_600_000, 4_500_000, 2_900_000))


def _write_squares(path: Path, table: pd.DataFrame) -> None:
    """Write polygons in degrees, which are cut into short edges before they are brought onto the grid."""
    shapes = shapely.transform(np.array(SQUARES), lambda xy: np.column_stack(to_lonlat(*xy.T)))
    columns = [table[name].to_numpy() for name in table]
    pyogrio.raw.write(path, shapely.to_wkb(shapes), columns, list(table), geometry_type="Polygon", crs="EPSG:4326")
