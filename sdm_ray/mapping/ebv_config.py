"""What an EBV cube says of itself; imports nothing heavy."""

import datetime
from typing import Literal

from pydantic import Field, model_validator

from sdm_ray.config import Config

EbvClass = Literal[
    "Genetic composition",
    "Species populations",
    "Species traits",
    "Community composition",
    "Ecosystem structure",
    "Ecosystem functioning",
    "Ecosystem services",
]


class CubeConfig(Config):
    """One map among several that are exported as one cube."""

    map: str
    date: datetime.date
    """Day that the map stands for."""
    scenario: str | None = None
    """Name of its scenario, where the maps are of scenarios."""


class EbvConfig(Config):
    """`ebv` of `export`: what the EBV Data Portal asks of a publisher, and what the map does not know."""

    creator_name: str
    """Person responsible for creating the data."""
    creator_institution: str
    publisher_name: str
    """Person responsible for publishing the file."""
    publisher_institution: str
    publisher_email: str
    license: str
    """URL or text of the product's licence; the inputs' sources and licences are written beside it."""
    geospatial_scope: Literal["Global", "Continental/ Regional", "National", "Sub-national/Local"]
    geospatial_description: str
    """The area in words, such as `Netherlands`."""
    date: datetime.date | None = None
    """Day that the map stands for; or give `cubes`."""
    cubes: list[CubeConfig] = Field(default=[])
    """Several maps of one grid and one list of species, by date and scenario, instead of `map` and `date`."""
    time_resolution: str = "P1Y"
    """Period between dates, an ISO 8601 duration."""
    ebv_class: EbvClass = "Species populations"
    ebv_name: str = "Species distributions"
    """EBV name of the portal's vocabulary that belongs to the class."""
    domains: list[Literal["Terrestrial", "Marine", "Freshwater"]] = Field(default=["Terrestrial"], min_length=1)
    entity_type: str = "Species"
    entity_scope: str
    """The taxa in words, such as `Vascular plants`."""
    taxonomy: str | None = None
    """CSV with a column `species` and further ranks (`genus, family, …`); by default species and genus from names."""
    title: str = ""
    """By default that of the map."""
    summary: str = ""
    """Abstract; by default a paragraph from the map's record."""
    attributes: dict[str, str] = Field(default={})
    """Further global attributes, such as `references`, `project_name`, `project_url`, `creator_email`, `comment`."""

    @model_validator(mode="after")
    def _dated(self) -> "EbvConfig":
        if (self.date is None) == (not self.cubes):
            raise ValueError("date: expected the day that the map stands for, or `cubes` with a date each")
        named = [cube.scenario for cube in self.cubes]
        if None in named and any(named):
            raise ValueError("cubes: expected a scenario for each map, or for none")
        if len({(cube.scenario, cube.date) for cube in self.cubes}) < len(self.cubes):
            raise ValueError("cubes: two have the same scenario and date")
        return self
