"""Maps as an EBV cube: one netCDF-4 file of Essential Biodiversity Variables, as the EBV Data Portal takes it.

The layout is that of EBVCube-format 1.0 (github.com/EBVcube/EBVCube-format): `ebv_cube(entity, time, lat, lon)` in the
group `metric_1`, or `scenario_k/metric_1` where maps are of scenarios. Values are plain float32, since the portal's
tools apply no scale factor. On a projected grid `lon` and `lat` hold its metres, as the format says.
"""

import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import whole
from sdm_ray.job import Job
from sdm_ray.mapping import ebv_metadata
from sdm_ray.mapping.config import ExportConfig
from sdm_ray.mapping.ebv_config import CubeConfig, EbvConfig
from sdm_ray.mapping.sensitive import PublishedMap, publishable
from sdm_ray.progress import say, track
from sdm_ray.readers.tables import column_names, read_table
from sdm_ray.stores import artefact
from sdm_ray.stores.maps import SPECIES_CHUNK, Map, baseline
from sdm_ray.stores.raster import open_group

_CHUNK = 512  # most cells along the side of a chunk of the file
_FILL = np.float32(-3.4e38)
FILE = "ebv_cube.nc"


def run(config: ExportConfig, job: Job) -> dict[str, Any]:
    """Write `ebv_cube.nc` from the map, or from several by date and scenario.

    Raises:
        InputError: netCDF4 is not installed, a species is missing, or maps differ in grid, species or kind.
    """
    assert config.ebv is not None
    netcdf = _library()
    cubes = config.ebv.cubes or _scenarios(config)
    maps = [_opened(config, cube) for cube in cubes]
    first = maps[0]
    for other in maps:
        _check_alike(first, other)
    chosen = publishable(first, config.species)
    dates = sorted({cube.date for cube in cubes})
    scenarios = list(dict.fromkeys(cube.scenario for cube in cubes))
    record = artefact.read_record(config.path(cubes[0].map))
    sources = {each for cube in cubes for each in artefact.read_record(config.path(cube.map)).sources}
    record = record.model_copy(update={"sources": sorted(sources)})
    title = str(open_group(first.path).attrs.get("title", config.map))
    with tempfile.TemporaryDirectory() as place:
        draft = Path(place) / FILE
        with netcdf.Dataset(draft, "w", format="NETCDF4") as file:
            file.setncatts(ebv_metadata.global_attributes(config.ebv, title, record, first.grid, dates))
            _axes(file, first.grid, dates, len(chosen))
            names = [str(first.species["name"][number]) for number in chosen]
            _entities(file, config.ebv, names, _taxonomy(config, names), _keys(config, record, names))
            targets = _groups(file, scenarios, first)
            for cube, source in zip(cubes, maps, strict=True):
                _fill(targets[cube.scenario], dates.index(cube.date), source, chosen)
        with draft.open("rb") as made, (job.output / FILE).open("wb") as out:
            while part := made.read(1 << 22):
                out.write(part)
    say(f"export: {len(chosen)} species, {len(dates)} dates, {len(targets)} cubes; {job.output / FILE}")
    return {"species": len(chosen), "dates": len(dates), "cubes": len(targets)}


def _scenarios(config: ExportConfig) -> list[CubeConfig]:
    """The scenario that is asked for, or all that the map has."""
    assert config.ebv is not None
    labels = baseline(config.path(config.map)).scenarios
    asked: list[str | None] = [*labels] if labels and config.scenario is None else [config.scenario]
    return [CubeConfig(map=config.map, date=config.ebv.date or date.min, scenario=label) for label in asked]


def _opened(config: ExportConfig, cube: CubeConfig) -> PublishedMap:
    """A map, or of a map of scenarios the one that a cube names."""
    assert config.ebv is not None
    place = config.path(cube.map)
    named = config.scenario is not None or bool(baseline(place).scenarios)  # else it only names the cube
    return PublishedMap(place, sensitive=config.sensitive, scenario=cube.scenario if named else None)


def _library() -> Any:  # noqa: ANN401 - a module
    try:
        import netCDF4
    except ImportError:
        raise InputError("format: ebv needs netCDF4; install sdm-ray with its extra `ebv`") from None
    return netCDF4


def _check_alike(first: Map, other: Map) -> None:
    if other.grid != first.grid:
        raise InputError(f"{other.path}: lies on another grid than {first.path}; expected maps of one grid")
    if other.species["name"].tolist() != first.species["name"].tolist():
        raise InputError(f"{other.path}: has other species than {first.path}; expected one list of species")
    if other.probability_kind != first.probability_kind:
        kinds = f"{other.probability_kind!r}, {first.path} of {first.probability_kind!r}"
        raise InputError(f"{other.path}: holds probabilities of kind {kinds}; expected one kind")


def _axes(file: Any, grid: Grid, dates: Sequence[date], entities: int) -> None:  # noqa: ANN401 - netCDF4's Dataset
    """Dimensions at the root, with their coordinates and the projection; time alone is unlimited."""
    for name, size in (("lon", grid.width), ("lat", grid.height), ("time", None), ("entity", entities)):
        file.createDimension(name, size)
    crs = file.createVariable("crs", "i1", ())
    crs.setncatts(ebv_metadata.crs_attributes(grid))
    for name, values, attrs in (("lon", grid.x, ebv_metadata.X), ("lat", grid.y, ebv_metadata.Y)):
        file.createVariable(name, "f8", (name,)).setncatts(attrs)
        file[name][:] = values
    time = file.createVariable("time", "i4", ("time",), chunksizes=(max(len(dates), 1),))
    time.setncatts(ebv_metadata.TIME)
    time[:] = [(each - ebv_metadata.EPOCH).days for each in dates]


def _entities(
    file: Any,  # noqa: ANN401 - netCDF4's Dataset
    config: EbvConfig,
    names: Sequence[str],
    taxonomy: pd.DataFrame,
    keys: Sequence[str],
) -> None:
    """Names of the species, their taxonomy and, where known, their keys in the GBIF backbone, as character arrays."""
    texts = [str(value) for value in [*names, *taxonomy.to_numpy().ravel()]]
    _characters(file, "nchar", texts)
    entity = file.createVariable("entity", "S1", ("entity", "nchar"))
    entity.setncatts({
        "ebv_entity_type": config.entity_type,
        "ebv_entity_scope": config.entity_scope,
        "units": "1",
        "long_name": "entity",
    })  # fmt: skip
    width = file.dimensions["nchar"].size
    entity[:] = _letters(names, width)
    file.createDimension("taxonlevel", taxonomy.shape[1])
    _characters(file, "nchar_taxonlist", [str(name) for name in taxonomy])
    levels = file.createVariable("taxonomy_levels", "S1", ("nchar_taxonlist", "taxonlevel"))
    levels.units = "1"
    levels[:] = _letters([str(name) for name in taxonomy], file.dimensions["nchar_taxonlist"].size).T
    table = file.createVariable("taxonomy_table", "S1", ("nchar", "entity", "taxonlevel"))
    table.units = "1"
    letters = _letters([str(value) for value in taxonomy.to_numpy().ravel()], width)
    table[:] = np.moveaxis(letters.reshape(*taxonomy.shape, width), 2, 0)
    if any(keys):
        entity.setncatts({
            "ebv_entity_classification_name": "GBIF Backbone Taxonomy",
            "ebv_entity_classification_url": "https://doi.org/10.15468/39omei",
        })  # fmt: skip
        _characters(file, "nchar_taxonid", keys)
        found = file.createVariable("taxonomy_key", "S1", ("nchar_taxonid", "entity"))
        found.setncatts({"units": "1", "long_name": "usageKey"})
        found[:] = _letters(keys, file.dimensions["nchar_taxonid"].size).T


def _characters(file: Any, name: str, texts: Sequence[str]) -> None:  # noqa: ANN401 - netCDF4's Dataset
    file.createDimension(name, max(1, *(len(text.encode()) for text in texts)))


def _letters(texts: Sequence[str], width: int) -> np.ndarray:
    """UTF-8 bytes of texts, padded with blanks; S1 (N, width)."""
    padded = b"".join(text.encode().ljust(width) for text in texts)
    return np.frombuffer(padded, "S1").reshape(len(texts), width)


def _taxonomy(config: ExportConfig, names: Sequence[str]) -> pd.DataFrame:
    """Ranks of each species, the species first; from a table, or its genus from its name."""
    assert config.ebv is not None
    if config.ebv.taxonomy is None:
        return pd.DataFrame({"species": list(names), "genus": [name.split()[0] if name else "" for name in names]})
    table = read_table(config.ebv.taxonomy, ["species"], column_names(config.ebv.taxonomy))
    table = table.drop_duplicates("species").set_index("species")
    if unknown := [name for name in names if name not in table.index]:
        say(f"  {len(unknown)} of {len(names)} species are not in {config.ebv.taxonomy}, such as {unknown[0]}")
    return table.reindex(list(names)).fillna("").reset_index(names="species")


def _keys(config: ExportConfig, record: artefact.Record, names: Sequence[str]) -> list[str]:
    """Keys of the species in the GBIF backbone, from the model of the map; blank where not known."""
    place = config.path(str(record.config.get("model", ""))) / "species.parquet"
    if "model" not in record.config or not place.exists():
        return [""] * len(names)
    with place.open("rb") as file:
        table = pd.read_parquet(file).drop_duplicates("name").set_index("name")
    keys = table["gbif_key"].reindex(list(names)) if "gbif_key" in table else pd.Series(pd.NA, list(names))
    return ["" if pd.isna(key) else str(int(key)) for key in keys]


def _groups(file: Any, scenarios: Sequence[str | None], source: Map) -> dict[str | None, Any]:  # noqa: ANN401
    """The variable `ebv_cube` of each scenario, or of the metric alone where there are none."""
    found: dict[str | None, Any] = {}
    side = min(_CHUNK, source.tile)
    chunks = (1, 1, min(side, source.grid.height), min(side, source.grid.width))
    layout = {"chunksizes": chunks, "compression": "zlib", "complevel": 4, "shuffle": True, "fill_value": _FILL}
    dimensions = ("entity", "time", "lat", "lon")
    for number, name in enumerate(scenarios, 1):
        above = file
        if name is not None:
            above = file.createGroup(f"scenario_{number}")
            above.setncatts({"standard_name": name, "long_name": name})
        metric = above.createGroup("metric_1")
        metric.setncatts(ebv_metadata.metric_attributes(source.probability_kind))
        found[name] = metric.createVariable("ebv_cube", "f4", dimensions, **layout)
        found[name].setncatts(ebv_metadata.cube_attributes(source.probability_kind))
    return found


def _fill(cube: Any, time: int, source: Map, chosen: Sequence[int]) -> None:  # noqa: ANN401 - netCDF4's Variable
    """Copy a map, group of species by group and tile by tile; memory holds one tile of a group."""
    numbers = np.array(chosen)
    groups = [slice(start, min(start + SPECIES_CHUNK, len(chosen))) for start in range(0, len(chosen), SPECIES_CHUNK)]
    for group in track(groups, len(groups), f"export: {source.path.name}"):
        low, high = int(numbers[group].min()), int(numbers[group].max())
        for window in whole(source.grid).parts(source.tile, source.grid.width):
            values = source.read(window, slice(low, high + 1))[numbers[group] - low]
            cube[group, time, *window.slices] = np.where(np.isnan(values), _FILL, values)
