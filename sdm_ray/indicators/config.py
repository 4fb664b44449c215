"""What `indicators` is configured by; imports nothing heavy."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from sdm_ray.config import Config, JobConfig
from sdm_ray.mapping.config import ComputeConfig
from sdm_ray.readers.config import TableFormat

IndicatorName = Literal[
    "shannon", "simpson", "hill", "rarity_weighted_richness", "weighted_endemism", "lcbd", "dominant_species"
]
ALL: list[IndicatorName] = [
    "shannon",
    "simpson",
    "hill",
    "rarity_weighted_richness",
    "weighted_endemism",
    "lcbd",
    "dominant_species",
]


class SpeciesTable(Config):
    """A table with a row for each species, of any format that `prepare` reads."""

    file: str
    """CSV, Parquet, spreadsheet and so on."""
    species: str = "species"
    """Column of scientific names; spellings and authors do not matter."""
    source: str = ""
    """Where the table comes from and its licence; travels with the results."""
    format: TableFormat = TableFormat()


class TraitsConfig(SpeciesTable):
    """Traits whose community-weighted means are wanted."""

    columns: list[str] = Field(min_length=1)
    """Columns of numbers; each makes the layers `cwm_NAME`, `cwm_NAME_sd` and `cwm_NAME_coverage`."""


class RangesConfig(SpeciesTable):
    """Ranges of the species in the world, for endemism."""

    column: str = "area_km2"
    """Column of areas, km2."""


class ListConfig(Config):
    """A list of species, such as those that are protected, red-listed, invasive or endemic."""

    species: list[str] | None = Field(default=None, min_length=1)
    """Scientific names."""
    file: str | None = None
    """A table of any format instead."""
    column: str = "species"
    """Column of the table with the names."""
    source: str = ""
    """Where the list comes from and its licence; travels with the results."""
    format: TableFormat = TableFormat()

    @model_validator(mode="after")
    def _one_of_both(self) -> "ListConfig":
        if (self.species is None) == (self.file is None):
            raise ValueError("expected either `species` or `file`")
        return self


class ZoneFileConfig(Config):
    """Polygons that figures are summed up in."""

    file: str
    """GeoPackage, GeoJSON, shapefile, FlatGeobuf or GeoParquet, in any projection."""
    layer: str | None = None
    """Of a file of several layers."""
    id: str | None = None
    """Column that tells zones apart; by default their row number, from 1."""
    name: str | None = None
    """Column with a zone's name for people; by default its id."""
    source: str = ""
    """Where the polygons come from and their licence; travels with the results."""


class ZonesConfig(ZoneFileConfig):
    """Polygons that indicators are summed up in."""

    similar_by: list[str] = Field(default=[])
    """Columns in which similar zones agree; by default all zones are similar."""
    species: bool = True
    """Write `zone_species.parquet`, the figures of every species in every zone."""
    reports: list[str] | Literal["all"] = Field(default=[])
    """Ids of the zones that get a page of their own, or `all`."""
    draws: int = Field(default=100, ge=20)
    """Draws of the errors, where `errors` names them."""
    level: float = Field(default=0.9, gt=0, lt=1)
    """Probability that the intervals of the draws hold."""


class IndicatorsConfig(JobConfig):
    """`indicators`: diversity, its uncertainty, zones, countries and species ranges from a map."""

    output: str = "indicators.zarr"
    map: str = "map.zarr"
    scenario: str | None = None
    """Label of the scenario, of a map with several."""
    land: str = "land.zarr"
    """Country index for the table of countries, on a grid that covers the map's."""
    indicators: list[IndicatorName] = Field(default=ALL)
    """Layers beside richness, which is always written."""
    min_share_probability: float = Field(default=0.01, ge=0, lt=1)
    """Species of lower probability at a cell have no share in its Shannon, Simpson and Hill numbers; with 0 all have
    whose stored probability is above 0."""
    traits: list[TraitsConfig] = Field(default=[])
    """Tables of traits."""
    lists: dict[str, ListConfig] = Field(default={})
    """Name -> species, whose richness is a layer `richness_NAME`."""
    range_areas: RangesConfig | None = None
    """Ranges of the species for `weighted_endemism`; by default their expected areas in the map."""
    synonyms: str | None = None
    """Table of `name, accepted`, for species that tables and lists name otherwise than the map."""
    sensitive: dict[str, int | None] = Field(default={})
    """Species -> metres of the finest resolution at which it may be published, or null for not at all."""
    zones: ZonesConfig | None = None
    errors: str | None = None
    """Artefact of `errors`, from which zones, countries and species get intervals that hold for sums of any size."""
    thresholds: list[Annotated[float, Field(gt=0, lt=1)]] = Field(default=[0.5], min_length=1)
    """Probabilities from which a species counts as likely in `likely_species`."""
    evaluation: str | None = None
    """Artefact of `evaluate`, whose thresholds by name cut the ranges of species in `ranges.csv`."""
    force: list[Literal["relative"]] = Field(default=[])
    """`relative`: derive indicators from relative suitabilities all the same."""
    compute: ComputeConfig = Field(default=ComputeConfig(), exclude=True)

    @field_validator("lists")
    @classmethod
    def _names_of_layers(cls, lists: dict[str, ListConfig]) -> dict[str, ListConfig]:
        for name in lists:
            if not name.isidentifier():
                raise ValueError(f"{name!r} is no name of a layer; expected letters, digits and _")
        return lists

    @field_validator("sensitive")
    @classmethod
    def _resolutions(cls, sensitive: dict[str, int | None]) -> dict[str, int | None]:
        for species, resolution in sensitive.items():
            if resolution is not None and resolution <= 0:
                raise ValueError(f"{species}: {resolution} is no resolution in metres; expected one, or null")
        return sensitive

    def reads(self) -> list[str]:
        """Names of the artefacts that the job reads."""
        return [name for name in (self.map, self.land, self.evaluation, self.errors) if name is not None]

    def reads_files(self) -> list[str]:
        """Files that the job reads."""
        return sorted({file for file in (*(each.file for each in self._files()), self.synonyms) if file is not None})

    def stated_sources(self) -> list[str]:
        """Sources of the files that the job reads, as the configuration states them."""
        found = {each.source or f"{(each.file or '').rpartition('/')[2]} (source not stated)" for each in self._files()}
        return sorted(found)

    def _files(self) -> list[SpeciesTable | ListConfig | ZoneFileConfig]:
        lists = [each for each in self.lists.values() if each.file or each.source]
        return [each for each in (*self.traits, *lists, self.range_areas, self.zones) if each is not None]
