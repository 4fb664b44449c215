"""The attributes of an EBV cube, EBVCube-format 1.0 (github.com/EBVcube/EBVCube-format) on CF 1.8 and ACDD 1.3."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from pyproj import CRS

from sdm_ray.geo.grid import CRS as GRID_CRS
from sdm_ray.geo.grid import Grid
from sdm_ray.mapping.ebv_config import EbvConfig
from sdm_ray.stores.artefact import Record

EPOCH = date(1860, 1, 1)
TIME = {
    "axis": "T",
    "calendar": "standard",
    "units": "days since 1860-01-01 00:00:00.0",
    "long_name": "time",
    "standard_name": "time",
}
X = {"axis": "X", "units": "meter", "standard_name": "projection_x_coordinate", "long_name": "lon"}
Y = {"axis": "Y", "units": "meter", "standard_name": "projection_y_coordinate", "long_name": "lat"}
_PENDING = "pending"  # what the portal fills in when it takes the file


def global_attributes(
    config: EbvConfig, title: str, record: Record, grid: Grid, dates: Sequence[date]
) -> dict[str, str]:
    """Attributes of the root group: what the publisher says, and what the map knows of itself.

    Args:
        config: what the publisher says.
        title: of the map.
        record: of the map.
        grid: its cells.
        dates: of the cube, ascending.
    """
    today = datetime.now(UTC).date().isoformat()
    west, south, east, north = (f"{edge:g}" for edge in grid.bounds)
    ring = f"{west} {south}, {east} {south}, {east} {north}, {west} {north}, {west} {south}"
    version = record.tools.get("sdm-ray", "")
    found = {
        "Conventions": "CF-1.8, ACDD-1.3, EBV-1.0",
        "naming_authority": "The German Centre for Integrative Biodiversity Research (iDiv) Halle-Jena-Leipzig",
        "id": _PENDING,
        "date_issued": _PENDING,
        "title": config.title or title,
        "summary": config.summary or _summary(title, record),
        "source": f"species distribution model of sdm-ray {version}, map {record.fingerprint}",
        "date_created": today,
        "date_modified": today,
        "date_metadata_modified": today,
        "product_version": "1",
        "creator_name": config.creator_name,
        "creator_institution": config.creator_institution,
        "publisher_name": config.publisher_name,
        "publisher_institution": config.publisher_institution,
        "publisher_email": config.publisher_email,
        "license": config.license,
        "ebv_class": config.ebv_class,
        "ebv_name": config.ebv_name,
        "ebv_domain": ", ".join(config.domains),
        "ebv_vocabulary": "https://portal.geobon.org/api/v1/ebv",
        "ebv_cube_dimensions": "lon, lat, time, entity",
        "ebv_geospatial_scope": config.geospatial_scope,
        "ebv_geospatial_description": config.geospatial_description,
        "geospatial_lat_units": "meters_north",
        "geospatial_lon_units": "meters_east",
        "geospatial_lat_resolution": f"{grid.resolution:g} meters",
        "geospatial_lon_resolution": f"{grid.resolution:g} meters",
        "geospatial_bounds_crs": GRID_CRS,
        "geospatial_bounds": f"POLYGON (({ring}))",
        "time_coverage_resolution": config.time_resolution,
        "time_coverage_start": dates[0].isoformat(),
        "time_coverage_end": dates[-1].isoformat(),
        "acknowledgement": "Sources and licences of the inputs: " + "; ".join(record.sources),
        "history": f"{today}: written by sdm-ray {version} from map {record.fingerprint}",
    }
    return found | config.attributes


def metric_attributes(kind: str) -> dict[str, str]:
    """Attributes of the metric, the probability of a species.

    Args:
        kind: what the probabilities are of.
    """
    meaning = {
        "occurrence": "probability that the species occurs in the cell",
        "recorded": "probability that an inventory has recorded the species in the cell",
        "relative": "relative suitability of the cell for the species; not a probability of occurrence",
    }
    return {
        "standard_name": "probability of occurrence" if kind != "relative" else "relative suitability",
        "long_name": meaning.get(kind, f"probability ({kind})"),
        "units": "1",
    }


def cube_attributes(kind: str) -> dict[str, str]:
    """Attributes of a variable `ebv_cube`."""
    metric = metric_attributes(kind)
    return {
        "grid_mapping": "/crs",
        "coordinates": "/entity",
        "long_name": metric["standard_name"],
        "units": metric["units"],
        "coverage_content_type": "modelResult",
    }


def crs_attributes(grid: Grid) -> dict[str, Any]:
    """CF grid mapping of the EU grid, with what GDAL reads."""
    step, _, west, _, _, north = grid.transform
    crs = CRS.from_user_input(GRID_CRS)
    mapping = {name: value for name, value in crs.to_cf().items() if name != "crs_wkt"}
    text = crs.to_wkt("WKT2_2019")
    place = f"{west:g} {step:g} 0 {north:g} 0 {-step:g}"
    return mapping | {"long_name": "CRS definition", "crs_wkt": text, "spatial_ref": text, "GeoTransform": place}


def _summary(title: str, record: Record) -> str:
    figures = record.figures
    cells = f" {figures['cells']} cells of {record.config.get('resolution_m', '')} m." if "cells" in figures else ""
    return f"{title}.{cells} Made from: " + "; ".join(record.sources)
