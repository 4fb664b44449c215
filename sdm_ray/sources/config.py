"""What `prepare` builds: artefacts, each from a source of its own. Light: nothing heavy is imported here."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from sdm_ray.config import JobConfig
from sdm_ray.input_paths import InputPath
from sdm_ray.sources.entry import Source
from sdm_ray.sources.geolifeclef.config import ChallengePatches, ChallengeSeries, ChallengeSurveys
from sdm_ray.sources.layers.config import NaturalEarth, RasterLand, Rasters
from sdm_ray.sources.occurrences.config import DarwinCoreEvents, EuForest, Gbif, GbifCube, Tables
from sdm_ray.sources.photos.config import EuroSat, Lucas, PlantNet
from sdm_ray.sources.sentinel2.config import Sentinel2
from sdm_ray.sources.virtual.config import Virtual, VirtualConfig, VirtualPhotos, VirtualSurveys

CUBE, SHARDS, COVARIATES, LAND, PARCELS = "cube.zarr", "shards", "covariates.zarr", "land.zarr", "parcels.parquet"
SURVEYS, OCCURRENCES, TRUTH, SERIES = "surveys.parquet", "occurrences.parquet", "truth.zarr", "series.zarr"

AnyImages = Annotated[
    VirtualPhotos | EuroSat | ChallengePatches | PlantNet | Lucas,
    Field(discriminator="source"),
]
AnySurveys = Annotated[
    VirtualSurveys | EuForest | Tables | Gbif | GbifCube | DarwinCoreEvents | ChallengeSurveys,
    Field(discriminator="source"),
]
AnyCovariates = Annotated[Virtual | Rasters, Field(discriminator="source")]
AnyCube = Annotated[Virtual | Sentinel2, Field(discriminator="source")]
AnyLand = Annotated[Virtual | NaturalEarth | RasterLand, Field(discriminator="source")]


class PrepareConfig(JobConfig):
    """The job `prepare`: every artefact named here is built and sealed alone; one that is unchanged is kept."""

    virtual: VirtualConfig = VirtualConfig()
    """The landscape of every `source: virtual`."""
    surveys: list[AnySurveys] = Field(default_factory=list)
    """One source or several, of one kind of probability; all go into one artefact."""
    occurrences: list[AnySurveys] = Field(default_factory=list)
    """Presence-only sources, one or several; their species have the numbers of the surveys' species."""
    synonyms: InputPath | None = None
    """CSV or Parquet with `name, accepted` and perhaps `gbif_key`: names that the sources' names are replaced by."""
    land: AnyLand | None = None
    covariates: AnyCovariates | None = None
    truth: Virtual | None = None
    parcels: Virtual | None = None
    """Parcels of the virtual landscape's `management`."""
    cube: AnyCube | None = None
    shards: list[AnyImages] = Field(default_factory=list)
    """Sources of photos and patches; all go into one artefact."""
    images_per_shard: int = Field(default=2000, ge=1)

    series: list[ChallengeSeries] = Field(default_factory=list)
    """Sources of time series; all go into one artefact."""

    suffix: str = Field("", pattern=r"^[\w-]*$")
    """Ends the names of the artefacts, before their extension: cubes of two years can lie in one run folder."""

    @field_validator("surveys", "occurrences", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:  # noqa: ANN401 - any YAML value
        return [value] if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _synonyms_of_something(self) -> "PrepareConfig":
        if self.synonyms is not None and not (self.surveys or self.occurrences):
            raise ValueError("synonyms: there are neither surveys nor occurrences")
        return self

    @model_validator(mode="after")
    def _suffix_of_what_may_have_one(self) -> "PrepareConfig":
        if self.suffix and (self.surveys or self.occurrences):
            raise ValueError(
                "suffix: surveys and occurrences share one table of species in a run folder; expected none"
            )
        return self

    @model_validator(mode="after")
    def _something(self) -> "PrepareConfig":
        if not self.writes():
            raise ValueError(
                "names no artefact; expected surveys, occurrences, land, covariates, truth, cube, shards or series"
            )
        return self

    def artefacts(self) -> Iterator[tuple[str, list[Source]]]:
        """Name without the suffix, and sources, of each artefact.

        What is quickly read comes first, so that mistakes are found early.
        """
        species: list[Source] = [*self.surveys, *self.occurrences]
        if self.surveys:
            yield SURVEYS, species
        if self.occurrences:
            yield OCCURRENCES, species
        single: list[tuple[str, Any]] = [
            (LAND, self.land),
            (COVARIATES, self.covariates),
            (TRUTH, self.truth),
            (PARCELS, self.parcels),
            (CUBE, self.cube),
        ]
        yield from ((name, [source]) for name, source in single if source is not None)
        if self.shards:
            yield SHARDS, list(self.shards)
        if self.series:
            yield SERIES, list(self.series)

    def writes(self) -> list[str]:
        """Names of the artefacts that are listed, as they are written."""
        return [self.written(name) for name, _ in self.artefacts()]

    def written(self, name: str) -> str:
        """The name of an artefact with the suffix."""
        stem, dot, extension = name.partition(".")
        return f"{stem}{self.suffix}{dot}{extension}"
