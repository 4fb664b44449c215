"""Sources of photos and patches."""

from typing import Literal

from pydantic import Field

from sdm_ray.geo.checks import EUROPE
from sdm_ray.sources.catalogue.base import Box, FileSource


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
