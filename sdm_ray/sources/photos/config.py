"""Sources of photos and patches."""

from typing import Literal

from pydantic import Field

from sdm_ray.input_paths import FetchedPath, InputPath
from sdm_ray.sources.entry import PointSource


class EuroSat(PointSource):
    """EuroSAT patches with the coordinates of their centres: satellite scale."""

    module = "photos.eurosat"
    source: Literal["eurosat"]
    table: FetchedPath
    """CSV or Parquet with `file, lon, lat`."""
    images: FetchedPath
    """Zip of the JPEG files."""
    citation: str = "EuroSAT (Helber et al. 2019), MIT; contains modified Copernicus Sentinel data"

    def tables(self) -> dict[str, str]:
        """The table and the zip."""
        return {"table": self.table, "images": self.images}


class PlantNet(PointSource):
    """Pl@ntNet photos with GBIF Darwin Core and multimedia rows: plant scale."""

    module = "photos.plantnet"
    source: Literal["plantnet"]
    table: FetchedPath
    """GBIF occurrences joined to multimedia: `gbifID, decimalLatitude, decimalLongitude, eventDate, ...`."""
    folder: InputPath
    """Folder of `{gbifID}.jpeg`."""
    citation: str = "Pl@ntNet via GBIF, CC BY-SA 4.0"

    def not_shaping(self) -> set[str]:
        """Also the folder of the photos."""
        return super().not_shaping() | {"folder"}


class Lucas(PointSource):
    """LUCAS field photos, of the harmonised table or of a table of positions: landscape scale."""

    module = "photos.lucas"
    source: Literal["lucas"]
    table: FetchedPath
    """`lucas_harmo_uf.csv`: `point_id, year, nuts0, gps_lat, gps_long, gps_ew, ...`; or a table `id, lat, lon`."""
    folder: InputPath
    """Folder of `{year}/{nuts0}/{id[:3]}/{id[3:6]}/{id}{view}.jpg`, or `2022{id}LCLU_{View}.jpg` since 2022."""
    photos: FetchedPath | None = None
    """List `lucas_id, url` of the photos to use; by default those that the harmonised table marks as taken or, with a
    table of positions, those found in the folder, which takes long for a large folder."""
    mirrored: Literal["repair", "drop"] = "repair"
    """How rows are treated whose longitude fits the grid only with the opposite sign."""
    views: str = Field(default="NESW", pattern="^[NESWPC]+$")
    """Letters of the views to use: north, east, south, west, point, cover."""
    max_shift_m: float = Field(default=2000, gt=0)
    """Largest distance of a photo's position from the grid point that its `point_id` names."""
    citation: str = "LUCAS harmonised (d'Andrimont et al. 2020), CC BY 4.0; photos (c) European Union"

    def tables(self) -> dict[str, str]:
        """The table and the list; photos are identified by the ids of their points."""
        return {"table": self.table, **({} if self.photos is None else {"photos": self.photos})}

    def not_shaping(self) -> set[str]:
        """Also the folder of the photos."""
        return super().not_shaping() | {"folder"}
