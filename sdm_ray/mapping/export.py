"""The job `export`: species and layers of a map as Cloud Optimized GeoTIFFs and pictures, with a STAC item."""

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.shutil import copy as copy_raster
from shapely import box, segmentize
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.evaluation.pictures import map_picture
from sdm_ray.geo.grid import Grid, to_lonlat
from sdm_ray.geo.windows import Window
from sdm_ray.job import Job
from sdm_ray.mapping.config import ExportConfig
from sdm_ray.progress import say, track
from sdm_ray.stores.artefact import read_record
from sdm_ray.stores.maps import SPECIES_CHUNK, Map, nodata

_BLOCK = 512  # pixels along the side of a GeoTIFF's block
_PICTURE = 1000  # most cells along the longer side of a picture
_EDGES = 20  # parts of an edge of the map, whose outline bends in degrees


def run(config: ExportConfig, job: Job) -> dict[str, Any]:
    """Write a GeoTIFF and a picture for each wanted species and layer, and `item.json`.

    Probabilities stay the integers of the map, with their scale and nodata as GDAL knows them.

    Raises:
        InputError: the map lacks a species or layer.
    """
    path = config.path(config.map)
    source = Map(path)
    chosen = _numbers(path, source, config.species)
    files = _file_names([source.species["name"][number] for number in chosen])
    missing = [name for name in config.layers if name not in source.layers()]
    if missing:
        raise InputError(f"{path}: has no layer {missing[0]}; found {', '.join(source.layers())}")
    groups = [slice(start, start + SPECIES_CHUNK) for start in range(0, len(chosen), SPECIES_CHUNK)]
    assets: dict[str, dict[str, Any]] = {}
    for group in track(groups, len(groups), "export"):
        _species_files(source, chosen[group], files[group], job.output)
        for number, name in zip(chosen[group], files[group], strict=True):
            title = str(source.species["name"][number])
            assets[name] = _asset(f"{name}.tif", f"probability of {title}", source)
    for name in config.layers:
        _layer_file(source, name, job.output)
        assets[name] = _asset(f"{name}.tif", name.replace("_", " "), None)
    if config.pictures:
        for number, name in zip(chosen, files, strict=True):
            values, extent = _coarse(source.path, number)
            title = str(source.species["name"][number])
            picture = map_picture(values, title, f"probability ({source.probability_kind})", extent=extent)
            (job.output / f"{name}.png").write_bytes(picture)
            assets[f"{name}-picture"] = {"href": f"./{name}.png", "type": "image/png", "roles": ["overview"]}
    (job.output / "item.json").write_text(json.dumps(_item(config, source, assets), indent=1))
    say(f"export: {len(chosen)} species and {len(config.layers)} layers; {job.output / 'item.json'}")
    return {"species": len(chosen), "layers": len(config.layers)}


def _numbers(path: UPath, source: Map, wanted: Sequence[str] | None) -> list[int]:
    names = source.species["name"].tolist()
    if wanted is None:
        return list(range(len(names)))
    place = {name: number for number, name in enumerate(names)}
    missing = [name for name in wanted if name not in place]
    if missing:
        raise InputError(f"{path}: has no species {missing[0]!r}; found {', '.join(names[:6])}, … ({len(names)})")
    return [place[name] for name in wanted]


def _file_names(names: Sequence[str]) -> list[str]:
    """Names that any file system takes, no two alike."""
    found: list[str] = []
    for name in names:
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "species"
        found.append(plain if plain not in found else f"{plain}-{len(found)}")
    return found


def _species_files(source: Map, numbers: Sequence[int], names: Sequence[str], folder: UPath) -> None:
    """Chunks hold several species: they are decoded once for all of a group."""
    top = nodata(source.bits) - 1
    profile = {"dtype": f"uint{source.bits}", "nodata": top + 1}
    with tempfile.TemporaryDirectory() as place, ExitStack() as opened:
        drafts = [opened.enter_context(_draft(Path(place) / f"{name}.tif", source.grid, profile)) for name in names]
        low, high = min(numbers), max(numbers) + 1
        for window in _strips(source.grid, source.tile):
            values = source.stored(window, slice(low, high))
            for number, draft in zip(numbers, drafts, strict=True):
                draft.write(values[number - low], 1, window=_window(window))
        for number, draft in zip(numbers, drafts, strict=True):
            draft.scales, draft.offsets = (1 / top,), (0.0,)
            draft.set_band_description(1, str(source.species["name"][number]))
            draft.update_tags(probability_kind=source.probability_kind)
        opened.close()
        for name in names:
            _finish(Path(place) / f"{name}.tif", folder)


def _layer_file(source: Map, name: str, folder: UPath) -> None:
    values = source.layer(name)
    fill = source.layers()[name]
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"{name}.tif"
        with _draft(path, source.grid, {"dtype": str(values.dtype), "nodata": fill}) as draft:
            draft.write(values, 1)
            draft.set_band_description(1, name)
        _finish(path, folder)


def _draft(path: Path, grid: Grid, profile: dict[str, Any]) -> Any:  # noqa: ANN401 - rasterio's writer
    return rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=1,
        width=grid.width,
        height=grid.height,
        crs="EPSG:3035",
        transform=rasterio.Affine(*grid.transform),
        tiled=True,
        blockxsize=_BLOCK,
        blockysize=_BLOCK,
        BIGTIFF="IF_SAFER",
        **profile,
    )


def _finish(draft: Path, folder: UPath) -> None:
    """Put blocks and overviews in the order that a reader over HTTP wants."""
    whole = draft.with_suffix(".cog.tif")
    copy_raster(draft, whole, driver="COG", compress="DEFLATE", blocksize=_BLOCK, overview_resampling="average")
    with whole.open("rb") as file, (folder / draft.name).open("wb") as out:
        while part := file.read(1 << 22):
            out.write(part)


def _strips(grid: Grid, rows: int) -> Iterator[Window]:
    for row in range(0, grid.height, rows):
        yield Window(row, 0, min(rows, grid.height - row), grid.width)


def _window(window: Window) -> Any:  # noqa: ANN401 - rasterio's window
    return rasterio.windows.Window(window.col, window.row, window.width, window.height)


def _coarse(path: UPath, number: int) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """One species of the first level that a picture can show, and its extent."""
    level, source = 0, Map(path)
    while max(source.grid.shape) > _PICTURE and Map.has_level(path, level + 1):
        level += 1
        source = Map(path, level)
    return source.read(Window(0, 0, *source.grid.shape), number), source.grid.bounds


def _asset(href: str, title: str, source: Map | None) -> dict[str, Any]:
    band: dict[str, Any] = {"name": title}
    if source is not None:
        top = nodata(source.bits) - 1
        band |= {"data_type": f"uint{source.bits}", "nodata": top + 1, "raster:scale": 1 / top, "unit": "1"}
    kind = "image/tiff; application=geotiff; profile=cloud-optimized"
    return {"href": f"./{href}", "type": kind, "title": title, "roles": ["data"], "bands": [band]}


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
            "title": config.map,
            "description": f"Probabilities of kind '{source.probability_kind}'. Sources: " + "; ".join(record.sources),
            "proj:code": "EPSG:3035",
            "proj:shape": list(source.grid.shape),
            "proj:transform": list(source.grid.transform),
        },
        "links": [],
        "assets": assets,
    }
