"""The sources that `prepare` knows and what each needs to be told. Light: nothing heavy is imported here."""

from typing import Literal

from pydantic import Field, model_validator

from sdm_ray.config import Config
from sdm_ray.geo.checks import EUROPE
from sdm_ray.geo.grid import EU_EXTENT

Box = tuple[float, float, float, float]
"""West, south, east, north."""


class Download(Config):
    """Where a file can be had when it is not there."""

    url: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Source(Config):
    """One entry of `prepare`."""

    def files(self) -> dict[str, str]:
        """Key -> path or URL of each file that is read; their content decides whether an artefact is kept."""
        return {}

    def not_shaping(self) -> set[str]:
        """Keys that do not change what is made: where files lie, and how much loss is borne."""
        return set()

    def cite(self) -> str:
        """The source and its licence, for the artefact's record."""
        return ""


class FileSource(Source):
    """A source that lies in files."""

    citation: str = ""
    """Source and licence, written into the artefact."""
    max_dropped: float = Field(default=0.05, ge=0, le=1)
    """Share of the rows or images that may be unusable; above it the job fails."""
    download: dict[str, Download] = Field(default_factory=dict)
    """Key of a file of this source -> where it is fetched from when it is not there."""

    @model_validator(mode="after")
    def _download_known_files(self) -> "FileSource":
        for key in self.download:
            if key not in self.files():
                raise ValueError(f"download.{key}: is none of the files {', '.join(self.files())}")
        return self

    def not_shaping(self) -> set[str]:
        """The files' keys, `download` and `max_dropped`."""
        return {key.partition(".")[0] for key in self.files()} | {"download", "max_dropped"}

    def cite(self) -> str:
        """The citation."""
        return self.citation


class Virtual(Source):
    """The virtual landscape described under `virtual`."""

    source: Literal["virtual"]

    def cite(self) -> str:
        """That it is made, not observed."""
        return "virtual landscape of sdm-ray (made, not observed)"


class VirtualSurveys(Virtual):
    """Visits to the virtual landscape at random places, most where it is easily reached."""

    surveys: int = Field(default=900, ge=1)


class VirtualPhotos(Virtual):
    """Drawn photos of the virtual landscape."""

    scale: Literal["plant", "landscape"]
    photos: int = Field(default=1500, ge=1)
    size: int = Field(default=64, ge=16)
    """Side, pixels."""


class VirtualConfig(Config):
    """A virtual landscape on a piece of the EU grid."""

    west: float = 4_224_000
    """Western edge, EPSG:3035 metres, a multiple of `resolution_m`."""
    south: float = 2_880_000
    cells: int = Field(default=96, ge=16)
    """Side of the landscape, cells of the map."""
    resolution_m: float = Field(default=1000, gt=0)
    """Side of a cell of the map, metres."""
    pixel_m: float = Field(default=50, gt=0)
    """Side of a pixel of the cube, metres; a whole number of them makes a cell."""
    covariate_cells: int = Field(default=5, ge=1)
    """Side of a cell of the covariates, cells of the map."""
    species: int = Field(default=12, ge=1)
    landcover_share: float = Field(default=0.5, ge=0, le=1)
    """Mean share of the variance of the species' logits that land cover carries; climate carries the rest."""

    @model_validator(mode="after")
    def _whole_cells(self) -> "VirtualConfig":
        for key, value, unit in (
            ("west", self.west, self.resolution_m),
            ("south", self.south, self.resolution_m),
            ("resolution_m", self.resolution_m, self.pixel_m),
        ):
            if value % unit:
                raise ValueError(f"{key}: {value:g} is no multiple of {unit:g}")
        return self


class EuForest(FileSource):
    """EU-Forest: one 1-km cell of the inventory is one survey."""

    source: Literal["euforest"]
    table: str
    """Parquet or CSV with `x, y` (cell centre, EPSG:3035), `country`, `species` (or the publisher's `SPECIES NAME`)."""
    min_records: int = Field(default=200, ge=1)
    """Cells that a species must be recorded in."""
    citation: str = "EU-Forest (Mauri, Strona & San-Miguel-Ayanz 2017, Sci Data 4:160123), CC BY 4.0"

    def files(self) -> dict[str, str]:
        """The table."""
        return {"table": self.table}


class TableColumns(Config):
    """Names of the columns of a table of occurrences."""

    lon: str = "lon"
    lat: str = "lat"
    species: str = "species"
    survey: str | None = None
    """Column that rows of one survey share; without it the rows of one place (and year) are one survey."""
    year: str | None = None
    uncertainty_m: str | None = None
    country: str | None = None
    gbif_key: str | None = None


class Tables(FileSource):
    """Any table of occurrences: CSV or Parquet with named columns."""

    source: Literal["tables"]
    table: str
    columns: TableColumns = TableColumns()
    probability_kind: Literal["occurrence", "recorded", "relative"]
    """What a model of these surveys gives the probability of."""
    min_records: int = Field(default=1, ge=1)
    max_uncertainty_m: float | None = Field(default=None, gt=0)
    region: Box = EUROPE
    """West, south, east, north, degrees; what lies outside is dropped."""

    def files(self) -> dict[str, str]:
        """The table."""
        return {"table": self.table}


class Glc24(FileSource):
    """GeoLifeCLEF 2024, presence-absence: one row per survey and species."""

    source: Literal["glc24"]
    table: str
    """`GLC24_PA_metadata_train.csv`."""
    min_records: int = Field(default=1, ge=1)
    max_uncertainty_m: float | None = Field(default=None, gt=0)
    region: Box = EUROPE
    citation: str = "GeoLifeCLEF 2024 / GeoPlant (Picek et al. 2024), presence-absence surveys"

    def files(self) -> dict[str, str]:
        """The table."""
        return {"table": self.table}


class EuroSat(FileSource):
    """EuroSAT patches with the coordinates of their centres: satellite scale."""

    source: Literal["eurosat"]
    table: str
    """CSV or Parquet with `file, lon, lat`."""
    images: str
    """Zip of the JPEG files."""
    region: Box = EUROPE
    citation: str = "EuroSAT (Helber et al. 2019), MIT; contains modified Copernicus Sentinel data"

    def files(self) -> dict[str, str]:
        """The table and the zip."""
        return {"table": self.table, "images": self.images}


class Glc24Patches(FileSource):
    """RGB patches of GeoLifeCLEF 2024 surveys: satellite scale."""

    source: Literal["glc24"]
    table: str
    folder: str
    """Folder of the patches, `CD/AB/{surveyId}.jpeg` for an id that ends in `ABCD`."""
    region: Box = EUROPE
    citation: str = "GeoLifeCLEF 2024 / GeoPlant (Picek et al. 2024); contains modified Copernicus Sentinel data"

    def files(self) -> dict[str, str]:
        """The table; the patches are known by their survey ids."""
        return {"table": self.table}

    def not_shaping(self) -> set[str]:
        """Also where the patches lie."""
        return super().not_shaping() | {"folder"}


class PlantNet(FileSource):
    """Pl@ntNet photos with GBIF Darwin Core and multimedia rows: plant scale."""

    source: Literal["plantnet"]
    table: str
    """GBIF occurrences joined to multimedia: `gbifID, decimalLatitude, decimalLongitude, eventDate, ...`."""
    folder: str
    """Folder of `{gbifID}.jpeg`."""
    max_uncertainty_m: float | None = Field(default=None, gt=0)
    """Largest stated uncertainty; photos that state none are kept."""
    region: Box = EUROPE
    citation: str = "Pl@ntNet via GBIF, CC BY-SA 4.0"

    def files(self) -> dict[str, str]:
        """The table; the photos are known by their GBIF ids."""
        return {"table": self.table}

    def not_shaping(self) -> set[str]:
        """Also where the photos lie."""
        return super().not_shaping() | {"folder"}


class Lucas(FileSource):
    """LUCAS field photos of the harmonised table: landscape scale."""

    source: Literal["lucas"]
    table: str
    """`lucas_harmo_uf.csv`: `point_id, year, nuts0, gps_lat, gps_long, gps_ew, th_lat, th_long, ...`."""
    folder: str
    """Folder of `{year}/{nuts0}/{id[:3]}/{id[3:6]}/{id}{view}.jpg`."""
    views: str = Field(default="NESW", pattern="^[NESWPC]+$")
    """Letters of the views taken: north, east, south, west, point, cover."""
    max_shift_m: float = Field(default=2000, gt=0)
    """Largest distance of a photo's position from the grid point that its `point_id` names."""
    region: Box = EUROPE
    citation: str = "LUCAS harmonised (d'Andrimont et al. 2020), CC BY 4.0; photos (c) European Union"

    def files(self) -> dict[str, str]:
        """The table; the photos are known by their point ids."""
        return {"table": self.table}

    def not_shaping(self) -> set[str]:
        """Also where the photos lie."""
        return super().not_shaping() | {"folder"}


class Rasters(FileSource):
    """Covariate rasters that GDAL reads, brought onto one grid in EPSG:3035."""

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
