"""Configuration of the job `impact`; imports nothing heavy."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from sdm_ray.config import Config, JobConfig
from sdm_ray.input_paths import FetchedPath, InputPath
from sdm_ray.readers.config import TableFormat

Value = bool | int | float | str


class TreatmentConfig(Config):
    """Which units were treated, and when."""

    column: str | None = None
    """Column of the units that is 1 (or true, yes) for a treated unit and 0 for a possible control; by default the
    units with a date are treated."""
    date: str | None = None
    """Column of the units with the year, or the ISO date, of the treatment; blank for controls."""
    year: float | None = None
    """One year for all treated units, instead of `date`."""

    @model_validator(mode="after")
    def _is_whole(self) -> "TreatmentConfig":
        if (self.date is None) == (self.year is None):
            raise ValueError("treatment: expected one of date (a column) and year (for all units)")
        if self.column is None and self.date is None:
            raise ValueError("treatment.column: missing; with one year for all, a column has to name the treated units")
        return self


class OutcomeConfig(Config):
    """What is measured before and after: a long table, columns of the units' own table, or maps."""

    table: InputPath | None = None
    """Table with one row for each unit and year."""
    format: TableFormat = TableFormat()
    """Of the table."""
    id: str = "id"
    """Column of the table that names the unit."""
    year: str = "year"
    """Column of the table with the year."""
    values: list[str] = Field(default=[])
    """Columns of the table with the outcomes."""
    draw: str | None = None
    """Column of the table with the number of a joint draw of the outcomes' error: rows of draw 0 are the estimate.
    One draw holds all units and years, so that errors which they share stay shared."""
    columns: dict[str, dict[int, str]] = Field(default={})
    """Outcome -> year -> column of the units' table."""
    maps: dict[int, str] = Field(default={})
    """Year -> map or indicators; the outcome of a parcel is the mean over its cells."""
    layers: list[str] = Field(default=["richness"], min_length=1)
    """With `maps`: layers (such as `richness`) or names of species."""
    members: list[dict[int, str]] = Field(default=[])
    """With `maps`: the same years mapped by other fits of the model, on resampled surveys; each is one joint draw of
    the model's error."""
    errors: str | None = None
    """With `maps`: artefact of `errors`, from which joint draws are made; for richness and species."""
    errors_of_maps: Literal["shared", "independent"] = "shared"
    """Whether the maps have the same errors, as those of one model have, or errors of their own."""
    truth: dict[int, str] = Field(default={})
    """With `maps`: maps of the same years that hold the truth, of a virtual landscape; the true effect on the matched
    units is shown with the estimate."""
    draws: int = Field(default=100, ge=20)
    """Joint draws of `errors`."""

    @model_validator(mode="after")
    def _is_one(self) -> "OutcomeConfig":
        given = [name for name in ("table", "columns", "maps") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"outcome: expected one of table, columns and maps, found {', '.join(given) or 'none'}")
        if self.table and not self.values:
            raise ValueError("outcome.values: missing; it names the columns of the table that are outcomes")
        if self.maps and len(self.maps) < 2:
            raise ValueError("outcome.maps: expected maps of two or more years")
        if (self.errors is not None or self.members) and not self.maps:
            raise ValueError("outcome.errors and members: belong to `maps`, and there are none")
        if self.errors is not None and self.members:
            raise ValueError("outcome: expected one of errors and members")
        if any(set(member) != set(self.maps) for member in self.members):
            raise ValueError("outcome.members: each needs a map for every year of `maps`, and for no other")
        if self.truth and set(self.truth) != set(self.maps):
            raise ValueError("outcome.truth: expected a map for every year of `maps`, and for no other")
        if self.members and len(self.members) < 5:
            raise ValueError("outcome.members: expected 5 or more, from which an error can be estimated")
        return self


class CovariatesConfig(Config):
    """What treated units and controls are made alike in; all of it from before the treatment."""

    columns: list[str] = Field(default=[])
    """Columns of the units' table; text makes classes."""
    classes: list[str] = Field(default=[])
    """Those of `columns` whose numbers are codes of classes."""
    store: str | None = None
    """Covariate store, read at the unit's place."""
    names: list[str] | None = None
    """Covariates of the store; by default all."""


class MatchingConfig(Config):
    """How controls are chosen."""

    distance: Literal["mahalanobis", "propensity"] = "mahalanobis"
    """Between units: of the covariates, whitened by their covariance, or of the logit of the propensity score."""
    replace: bool = False
    """Whether a control may serve several treated units. Without, the assignment of controls is the optimal one:
    as many treated units as possible get a control, then as many further ones as `ratio` allows, with the least sum of
    distances."""
    ratio: int = Field(default=1, ge=1)
    """Most controls of a treated unit."""
    caliper: float | None = Field(default=0.2, gt=0)
    """Most difference in the logit of the propensity score, in its standard deviations."""
    max_distance_m: float | None = Field(default=None, gt=0)
    """Farthest control, metres."""
    min_distance_m: float = Field(default=0, ge=0)
    """Nearest control, metres: nearer ones may feel the treatment themselves."""
    distance_scale_m: float | None = Field(default=None, gt=0)
    """Metres that count as much as one standard deviation of a covariate; by default place has no weight."""
    exact: list[str] = Field(default=[])
    """Columns of the units in which a control must equal its treated unit."""


class EstimateConfig(Config):
    """What is compared, and how its interval is made."""

    before_years: float | None = Field(default=None, gt=0)
    """Years before the treatment that count; by default all."""
    after_years: float | None = Field(default=None, gt=0)
    """Years after it that count; by default all."""
    transition_years: float = Field(default=0, ge=0)
    """Years from the treatment on that count as neither, such as those of works under way."""
    adjust: bool = True
    """Whether what is left of differences in covariates is corrected by a regression on the matched controls."""
    block_m: float | None = Field(default=None, gt=0)
    """Side of the spatial blocks that are resampled, metres; by default such that about 30 hold treated units."""
    resamples: int = Field(default=1000, ge=100)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)


class PlacebosConfig(Config):
    """Tests in which there is no effect to be found."""

    fake_dates: bool = True
    """Whether the treatment is dated earlier, as far as there are years before it."""
    fake_treatments: int = Field(default=20, ge=0)
    """Number of draws of controls, alike to the treated units in their propensity, that are taken as treated."""
    elsewhere: int = Field(default=20, ge=0)
    """The same among controls that are at least `elsewhere_m` from every treated unit."""
    elsewhere_m: float | None = Field(default=None, gt=0)
    """Metres; by default the side of a block."""
    neighbours_m: float | None = Field(default=None, gt=0)
    """Controls within so many metres of a treated unit are taken as treated in its year and matched with farther ones:
    an effect on them is spillover."""
    outcomes: list[str] = Field(default=[])
    """Outcomes on which the treatment can have no effect; they get no page of their own."""


class QuestionConfig(Config):
    """One question: some of the treated units, and an outcome."""

    outcome: str | None = None
    """By default every outcome."""
    dates: tuple[float, float] | None = None
    """First and last year of treatment; others are left out."""
    where: dict[str, list[Value]] = Field(default={})
    """Column -> values that the treated units must have; others are left out."""


class ImpactConfig(JobConfig):
    """`impact`: the effect of a treatment on an outcome, against matched controls, with its interval and checks."""

    output: str = "impact"
    units: FetchedPath
    """Polygons of parcels (GeoPackage, GeoJSON, shapefile, GeoParquet), or a table or file of points; a file, or the
    name of an artefact in the run folder."""
    format: TableFormat = TableFormat()
    """Of the units."""
    id: str | list[str] | None = None
    """Column, or columns together, that name a unit; by default the number of its row, from 1."""
    lon: str = "lon"
    lat: str = "lat"
    where: dict[str, list[Value]] = Field(default={})
    """Column -> values that every unit must have; others are left out and counted."""
    treatment: TreatmentConfig
    outcome: OutcomeConfig
    covariates: CovariatesConfig = CovariatesConfig()
    matching: MatchingConfig = MatchingConfig()
    estimate: EstimateConfig = EstimateConfig()
    placebos: PlacebosConfig = PlacebosConfig()
    questions: dict[str, QuestionConfig] = Field(default={})
    """Title -> question; by default one for each outcome, of all treated units."""

    force: list[Literal["far"]] = Field(default=[])
    """`far`: take units far from Europe all the same."""

    @model_validator(mode="after")
    def _can_match(self) -> "ImpactConfig":
        covariates, matching = self.covariates, self.matching
        by_place = matching.max_distance_m is not None or matching.distance_scale_m is not None
        if not (covariates.columns or covariates.store or matching.exact or by_place):
            raise ValueError("covariates: none, and no matching.max_distance_m; controls cannot be matched")
        return self

    def reads(self) -> list[str]:
        """Names of the artefacts that the job reads."""
        maps = [self.outcome.maps, *self.outcome.members, self.outcome.truth]
        stores = [each for each in (self.covariates.store, self.outcome.errors) if each is not None]
        stores += [] if self._is_file else [self.units]
        return list(dict.fromkeys([*stores, *(name for years in maps for name in years.values())]))

    def reads_files(self) -> list[str]:
        """The units, and the table of outcomes."""
        return [*([self.units] if self._is_file else []), *([] if self.outcome.table is None else [self.outcome.table])]

    @property
    def units_path(self) -> str:
        """Where the units are."""
        return self.units if self._is_file else str(self.path(self.units))

    @property
    def _is_file(self) -> bool:
        return "://" in self.units or Path(self.units).exists()
