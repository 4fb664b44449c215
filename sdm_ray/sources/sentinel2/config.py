"""Sources of satellite scenes for the tile cube."""

import re
from datetime import date, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from sdm_ray.config import Config
from sdm_ray.input_paths import InputPath
from sdm_ray.sources.entry import Box, Source
from sdm_ray.sources.sentinel2.baseline import Baseline

Month = Annotated[int, Field(ge=1, le=12)]


class SceneFiles(Config):
    """Scenes in folders: GeoTIFF or COG files, one or several to a scene, and L2A products (SAFE), zipped or not."""

    kind: Literal["files"]
    folders: list[InputPath] = Field(min_length=1)
    """Folders or URLs; everything below them is searched."""
    pattern: str = r"(?P<scene>.*?(?P<date>\d{8}).*?)(_(?P<band>B\d[0-9A]|SCL)(_\d\dm)?)?$"
    """Regular expression that is searched in a file's name without its ending. Groups: `date` (20210715 or 2021-07-15)
    or `year`, `month` and perhaps `day`; `band` where a file holds one band; `scene` for the name that files of one
    scene share, else what is left without `band`. SAFE products need none."""
    bands: list[str] | None = None
    """Names of the bands of a file that holds several; by default their descriptions."""
    baseline: Baseline | None = None
    """Processing baseline (`05.10`) of files that state none, in their name (`..._N0510_...`) or in their tags."""

    @field_validator("pattern")
    @classmethod
    def _has_a_date(cls, pattern: str) -> str:
        try:
            groups = set(re.compile(pattern).groupindex)
        except re.error as error:
            raise ValueError(f"is no regular expression ({error})") from None
        if "date" not in groups and not {"year", "month"} <= groups:
            raise ValueError("has no group named date, nor year and month")
        return pattern


class Stac(Config):
    """Scenes of a STAC API, or of a static STAC catalogue."""

    kind: Literal["stac"]
    url: InputPath
    """Landing page of an API, or `catalog.json` of a static catalogue, at any path or URL."""
    collections: list[str] = Field(default=["sentinel-2-l2a"], min_length=1)
    assets: dict[str, str] = Field(default_factory=dict)
    """Band -> key of its asset; by default the band's own name, or Sentinel-2's (`B04`, `SCL`)."""
    sign: str | None = None
    """Address that answers with a token (`{"token": ...}`) to be appended to the assets' addresses."""
    baseline: Baseline | None = None
    """Processing baseline (`05.10`) of items that state none."""
    page: int = Field(default=100, ge=1, le=10_000)
    """Items that an API is asked for at a time."""
    timeout_s: float = Field(default=60, gt=0)


class Sentinel2(Source):
    """Seasonal composites of Sentinel-2 L2A scenes on the EU grid."""

    module = "sentinel2.cube"
    source: Literal["sentinel2"]
    scenes: Annotated[SceneFiles | Stac, Field(discriminator="kind")]
    years: list[int] = Field(min_length=1)
    seasons: dict[str, tuple[Month, Month]] = Field(default={"summer": (6, 8)}, min_length=1)
    """Name -> first and last month. One that crosses the new year is named after the year that it begins in."""
    bands: list[str] = Field(default=["blue", "green", "red", "nir"], min_length=1)
    bounds: Box | None = None
    """West, south, east, north, EPSG:3035 metres."""
    area: InputPath | None = None
    """Instead of `bounds`: a file of polygons; Zarr shards that touch none stay empty."""
    resolution_m: float = Field(default=10, gt=0)
    max_cloud: float = Field(default=60, ge=0, le=100)
    """Largest cloud cover of a scene, percent; scenes that state none are taken."""
    mask: list[int] | None = Field(default=[0, 1, 3, 8, 9, 10])
    """Classes of the scene classification (SCL) that are not used: no data, saturated, cloud shadow, clouds, cirrus;
    11 is snow. null where scenes have no SCL."""
    offset: Literal["stated", "removed"] = "stated"
    """Whether 1000 is subtracted from values of baseline 04.00 and later: as the scenes state, or never, since it was
    removed before, whatever they state."""
    resampling: Literal["nearest", "bilinear"] = "bilinear"
    composite: Literal["median", "medoid"] = "median"
    """Of the clear observations of a pixel: the median of each band, or the one observation nearest to it."""
    chunk: int = Field(default=256, ge=16)
    """Side of a chunk, the unit that is decoded, pixels."""
    shard: int = Field(default=2048, ge=16)
    """Side of a Zarr shard, which one task makes and writes, pixels."""
    citation: str = "contains modified Copernicus Sentinel data"
    max_dropped: float = Field(default=0.05, ge=0, le=1)
    """Share of the scenes that may fail; above it the job fails."""
    retries: int = Field(default=3, ge=0)
    """How often what cannot be read is tried again: after `backoff_s`, then twice that, and so on."""
    backoff_s: float = Field(default=1, ge=0)
    gdal: dict[str, str | int] = Field(default_factory=dict)
    """Settings of GDAL, such as `AWS_NO_SIGN_REQUEST: YES` for public buckets."""

    @model_validator(mode="after")
    def _consistent(self) -> "Sentinel2":
        if (self.bounds is None) == (self.area is None):
            raise ValueError("expected either bounds or area")
        if self.shard % self.chunk:
            raise ValueError(f"shard: {self.shard} is no multiple of chunk {self.chunk}")
        for names, key in ((self.bands, "bands"), (self.years, "years")):
            if len(set(names)) < len(names):
                raise ValueError(f"{key}: names one twice")
        return self

    def files(self) -> dict[str, str]:
        """Folders of scenes and the file of polygons."""
        folders = self.scenes.folders if isinstance(self.scenes, SceneFiles) else []
        found = {f"scenes.folders.{number}": folder for number, folder in enumerate(folders)}
        return found | ({"area": self.area} if self.area else {})

    def shaping(self) -> dict[str, Any]:
        """The values that decide what is made: not where files lie, nor how often reading is tried again."""
        scenes = {"folders", "sign", "page", "timeout_s"}
        others = {"max_dropped": True, "retries": True, "backoff_s": True, "gdal": True, "area": True}
        return self.model_dump(mode="json", exclude={**others, "scenes": scenes})

    def cite(self) -> str:
        """The citation."""
        return self.citation

    def periods(self) -> dict[str, tuple[date, date]]:
        """Name of each composite (`2021-summer`) -> its first and last day."""
        found = {}
        for year in self.years:
            for name, (first, last) in self.seasons.items():
                after = year + (last < first) + last // 12, last % 12 + 1
                found[f"{year}-{name}"] = date(year, first, 1), date(*after, 1) - timedelta(days=1)
        return found
