"""Sources of covariates and land."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from sdm_ray.config import Config
from sdm_ray.geo.grid import EU_EXTENT
from sdm_ray.input_paths import FetchedPath, resolved
from sdm_ray.sources.entry import Box, FileSource
from sdm_ray.sources.layers.embeddings_config import EmbeddingTiles
from sdm_ray.sources.layers.gdal_names import expanded, file_of, stem

Resampling = Literal["nearest", "bilinear", "average", "mode"]


class RasterFile(Config):
    """A raster, and how to read it where the file does not say so itself or says it wrongly."""

    file: str
    """Path, URL, pattern such as `climate/*.tif`, or any name that GDAL opens, such as `NETCDF:file.nc:variable` or
    `/vsizip/world.zip/bio1.tif`."""
    names: list[str] | str | None = None
    """Names of the bands, or a pattern of them: `{file}` is the file's name, `{band}` the band's number and
    `{variable}` its description or NetCDF variable. By default descriptions, of a single band also variable or file."""
    nodata: float | None = None
    """The value of pixels without data; other values that often mean this are then taken as they are."""
    crs: str | None = None
    """Projection, such as `EPSG:4326`."""
    scale: float | None = None
    """A stored value times `scale` plus `offset` is the value."""
    offset: float | None = None
    resampling: Resampling | None = None
    """For another projection or grid; by default that of the source, of classes `average`."""
    categorical: bool | None = None
    """Whether values are codes of classes: each class becomes a covariate `name=code`, its share of a cell (with
    `nearest` or `mode` 0 or 1). By default bands with a colour table are."""

    @field_validator("file")
    @classmethod
    def _resolve(cls, name: str) -> str:
        return name.replace(file_of(name), resolved(file_of(name)))

    @model_validator(mode="after")
    def _classes_are_not_interpolated(self) -> "RasterFile":
        if self.categorical and self.resampling == "bilinear":
            raise ValueError("resampling: classes cannot be interpolated; expected average, nearest or mode")
        if self.categorical and (self.scale is not None or self.offset is not None):
            raise ValueError("scale, offset: codes of classes have none")
        return self


class RasterFiles(FileSource):
    """Files of rasters, and what is taken of them."""

    rasters: list[str | RasterFile] = Field(min_length=1)
    """Names of files or patterns, or mappings of `file` and how to read it."""
    resolution_m: float | None = Field(default=None, gt=0)
    """Side of a cell; by default that of the finest raster in EPSG:3035 metres."""
    bounds: Box | None = None
    """West, south, east, north, EPSG:3035 metres; by default what the rasters cover of the EU grid's extent."""

    @field_validator("rasters")
    @classmethod
    def _names_are_files(cls, rasters: list[str | RasterFile]) -> list[str | RasterFile]:
        return [RasterFile(file=each) if isinstance(each, str) else each for each in rasters]

    def expanded(self) -> list[RasterFile]:
        """Every raster by itself: patterns become the files that they match."""
        given = [RasterFile(file=each) if isinstance(each, str) else each for each in self.rasters]
        return [each.model_copy(update={"file": name}) for each in given for name in expanded(each.file)]

    def files(self) -> dict[str, str]:
        """The rasters' files, `rasters.0`, `rasters.1`, ..."""
        return {f"rasters.{number}": file_of(each.file) for number, each in enumerate(self.expanded())}

    def shaping(self) -> dict[str, Any]:
        """Also what is read of each file and how; where the file lies does not matter."""
        rasters = []
        for each in self.expanded():
            inside = each.file.replace(file_of(each.file), "")
            rasters.append({**each.model_dump(mode="json"), "file": [stem(each.file), inside]})
        return {**super().shaping(), "rasters": rasters}


class Rasters(RasterFiles):
    """Covariate rasters that GDAL reads and precomputed embeddings, brought onto one grid in EPSG:3035."""

    module = "layers.rasters"
    source: Literal["rasters"]
    rasters: list[str | RasterFile] = Field(default=[])
    """Names of files or patterns, or mappings of `file` and how to read it."""
    embeddings: list[EmbeddingTiles] = Field(default=[])
    """Tiles of precomputed embeddings, whose components are covariates as well."""
    names: list[str] | None = None
    """Names of all bands of all files in order; by default those of each file."""
    keep: list[str] | None = None
    """Names of the bands to take; by default all."""
    resampling: Resampling = "bilinear"
    """For rasters of another projection or grid."""
    effective_resolution_m: float | None = Field(default=None, gt=0)
    """The finest detail that the values carry; by default the pixel of the coarsest raster."""
    max_unknown: float = Field(default=0.5, ge=0, le=1)
    """Share of the surveys of the same `prepare` at which a covariate may be unknown; above it the job fails."""

    @model_validator(mode="after")
    def _something_to_read(self) -> "Rasters":
        if not self.rasters and not self.embeddings:
            raise ValueError("rasters, embeddings: both are empty; expected files")
        return self

    @model_validator(mode="after")
    def _one_version_and_year(self) -> "Rasters":
        found: dict[str, tuple[str | None, int | None]] = {}
        for each in self.embeddings:
            years = each.years() | ({each.year} if each.year is not None else set())
            if len(years) > 1:
                said = " and ".join(map(str, sorted(years)))
                raise ValueError(f"embeddings: {each.name} of {said}; expected one year, they are never mixed")
            this = each.version, next(iter(years), None)
            if found.setdefault(each.name, this) != this:
                first, second = (f"{version or 'v1'} of {year}" for version, year in (found[each.name], this))
                raise ValueError(f"embeddings: {each.name} {first} and {second}; expected one version and one year")
        return self

    def files(self) -> dict[str, str]:
        """Also the tiles of embeddings, `embeddings.0.0`, ..."""
        tiles = [(f"{i}.{k}", place) for i, each in enumerate(self.embeddings) for k, place in enumerate(each.places())]
        return {**super().files(), **{f"embeddings.{number}": place for number, place in tiles}}

    def not_shaping(self) -> set[str]:
        """Also the share of surveys without covariates, and where embeddings lie."""
        return super().not_shaping() | {"max_unknown", "embeddings"}

    def shaping(self) -> dict[str, Any]:
        """Also what is read of embeddings."""
        found = [each.shaping() for each in self.embeddings]
        return {**super().shaping(), **({"embeddings": found} if found else {})}

    def cite(self) -> str:
        """The citation, and those of the embeddings."""
        return "; ".join(dict.fromkeys(each for each in (self.citation, *(e.cite() for e in self.embeddings)) if each))


class RasterLand(RasterFiles):
    """Land is where rasters of one's own have a value: no polygons are needed."""

    module = "layers.raster_land"
    source: Literal["rasters"]
    name: str = "study area"
    """What the region is called where tables have a row for each country."""


class NaturalEarth(FileSource):
    """Land and countries from polygons in longitude and latitude."""

    module = "layers.naturalearth"
    source: Literal["naturalearth"]
    land: FetchedPath
    """Land polygons: shapefile, zip of one, GeoPackage or GeoJSON."""
    countries: FetchedPath
    """Country polygons, which may be coarser."""
    name_field: str = "ADMIN"
    """Attribute of the country polygons that holds the name."""
    borders: FetchedPath | None = None
    """Finer country polygons, such as the NUTS regions of Eurostat. They take the names of `countries` where both agree
    on a country, and countries that they lack come from `countries`."""
    borders_field: str = "NAME_LATN"
    """Attribute of the finer polygons that holds the name."""
    borders_where: str | None = None
    """Which of the finer polygons to take, as in SQL: `LEVL_CODE = 0` for the countries among NUTS regions."""
    bounds: Box = EU_EXTENT
    """West, south, east, north, EPSG:3035 metres."""
    resolution_m: float = Field(default=1000, gt=0)
    reach_m: float = Field(default=50_000, ge=0)
    """Land that the country polygons miss belongs to the nearest country within this distance."""
    citation: str = "Natural Earth, public domain"

    def files(self) -> dict[str, str]:
        """The polygon files."""
        finer = {} if self.borders is None else {"borders": self.borders}
        return {"land": self.land, "countries": self.countries, **finer}
