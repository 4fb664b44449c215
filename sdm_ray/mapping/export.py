"""The job `export`: a map as Cloud Optimized GeoTIFFs and pictures with a STAC item, an EBV cube, or 10-km cells."""

import json
import re
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.shutil import copy as copy_raster
from shapely import box, segmentize
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid, to_lonlat
from sdm_ray.geo.windows import Window, whole
from sdm_ray.job import Job
from sdm_ray.mapping import article17, ebv
from sdm_ray.mapping.config import ExportConfig
from sdm_ray.mapping.sensitive import PublishedMap, Sensitive, publishable
from sdm_ray.mapping.thumbnails import overview
from sdm_ray.metrics.probability_kind import layer_has_meaning, require_levels
from sdm_ray.plots.maps import map_picture
from sdm_ray.progress import say, track
from sdm_ray.stores.artefact import read_record, write_sources
from sdm_ray.stores.encoding import nodata
from sdm_ray.stores.layer_classes import is_categorical
from sdm_ray.stores.maps import Map
from sdm_ray.stores.raster import open_group

_BLOCK = 512  # pixels along the side of a GeoTIFF's block
_PICTURE = 1000  # most cells along the longer side of a picture
_EDGES = 20  # parts of an edge of the map, whose outline bends in degrees


def run(config: ExportConfig, job: Job) -> dict[str, Any]:
    """Write GeoTIFFs and pictures of the wanted species and layers, and `item.json`; or another format.

    Probabilities stay the integers of the map, with their scale and nodata as GDAL knows them.

    Raises:
        InputError: the map lacks a species or layer, or holds relative suitabilities, whose sum is no richness, or a
            layer would show where sensitive species are.
    """
    if config.format != "geotiff":
        return {"ebv": ebv.run, "article17": article17.run}[config.format](config, job)
    path = config.path(config.map)
    source = PublishedMap(path, sensitive=config.sensitive, scenario=config.scenario)
    chosen = publishable(source, config.species)
    titles = [str(source.species["name"][number]) for number in chosen]
    names = _file_names(titles)
    missing = [name for name in config.layers if name not in source.layers()]
    if missing:
        raise InputError(f"{path}: has no layer {missing[0]}; found {', '.join(source.layers())}")
    for name in config.layers:
        if not layer_has_meaning(name, source.probability_kind):
            require_levels(f"{path}: layer {name}", source.probability_kind)
    source.check_layers(config.layers)
    assets: dict[str, dict[str, Any]] = {}
    if config.files == "together":
        _species_file(source, chosen, "probability", job.output)
        assets["probability"] = _asset("probability.tif", "probability", source, titles)
    else:
        groups = _groups(len(chosen), source.species_chunk)
        for group in track(groups, len(groups), "export"):
            _species_files(source, chosen[group], names[group], job.output)
        for title, name in zip(titles, names, strict=True):
            assets[name] = _asset(f"{name}.tif", f"probability of {title}", source)
    for name in config.layers:
        _layer_file(source, name, job.output)
        assets[name] = _asset(f"{name}.tif", name.replace("_", " "), None)
    if config.pictures:
        unit = f"probability ({source.probability_kind})"
        for number, name, title in zip(chosen, names, titles, strict=True):
            assets |= _picture(name, *_coarse(source, number, config.sensitive), (title, unit), job.output)
        group = open_group(source.path / "0")
        for name in config.layers:
            values = overview(group[name], source.layers()[name], source.tile, source.lead_of(name))
            about = str(group[name].attrs.get("long_name", name)), str(group[name].attrs.get("units", ""))
            assets |= _picture(name, values, source.grid.bounds, about, job.output)
    write_sources(job.output, read_record(path).sources)
    (job.output / "item.json").write_text(json.dumps(_item(config, source, assets), indent=1))
    say(f"export: {len(chosen)} species and {len(config.layers)} layers; {job.output / 'item.json'}")
    return {"species": len(chosen), "layers": len(config.layers)}


def _groups(count: int, side: int) -> list[slice]:
    """Species that share chunks of the map, which are decoded once for all of them."""
    return [slice(start, min(start + side, count)) for start in range(0, count, side)]


def _picture(
    name: str, values: np.ndarray, extent: tuple[float, ...], about: tuple[str, str], folder: UPath
) -> dict[str, dict[str, Any]]:
    """Write a PNG with a title and a unit; its asset."""
    west, south, east, north = extent
    (folder / f"{name}.png").write_bytes(map_picture(values, *about, extent=(west, south, east, north)))
    return {f"{name}-picture": {"href": f"./{name}.png", "type": "image/png", "roles": ["overview"]}}


def _file_names(names: Sequence[str]) -> list[str]:
    """Names that any file system takes, no two alike; letters lose their accents, as in `sapin-eleve`."""
    found: list[str] = []
    for name in names:
        letters = unicodedata.normalize("NFKD", name.casefold())
        plain = "".join(each for each in letters if not unicodedata.combining(each))
        plain = re.sub(r"[\W_]+", "-", plain).strip("-") or "species"
        found.append(plain if plain not in found else f"{plain}-{len(found)}")
    return found


def _species_files(source: Map, numbers: Sequence[int], names: Sequence[str], folder: UPath) -> None:
    """A file for each of a group of species."""
    with tempfile.TemporaryDirectory() as place, ExitStack() as opened:
        drafts = [opened.enter_context(_draft(Path(place) / f"{name}.tif", source, 1)) for name in names]
        low = min(numbers)
        for window in whole(source.grid).parts(source.tile, source.grid.width):
            values = source.stored(window, slice(low, max(numbers) + 1))
            for number, draft in zip(numbers, drafts, strict=True):
                draft.write(values[number - low], 1, window=_window(window))
        for number, draft in zip(numbers, drafts, strict=True):
            draft.set_band_description(1, str(source.species["name"][number]))
        opened.close()
        for name in names:
            _finish(Path(place) / f"{name}.tif", folder)


def _species_file(source: Map, numbers: Sequence[int], name: str, folder: UPath) -> None:
    """One file, a band for each species."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"{name}.tif"
        with _draft(path, source, len(numbers)) as draft:
            groups = _groups(len(numbers), source.species_chunk)
            for group in track(groups, len(groups), "export"):
                chosen = numbers[group]
                low, bands = min(chosen), list(range(group.start + 1, group.stop + 1))
                for window in whole(source.grid).parts(source.tile, source.grid.width):
                    values = source.stored(window, slice(low, max(chosen) + 1))
                    draft.write(values[np.array(chosen) - low], bands, window=_window(window))
            for band, number in enumerate(numbers, 1):
                draft.set_band_description(band, str(source.species["name"][number]))
        _finish(path, folder)


def _layer_file(source: Map, name: str, folder: UPath) -> None:
    values = source.layer(name)
    profile = {"dtype": str(values.dtype), "nodata": source.layers()[name]}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"{name}.tif"
        with _geotiff(path, source.grid, profile) as draft:
            draft.write(values, 1)
            draft.set_band_description(1, name)
            draft.update_tags(sources=_sources(str(source.path)))
        _finish(path, folder, "mode" if is_categorical(source.layer_attrs(name)) else "average")


@cache
def _sources(place: str) -> str:
    """Sources of a map with their licences, which travel in every GeoTIFF."""
    return "; ".join(read_record(UPath(place)).sources)


@contextmanager
def _draft(path: Path, source: Map, bands: int) -> Iterator[Any]:
    """A GeoTIFF to be filled with a map's stored probabilities."""
    top = nodata(source.bits) - 1
    profile = {"dtype": f"uint{source.bits}", "nodata": top + 1, "count": bands, "interleave": "band"}
    with _geotiff(path, source.grid, profile) as draft:
        draft.scales, draft.offsets = (1 / top,) * bands, (0.0,) * bands
        draft.update_tags(probability_kind=source.probability_kind, sources=_sources(str(source.path)))
        yield draft


def _geotiff(path: Path, grid: Grid, profile: dict[str, Any]) -> Any:  # noqa: ANN401 - rasterio's writer
    where = {"width": grid.width, "height": grid.height, "transform": rasterio.Affine(*grid.transform)}
    layout = {"tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK, "BIGTIFF": "IF_SAFER"}
    return rasterio.open(path, "w", driver="GTiff", crs="EPSG:3035", **{"count": 1, **where, **layout, **profile})


def _finish(draft: Path, folder: UPath, resampling: str = "average") -> None:
    """Make overviews and put blocks in the order that a reader over HTTP wants."""
    whole = draft.with_suffix(".cog.tif")
    copy_raster(draft, whole, driver="COG", compress="DEFLATE", blocksize=_BLOCK, overview_resampling=resampling)
    with whole.open("rb") as file, (folder / draft.name).open("wb") as out:
        while part := file.read(1 << 22):
            out.write(part)


def _window(window: Window) -> Any:  # noqa: ANN401 - rasterio's window
    return rasterio.windows.Window(window.col, window.row, window.width, window.height)


def _coarse(
    source: PublishedMap, number: int, sensitive: Sensitive
) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """One species of the first level that a picture can show, and its extent."""
    level, path = 0, source.path
    while max(source.grid.shape) > _PICTURE and Map.has_level(path, level + 1):
        level += 1
        source = PublishedMap(path, level, sensitive=sensitive, scenario=source.scenario)
    return source.read(Window(0, 0, *source.grid.shape), number), source.grid.bounds


def _asset(href: str, title: str, source: Map | None, bands: Sequence[str] = ()) -> dict[str, Any]:
    about: dict[str, Any] = {}
    if source is not None:
        top = nodata(source.bits) - 1
        about = {"data_type": f"uint{source.bits}", "nodata": top + 1, "raster:scale": 1 / top, "unit": "1"}
    kind = "image/tiff; application=geotiff; profile=cloud-optimized"
    described = [{"name": name, **about} for name in bands or [title]]
    return {"href": f"./{href}", "type": kind, "title": title, "roles": ["data"], "bands": described}


def _item(config: ExportConfig, source: Map, assets: dict[str, Any]) -> dict[str, Any]:
    """A STAC item (version 1.1.0) that tells where the map lies and what is in it."""
    west, south, east, north = source.grid.bounds
    outline = np.asarray(segmentize(box(west, south, east, north), (east - west) / _EDGES).exterior.coords)
    lon, lat = to_lonlat(*outline.T)
    ring = [[round(float(a), 6), round(float(b), 6)] for a, b in zip(lon, lat, strict=True)]
    record = read_record(config.path(config.map))
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [
            "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
            "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
        ],
        "id": f"{UPath(config.run_dir).name}-{config.map}-{record.fingerprint[:12]}",
        "bbox": [float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())],
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "datetime": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "title": config.map if source.scenario is None else f"{config.map}: {source.scenario}",
            "description": f"Probabilities of kind '{source.probability_kind}'. Sources: " + "; ".join(record.sources),
            "proj:code": "EPSG:3035",
            "proj:shape": list(source.grid.shape),
            "proj:transform": list(source.grid.transform),
        },
        "links": [],
        "assets": assets,
    }
