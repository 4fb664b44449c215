"""A satellite scene, and which scenes a cube is made from."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date

import numpy as np
from pydantic import TypeAdapter
from shapely import Geometry, box
from upath import UPath

from sdm_ray.config import Config
from sdm_ray.errors import InputError
from sdm_ray.sources.base import Report
from sdm_ray.sources.sentinel2.config import Sentinel2

SENTINEL = {
    "coastal": "B01",
    "blue": "B02",
    "green": "B03",
    "red": "B04",
    "rededge1": "B05",
    "rededge2": "B06",
    "rededge3": "B07",
    "nir": "B08",
    "nir08": "B8A",
    "nir09": "B09",
    "swir16": "B11",
    "swir22": "B12",
    "scl": "SCL",
}
"""Common names of bands -> Sentinel-2's."""
SCL = "scl"
OFFSET = 1000
"""What values carry from processing baseline 04.00 on."""
_OFFSET_SINCE = "04.00"
_OFFSET_BEGAN = date(2022, 1, 25)


class Raster(Config):
    """One band of a file."""

    href: str
    """Path or URL, not signed."""
    band: int = 1


class Scene(Config):
    """One satellite image of one tile.

    Scenes of one `observation` were taken in one pass of one satellite, so that they count once where they overlap.
    """

    name: str
    date: str
    """Day, `2021-07-15`."""
    observation: str
    tile: str
    """The tile of the scene's own grid (`31UDQ`), else its name."""
    rasters: dict[str, Raster]
    """Band -> where it is; `scl` for the scene classification."""
    bounds: tuple[float, float, float, float]
    """West, south, east, north, EPSG:3035 metres."""
    cloud: float | None = None
    """Percent."""
    baseline: str | None = None
    offset: int | None = None
    """What is to be taken off the values; None where the baseline decides."""


def find_band(wanted: str, named: dict[str, str], found: Iterable[str]) -> str | None:
    """What a source calls a band.

    Args:
        wanted: the cube's name of it.
        named: names given by the configuration.
        found: names that the source has.
    """
    there = set(found)
    for name in (named[wanted],) if wanted in named else (wanted, wanted.upper(), SENTINEL.get(wanted)):
        if name in there:
            return name
    return None


def needed(source: Sentinel2) -> list[str]:
    """Names of the bands that every scene must have."""
    return [*source.bands, *([SCL] if source.mask is not None else [])]


def choose(source: Sentinel2, found: list[Scene], area: Geometry, report: Report) -> dict[str, list[Scene]]:
    """The scenes of each composite, in an order that does not depend on how they were found.

    Of two versions of one scene that of the later processing baseline is taken.

    Args:
        source: dates and cloud cover.
        found: scenes with the bands needed.
        area: where the cube lies, EPSG:3035.
        report: takes what is passed over.

    Raises:
        InputError: a composite would have no scene, or a scene does not say what its values mean.
    """
    near = [scene for scene in found if area.intersects(box(*scene.bounds))]
    clear = [scene for scene in near if scene.cloud is None or scene.cloud <= source.max_cloud]
    chosen = {}
    used: set[str] = set()
    for name, (first, last) in source.periods().items():
        dated = [scene for scene in clear if str(first) <= scene.date <= str(last)]
        if not dated:
            counts = f"{len(found)} found, {len(near)} of them in the area, {len(clear)} with little cloud"
            raise InputError(f"cube: no scene from {first} to {last} for {name} ({counts})")
        chosen[name] = [_removed(scene, source, report) for scene in _latest(dated, report)]
        used |= {scene.name for scene in chosen[name]}
    report.facts |= {"in_area": len(near), "little_cloud": len(clear), "used": len(used)}
    return chosen


def _latest(scenes: list[Scene], report: Report) -> list[Scene]:
    best: dict[tuple[str, str], str] = defaultdict(str)
    for scene in scenes:
        key = scene.observation, scene.tile
        best[key] = max(best[key], scene.baseline or "")
    kept = {scene.name: scene for scene in scenes if (scene.baseline or "") == best[scene.observation, scene.tile]}
    report.note("replaced_by_a_later_baseline", [scene.name for scene in scenes if scene.name not in kept])
    return sorted(kept.values(), key=lambda scene: (scene.observation, scene.name))


def _removed(scene: Scene, source: Sentinel2, report: Report) -> Scene:
    """The scene with what is to be taken off its values."""
    if source.offset == "removed":
        return scene.model_copy(update={"offset": 0})
    if scene.offset is not None:
        return scene
    if scene.baseline is None:
        if date.fromisoformat(scene.date) >= _OFFSET_BEGAN:
            raise InputError(
                f"{scene.name}: of {scene.date} and states no processing baseline, so its values may carry {OFFSET}; "
                "give scenes.baseline, or offset: removed"
            )
        report.note("no_baseline", [scene.name])
    return scene.model_copy(update={"offset": OFFSET if (scene.baseline or "") >= _OFFSET_SINCE else 0})


_LISTS = TypeAdapter(dict[str, list[Scene]])


def write_scenes(path: UPath, chosen: dict[str, list[Scene]]) -> None:
    """Keep what a cube is made from."""
    draft = path.parent / f"{path.name}.tmp"
    draft.write_bytes(_LISTS.dump_json(chosen, indent=1))
    draft.rename(path)


def read_scenes(path: UPath) -> dict[str, list[Scene]]:
    """What `write_scenes` kept."""
    return _LISTS.validate_json(path.read_bytes())


def day_of(text: str) -> str | None:
    """The day of `20210715...`, `2021-07-15...`; None where that is no day."""
    digits = text.replace("-", "")[:8]
    try:
        return str(date(int(digits[:4]), int(digits[4:6]), int(digits[6:8])))
    except ValueError:
        return None


def union(boxes: Iterable[tuple[float, float, float, float]]) -> tuple[float, float, float, float]:
    """The box around boxes."""
    west, south, east, north = np.array(list(boxes)).T
    return float(west.min()), float(south.min()), float(east.max()), float(north.max())
