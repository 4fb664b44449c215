"""What every entry of `prepare` has."""

from typing import Any, ClassVar

from pydantic import Field, model_validator

from sdm_ray.config import Config
from sdm_ray.geo.checks import EUROPE
from sdm_ray.input_paths import FetchedPath, not_found
from sdm_ray.readers.config import EmbeddingTable

Box = tuple[float, float, float, float]
"""West, south, east, north."""


class Download(Config):
    """The address of a file that is downloaded where it is missing."""

    url: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Source(Config):
    """One entry of `prepare`."""

    module: ClassVar[str]
    """The module that reads it, below `sdm_ray.sources`; by name, so that it is not imported early."""

    def files(self) -> dict[str, str]:
        """Key -> path or URL of each file that is read; their content decides whether an artefact is kept."""
        return {}

    def not_shaping(self) -> set[str]:
        """Keys that do not change the artefact: places of files, and the share of rows that may be unusable."""
        return set()

    def shaping(self) -> dict[str, Any]:
        """The values that determine the artefact."""
        return self.model_dump(mode="json", exclude=self.not_shaping())

    def cite(self) -> str:
        """The source and its licence, for the artefact's record."""
        return ""


class FileSource(Source):
    """A source that is read from files."""

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

    @model_validator(mode="after")
    def _files_are_there(self) -> "FileSource":
        for key, path in self.files().items():
            problem = None if key in self.download else not_found(path)
            if problem is not None:
                raise ValueError(f"{key}: {path}: {problem}")
        return self

    def not_shaping(self) -> set[str]:
        """The files' keys, `download` and `max_dropped`."""
        return {key.partition(".")[0] for key in self.files()} | {"download", "max_dropped"}

    def cite(self) -> str:
        """The citation."""
        return self.citation


class PointSource(FileSource):
    """A source of points: surveys, occurrences, photos, patches."""

    region: Box = EUROPE
    """West, south, east, north, degrees: the extent of the points; a point outside is a mistake and is dropped."""
    within: FetchedPath | None = None
    """File of polygons (GeoPackage, GeoJSON, shapefile, or `.wkt` in degrees): points outside are not taken."""
    max_uncertainty_m: float | None = Field(default=None, gt=0)
    """Largest stated uncertainty of a point; points that state none are taken."""

    def files(self) -> dict[str, str]:
        """The table, what else is read, and the polygons."""
        return {**self.tables(), **({} if self.within is None else {"within": self.within})}

    def tables(self) -> dict[str, str]:
        """Key -> path or URL of the source's own files."""
        return {"table": self.table}  # type: ignore[attr-defined]


class SurveySource(PointSource):
    """A source of surveys, each of which may have precomputed embeddings."""

    embeddings: list[EmbeddingTable] = Field(default=[])
    """Tables with an embedding of each survey, by its id; the components become covariates of the surveys, for
    `survey_covariates` of `finetune`."""

    def files(self) -> dict[str, str]:
        """Also the tables of embeddings."""
        return {**super().files(), **{f"embeddings.{i}": each.table for i, each in enumerate(self.embeddings)}}

    def not_shaping(self) -> set[str]:
        """Also where the tables of embeddings lie."""
        return super().not_shaping() | {"embeddings"}

    def shaping(self) -> dict[str, Any]:
        """Also what is read of the tables of embeddings."""
        tables = [each.model_dump(mode="json", exclude={"table"}) for each in self.embeddings]
        return {**super().shaping(), **({"embeddings": tables} if tables else {})}
