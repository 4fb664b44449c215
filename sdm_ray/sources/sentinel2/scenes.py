"""A satellite scene, and the choice of the scenes that a cube is made from."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date

from pydantic import TypeAdapter
from shapely import Geometry, box
from upath import UPath

from sdm_ray.config import Config
from sdm_ray.errors import InputError
from sdm_ray.sources.base import Report
from sdm_ray.sources.sentinel2.baseline import Baseline
from sdm_ray.sources.sentinel2.config import Sentinel2
from sdm_ray.stores.files import replacing

BAND_IDS = {
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
"""Common name of a band -> its name in Sentinel-2 products."""
SCL = "scl"
UNITS = 10_000
"""Reflectance 1, as the cube stores it."""
OFFSET = 1000
"""What is added to the values of products from processing baseline 04.00 on."""
_OFFSET_SINCE = "04.00"
_OFFSET_BEGAN = date(2022, 1, 25)


class Raster(Config):
    """One band of a file; `value * scale - offset` is reflectance x 10,000."""

    href: str
    """Path or URL, not signed."""
    band: int = 1
    scale: float = 1.0
    offset: float | None = None
    """None where the scene or its baseline decides."""


class Scene(Config):
    """One satellite image of one tile.

    Scenes of one `observation` were taken in one overpass of one satellite, so that they count once where they overlap.
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
    baseline: Baseline | None = None
    offset: int | None = None
    """Subtracted from the values of rasters that have no offset of their own; None where the baseline decides."""


def find_band(wanted: str, named: dict[str, str], found: Iterable[str]) -> str | None:
    """The name of a band in a source; None where the source has none of its names.

    Args:
        wanted: the cube's name of it.
        named: names given by the configuration.
        found: names that the source has.
    """
    there = set(found)
    for name in (named[wanted],) if wanted in named else (wanted, wanted.upper(), BAND_IDS.get(wanted)):
        if name in there:
            return name
    return None


def needed(source: Sentinel2) -> list[str]:
    """Names of the bands that every scene must have, with the scene classification where clouds are masked."""
    return [*source.bands, *([SCL] if source.mask is not None else [])]


def choose(source: Sentinel2, found: list[Scene], area: Geometry, report: Report) -> dict[str, list[Scene]]:
    """The scenes of each composite, in an order that does not depend on how they were found.

    Of two versions of one scene that of the later processing baseline is taken.

    Args:
        source: dates and cloud cover.
        found: scenes with the bands needed.
        area: where the cube lies, EPSG:3035.
        report: lists replaced versions and doubtful offsets.

    Raises:
        InputError: a composite would have no scene, or it is unknown whether a scene's values carry an offset.
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
        chosen[name] = [_with_offset(scene, source, report) for scene in _latest(dated, report)]
        used |= {scene.name for scene in chosen[name]}
    report.facts |= {"in_area": len(near), "little_cloud": len(clear), "used": len(used)}
    return chosen


def _latest(scenes: list[Scene], report: Report) -> list[Scene]:
    best: dict[tuple[str, str], str] = defaultdict(str)
    for scene in scenes:
        key = scene.observation, scene.tile
        best[key] = max(best[key], scene.baseline or "")

    def is_latest(scene: Scene) -> bool:
        return (scene.baseline or "") == best[scene.observation, scene.tile]

    report.note("replaced_by_a_later_baseline", [scene.name for scene in scenes if not is_latest(scene)])
    return sorted(filter(is_latest, scenes), key=lambda scene: (scene.observation, scene.name))


def _with_offset(scene: Scene, source: Sentinel2, report: Report) -> Scene:
    """The scene with what is to be subtracted from its values."""
    if source.offset == "removed":
        rasters = {band: raster.model_copy(update={"offset": None}) for band, raster in scene.rasters.items()}
        return scene.model_copy(update={"offset": 0, "rasters": rasters})
    by_baseline = OFFSET if (scene.baseline or "") >= _OFFSET_SINCE else 0
    own = [scene.rasters[band].offset for band in source.bands if band in scene.rasters]
    stated = {each for each in (*own, scene.offset or None) if each is not None}
    if scene.baseline is not None and stated - {by_baseline}:
        shown = ", ".join(f"{each:g}" for each in sorted(stated))
        report.note("offset_unlike_the_baseline", [f"{scene.name} ({shown}, baseline {scene.baseline})"])
    if scene.offset is not None or (own and None not in own):
        return scene
    if scene.baseline is None:
        if date.fromisoformat(scene.date) >= _OFFSET_BEGAN:
            raise InputError(
                f"{scene.name}: is of {scene.date} and states no processing baseline, so its values may carry "
                f"{OFFSET}; give scenes.baseline, or offset: removed"
            )
        report.note("no_baseline", [scene.name])
    return scene.model_copy(update={"offset": by_baseline})


_LISTS = TypeAdapter(dict[str, list[Scene]])


def write_scenes(path: UPath, chosen: dict[str, list[Scene]]) -> None:
    """Write which scenes a cube is made from."""
    with replacing(path) as draft:
        draft.write_bytes(_LISTS.dump_json(chosen, indent=1))


def read_scenes(path: UPath) -> dict[str, list[Scene]]:
    """Read what `write_scenes` wrote."""
    return _LISTS.validate_json(path.read_bytes())


def day_of(text: str) -> str | None:
    """The day of `20210715...`, `2021-07-15...`; None where that is no day."""
    digits = text.replace("-", "")[:8]
    try:
        return str(date(int(digits[:4]), int(digits[4:6]), int(digits[6:8])))
    except ValueError:
        return None
