"""The GeoLifeCLEF challenges and GeoPlant: one family of tables, patches and time series."""

import re
from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field, model_validator

from sdm_ray.input_paths import FetchedPath, InputPath
from sdm_ray.sources.entry import PointSource, SurveySource

Edition = Literal["glc23", "glc24", "glc25", "geoplant"]
Records = Literal["PA", "PO"]
_CITATIONS: dict[Edition, str] = {
    "glc23": "GeoLifeCLEF 2023 (Botella et al. 2023)",
    "glc24": "GeoLifeCLEF 2024 (GeoPlant, Picek et al. 2024)",
    "glc25": "GeoLifeCLEF 2025 (GeoPlant, Picek et al. 2024)",
    "geoplant": "GeoPlant (Picek et al. 2024)",
}
_NAMES: dict[Records, str] = {"PA": r"(^|[_-])pa[_-]|presences?_absences?", "PO": r"(^|[_-])p[o0][_-]|presences?_only"}


class Challenge(PointSource):
    """What the editions share: a table of occurrences, and files known by its ids."""

    module = "geolifeclef.tables"
    source: Edition
    table: FetchedPath
    """The publisher's table, such as `GLC24_PA_metadata_train.csv` or `PO_metadata_train.csv`."""
    records: Records | None = None
    """`PA`: presence-absence surveys; `PO`: presence-only. By default taken from the table's name."""

    @model_validator(mode="after")
    def _records_are_known(self) -> "Challenge":
        said = [kind for kind, name in _NAMES.items() if re.search(name, PurePosixPath(self.table).name, re.I)]
        if self.records is None and len(said) != 1:
            raise ValueError(f"{self.table}: its name holds neither PA nor PO; expected records: PA or PO")
        if self.records is not None and said and self.records not in said:
            raise ValueError(f"{self.table}: is a {said[0]} table by its name, not records: {self.records}")
        return self

    @property
    def kind(self) -> Records:
        """`PA` or `PO`."""
        by_name: Records = "PO" if re.search(_NAMES["PO"], PurePosixPath(self.table).name, re.I) else "PA"
        return self.records or by_name

    def cite(self) -> str:
        """The edition."""
        return self.citation or _CITATIONS[self.source]


class ChallengeSurveys(Challenge, SurveySource):
    """Surveys with all their species, which the challenge calls by numbers."""

    min_records: int = Field(default=1, ge=1)
    """Surveys that a species must be in."""


class ChallengePatches(Challenge):
    """Sentinel-2 patches of the surveys: satellite scale."""

    folder: InputPath
    """Folder of the patches `CD/AB/{id}.jpeg` for an id that ends in `ABCD`, or any folder above."""
    format: Literal["jpeg", "tiff"] | None = None
    """JPEG of 8 bits, or TIFF of reflectance; by default TIFF for glc25 and JPEG for the others."""
    bands: Literal["rgb", "nir", "rgbnir"] | None = None
    """By default all four of a TIFF, and `rgb` of JPEG. `rgbnir` needs both trees of JPEG files."""

    @model_validator(mode="after")
    def _format_exists(self) -> "ChallengePatches":
        known = {"glc23": ("jpeg",), "glc24": ("jpeg",), "glc25": ("tiff",), "geoplant": ("jpeg", "tiff")}[self.source]
        if self.format is not None and self.format not in known:
            raise ValueError(f"format: {self.source} has no {self.format} patches; expected {known[0]}")
        return self

    @property
    def tiff(self) -> bool:
        """Whether the patches are TIFF."""
        return (self.format or ("tiff" if self.source == "glc25" else "jpeg")) == "tiff"

    def wanted(self) -> str:
        """The bands to take."""
        return self.bands or ("rgbnir" if self.tiff else "rgb")

    def not_shaping(self) -> set[str]:
        """Also the folder of the patches."""
        return super().not_shaping() | {"folder"}

    def cite(self) -> str:
        """The edition and Copernicus."""
        return self.citation or f"{super().cite()}; contains modified Copernicus Sentinel data"


class ChallengeSeries(Challenge):
    """Time series of the surveys: Landsat by quarter and climate by month."""

    folder: InputPath | list[InputPath]
    """Folder of the publisher's cubes or tables, or any folder above; or one for each series, where a folder above
    holds those of other surveys too."""
    series: list[Literal["landsat", "bioclim"]] | None = Field(default=None, min_length=1)
    """By default both; the edition of 2023 has no `bioclim`."""
    form: Literal["cubes", "values"] | None = None
    """`cubes`: one `.pt` per survey; `values`: CSV tables. By default tables for glc23 and cubes for the others."""

    @model_validator(mode="after")
    def _series_exist(self) -> "ChallengeSeries":
        if self.source == "glc23" and "bioclim" in (self.series or []):
            raise ValueError("series: glc23 has no bioclim; expected landsat")
        if self.source == "glc23" and self.form == "cubes":
            raise ValueError("form: glc23 has no cubes; expected values")
        return self

    @property
    def folders(self) -> list[str]:
        """The folders that the series are looked for in."""
        return [self.folder] if isinstance(self.folder, str) else self.folder

    def wanted(self) -> list[str]:
        """The series to take."""
        return sorted(set(self.series or (["landsat"] if self.source == "glc23" else ["landsat", "bioclim"])))

    @property
    def cubes(self) -> bool:
        """Whether they are cubes."""
        return (self.form or ("values" if self.source == "glc23" else "cubes")) == "cubes"

    def not_shaping(self) -> set[str]:
        """Also the folder of the series."""
        return super().not_shaping() | {"folder"}
