"""Sources of covariates and land."""

from typing import Literal

from pydantic import Field

from sdm_ray.geo.grid import EU_EXTENT
from sdm_ray.sources.entry import Box, FileSource


class Rasters(FileSource):
    """Covariate rasters that GDAL reads, brought onto one grid in EPSG:3035."""

    module = "layers.rasters"
    source: Literal["rasters"]
    rasters: list[str] = Field(min_length=1)
    names: list[str] | None = None
    """Names of all bands of all files in order; by default the bands' descriptions."""
    keep: list[str] | None = None
    """Names of the bands to take; by default all."""
    resolution_m: float | None = Field(default=None, gt=0)
    """Side of a cell; by default that of the finest raster in EPSG:3035 metres."""
    bounds: Box | None = None
    """West, south, east, north, EPSG:3035 metres; by default what the rasters cover."""
    resampling: Literal["nearest", "bilinear", "average"] = "bilinear"
    """For rasters of another projection or grid."""
    effective_resolution_m: float | None = Field(default=None, gt=0)
    """The finest detail that the values carry; by default the pixel of the coarsest raster."""

    def files(self) -> dict[str, str]:
        """The rasters, `rasters.0`, `rasters.1`, ..."""
        return {f"rasters.{number}": file for number, file in enumerate(self.rasters)}


class NaturalEarth(FileSource):
    """Land and countries from polygons in longitude and latitude."""

    module = "layers.naturalearth"
    source: Literal["naturalearth"]
    land: str
    """Land polygons: shapefile, zip of one, GeoPackage or GeoJSON."""
    countries: str
    """Country polygons, which may be coarser."""
    name_field: str = "ADMIN"
    """Attribute of the country polygons that holds the name."""
    bounds: Box = EU_EXTENT
    """West, south, east, north, EPSG:3035 metres."""
    resolution_m: float = Field(default=1000, gt=0)
    reach_m: float = Field(default=50_000, ge=0)
    """Land that the country polygons miss belongs to the nearest country within this distance."""
    citation: str = "Natural Earth, public domain"

    def files(self) -> dict[str, str]:
        """Both polygon files."""
        return {"land": self.land, "countries": self.countries}
