"""Scenes from folders: GeoTIFF and COG files, SAFE folders of L2A products."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree import ElementTree

from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.warp import transform_bounds
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo import grid as geo_grid
from sdm_ray.sources.base import Report
from sdm_ray.sources.sentinel2.config import SceneFiles, Sentinel2
from sdm_ray.sources.sentinel2.scene_reader import Patience, gdal_settings, open_raster
from sdm_ray.sources.sentinel2.scenes import Raster, Scene, day_of, find_band, needed

_ENDINGS = (".tif", ".tiff", ".jp2")
_SAFE_FILE = re.compile(r"_(B\d[0-9A]|SCL)_(\d\d)m\.(jp2|tif|tiff)$")
_SAFE_NAME = re.compile(r"^(S2[A-D])_MSIL2A_(\d{8})T\d{6}_N(\d\d)(\d\d)_R\d{3}_T(\w{5})_")


@dataclass
class _Files:
    """The files of one scene, before any is opened."""

    name: str
    date: str
    rasters: dict[str, Raster] = field(default_factory=dict)
    observation: str = ""
    tile: str = ""
    cloud: float | None = None
    baseline: str | None = None
    offset: int | None = None


def find(source: Sentinel2, settings: SceneFiles) -> tuple[list[Scene], Report]:
    """All scenes below some folders; every one is opened, since a file says where it lies.

    Raises:
        InputError: there is no file, its bands have no names, or none has the bands needed.
    """
    folders = [UPath(folder) for folder in settings.folders]
    report = Report(", ".join(settings.folders), 0)
    found: list[_Files] = []
    for folder in folders:
        for product in sorted(folder.rglob("*.SAFE")):
            found += _product(product, report)
        found += _grouped(folder, source, settings, report)
    report.rows = len(found) + report.lost
    if not report.rows:
        raise InputError(f"{report.name}: no GeoTIFF, JPEG 2000 or SAFE product below it")
    patience = Patience(source.retries, source.backoff_s)
    scenes: list[Scene] = []
    with gdal_settings(source):
        for files in found:
            scene = _opened(files, source, settings, report, patience)
            scenes += [scene] if scene else []
    if not scenes:
        report.check(0.0)
    return scenes, report


def _grouped(folder: UPath, source: Sentinel2, settings: SceneFiles, report: Report) -> list[_Files]:
    """Files outside SAFE folders, one or several to a scene."""
    pattern = re.compile(settings.pattern)
    scenes: dict[str, _Files] = {}
    for file in sorted(folder.rglob("*")):
        inner = file.relative_to(folder)
        if file.suffix.lower() not in _ENDINGS or any(part.endswith(".SAFE") for part in inner.parts):
            continue
        match = pattern.search(file.stem)
        day = _day(match.groupdict()) if match else None
        if match is None or day is None:
            report.drop("no_date_in_the_name", [str(inner)])
            continue
        names = match.groupdict()
        band = names.get("band")
        stem = names.get("scene") or (file.stem.replace(band, "") if band else file.stem)
        scene = scenes.setdefault(str(inner.parent / stem), _Files(stem, day, baseline=settings.baseline))
        if band:
            scene.rasters[band] = Raster(href=str(file))
        else:
            scene.rasters[""] = Raster(href=str(file))  # its bands are known when it is opened
    return list(scenes.values())


def _day(names: dict[str, str | None]) -> str | None:
    text = names.get("date")
    return day_of(text or f"{names.get('year')}{names.get('month')}{names.get('day') or '01'}")


def _product(folder: UPath, report: Report) -> Iterator[_Files]:
    """The granules of a SAFE folder, each band at its finest resolution."""
    match = _SAFE_NAME.match(folder.name)
    try:
        stated = _metadata(folder / "MTD_MSIL2A.xml")
    except (ElementTree.ParseError, ValueError) as error:
        report.drop("unreadable", [f"{folder} (MTD_MSIL2A.xml: {error})"])
        return
    day = day_of(stated.get("PRODUCT_START_TIME", [match[2] if match else ""])[0])
    if day is None:
        report.drop("no_date_in_the_name", [str(folder)])
        return
    cloud = stated.get("Cloud_Coverage_Assessment")
    offsets = sorted({float(value) for value in stated.get("BOA_ADD_OFFSET", [])})
    platform = stated.get("SPACECRAFT_NAME", [f"Sentinel-{match[1][1:]}" if match else folder.name])[0].lower()
    for granule in sorted((folder / "GRANULE").glob("*")):
        bands: dict[str, tuple[int, str]] = defaultdict(lambda: (100, ""))
        for file in granule.glob("IMG_DATA/R*m/*"):
            kind = _SAFE_FILE.search(file.name)
            if kind:
                bands[kind[1]] = min(bands[kind[1]], (int(kind[2]), str(file)))
        yield _Files(
            name=folder.stem,
            date=day,
            rasters={band: Raster(href=href) for band, (_, href) in bands.items()},
            observation=f"{day} {platform}",
            tile=match[5] if match else granule.name,
            cloud=float(cloud[0]) if cloud else None,
            baseline=stated.get("PROCESSING_BASELINE", [f"{match[3]}.{match[4]}" if match else ""])[0] or None,
            offset=-int(offsets[0]) if len(offsets) == 1 else None,
        )


def _metadata(file: UPath) -> dict[str, list[str]]:
    """Texts of a product's metadata by the names of their elements."""
    found: dict[str, list[str]] = defaultdict(list)
    if file.exists():
        for element in ElementTree.fromstring(file.read_bytes()).iter():
            found[element.tag.rpartition("}")[2]].append((element.text or "").strip())
    return dict(found)


def _opened(files: _Files, source: Sentinel2, settings: SceneFiles, report: Report, patience: Patience) -> Scene | None:
    """A scene with its place and bands; None where it goes into the report."""
    opened: list[DatasetReader] = []
    href = next(iter(files.rasters.values())).href if files.rasters else files.name
    try:
        patience.tries(lambda: opened.append(open_raster(href)))
    except (RasterioError, OSError, ValueError) as error:
        report.drop("unreadable", [f"{files.name} ({str(error).splitlines()[0][:160]})"])
        return None
    with opened[-1] as raster:
        bounds = transform_bounds(raster.crs, geo_grid.CRS, *raster.bounds, densify_pts=21)
        there = files.rasters if "" not in files.rasters else _inside(raster, href, settings)
    rasters = {}
    for band in needed(source):
        name = find_band(band, {}, there)
        if name is None:
            raise InputError(f"{href}: has no band {band}; found {', '.join(sorted(there))} ({_advice(band)})")
        rasters[band] = there[name]
    return Scene(
        name=files.name,
        date=files.date,
        observation=files.observation or f"{files.date} {files.name}",
        tile=files.tile or files.name,
        rasters=rasters,
        bounds=bounds,
        cloud=files.cloud,
        baseline=files.baseline,
        offset=files.offset,
    )


def _advice(band: str) -> str:
    return "mask: null where scenes have no classification" if band == "scl" else "name the file's under scenes.bands"


def _inside(raster: DatasetReader, href: str, settings: SceneFiles) -> dict[str, Raster]:
    """The bands of a file that holds several."""
    names = settings.bands or [name or "" for name in raster.descriptions]
    if settings.bands is not None and len(names) != raster.count:
        raise InputError(f"{href}: holds {raster.count} bands, scenes.bands names {len(names)}")
    if any(not name for name in names):
        number = next(i for i, name in enumerate(names, 1) if not name)
        raise InputError(f"{href}: band {number} has no description; give the bands' names under scenes.bands")
    return {name: Raster(href=href, band=number) for number, name in enumerate(names, 1)}
