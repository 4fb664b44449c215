"""Configuration of the jobs `map`, `embed`, `export` and `predict`; imports nothing heavy."""

from typing import Literal

from pydantic import Field, model_validator

from sdm_ray.config import Config, JobConfig, TaskConfig
from sdm_ray.input_paths import InputPath
from sdm_ray.mapping.aoa_config import ApplicabilityConfig
from sdm_ray.mapping.article17_config import Article17Config
from sdm_ray.mapping.ebv_config import EbvConfig
from sdm_ray.mapping.scenario_config import ScenarioConfig, Scenarios
from sdm_ray.metrics.config import SetRule
from sdm_ray.readers.config import EmbeddingTable


class ComputeConfig(TaskConfig):
    """What tiles may use of the machine or cluster."""

    memory_mb: float = Field(default=512, gt=0)
    """Megabytes of the tile cube that one worker may hold at once."""
    commit_tiles: int = Field(default=64, ge=1)
    """With a `repository`: tiles of one commit."""


class CellsConfig(JobConfig):
    """The cells of a job, the inputs that they are predicted from, and how the work is cut into tiles."""

    model: str = "model"
    """Model folder of `finetune`."""
    land: str = "land.zarr"
    """Land mask and country index; the map lies on its grid."""
    covariates: str | None = None
    """Covariate store; needed by a model with covariates, whose cells without them are flagged."""
    cube: str | None = None
    """Tile cube for a model with a satellite tower; without one, cells are predicted from the rest and flagged."""
    stride_m: float | None = Field(default=None, gt=0)
    """Metres between the patches of the cube that the tower looks at; a cell's features are blended from the four
    around it, so that cells of 10 m do not cost a patch each. By default every cell has a patch of its own."""
    surveys: str | None = None
    """Surveys, for distance, country and similarity layers, for `cells: surveyed` and `near_surveys_m`."""
    resolution_m: int = Field(default=1000, gt=0)
    extent: tuple[float, float, float, float] | None = None
    """West, south, east, north in EPSG:3035 metres; by default that of the land store."""
    countries: list[str] | None = Field(default=None, min_length=1)
    """Only cells of these countries, by their names in the land store."""
    within: InputPath | None = None
    """Only cells whose centre lies within the polygons of a file (GeoPackage, GeoJSON, shapefile, WKT in degrees)."""
    near_surveys_m: float | None = Field(default=None, gt=0)
    """Only cells at most this far from the nearest surveyed cell."""
    cells: Literal["land", "surveyed"] = "land"
    """Which cells are wanted: all land, or only those that hold a survey (a cheap map to score)."""
    tile: int = Field(default=256, gt=0)
    """Cells along the side of a tile, the unit of work, writing and resuming; a multiple of `block`."""
    block: int = Field(default=0, ge=0)
    """Cells along the side of a compute block, one forward pass, anchored to the grid; 0: 64, or 16 with a patch for
    each cell."""
    title: str = ""
    repository: str | None = None
    """Icechunk repository, a path or URL, to which the output is committed tile by tile as a new version; readers of
    its branch `main` see it when it is whole. By default plain Zarr."""
    compute: ComputeConfig = Field(default=ComputeConfig(), exclude=True)
    force: list[Literal["far"]] = Field(default=[])
    """`far`: map places far from Europe all the same, where cells of EPSG:3035 are sheared."""
    overwrite: bool = Field(default=False, exclude=True)
    """Start anew where the output was made, or begun, from another configuration, model or input."""

    @model_validator(mode="after")
    def _fits(self) -> "CellsConfig":
        if self.tile % self.block_cells:
            raise ValueError(f"tile {self.tile} is no multiple of block {self.block_cells}")
        if self.stride_m is not None and self.cube is None:
            raise ValueError("stride_m: is the distance between patches of a cube, and `cube` names none")
        for name in self.needs_surveys():
            if self.surveys is None:
                raise ValueError(f"{name} needs surveys")
        if self.extent is not None:
            west, south, east, north = self.extent
            if not (west < east and south < north):
                raise ValueError(f"extent {list(self.extent)} is not west, south, east, north")
            if any(edge % self.resolution_m for edge in self.extent):
                raise ValueError(f"extent {list(self.extent)} is not on multiples of {self.resolution_m} m")
        return self

    def needs_surveys(self) -> list[str]:
        """The settings that are of no use without surveys."""
        asked = {"cells: surveyed": self.cells == "surveyed", "near_surveys_m": self.near_surveys_m is not None}
        return [name for name, is_asked in asked.items() if is_asked]

    @property
    def block_cells(self) -> int:
        """Cells along the side of a compute block."""
        return self.block or (16 if self.cube and self.stride_m is None else 64)

    def reads(self) -> list[str]:
        """Names of the artefacts that the job reads."""
        wanted = [self.model, self.land, self.covariates, self.cube, self.surveys]
        return [name for name in wanted if name is not None]

    def reads_files(self) -> list[str]:
        """The polygons."""
        return [] if self.within is None else [self.within]


class EmbedConfig(CellsConfig):
    """`embed`: the model's embedding of every wanted cell, from which any species is mapped without imagery."""

    output: str = "embeddings.zarr"
    title: str = "Embeddings of places"


class MapConfig(CellsConfig):
    """`map`: species probabilities for every wanted cell, tile by tile."""

    output: str = "map.zarr"
    title: str = "Species probability map"
    from_embeddings: str | None = None
    """Embeddings of the same model that `embed` wrote; cells are not embedded again, and no cube is needed."""
    occurrences: str | None = None
    """With `from_embeddings`: surveys of other species, which are fitted on the embeddings and mapped instead of the
    model's; their probabilities are relative."""
    species: list[str] | None = Field(default=None, min_length=1)
    """Names of the species to map; by default all that the model knows."""
    min_prevalence: float = Field(default=0, ge=0, lt=1)
    """Only species in at least this share of the surveys."""
    crossfit: bool = False
    """Each cell from the fold model that never saw its block, to be scored; else the model of all surveys."""
    spread: bool = False
    """Also predict with every fold model, for layers of the standard deviation among them."""
    applicability: ApplicabilityConfig | None = None
    """Layers `di` (dissimilarity index) and `inside_aoa` (area of applicability), from the surveys' covariates."""
    scenario: ScenarioConfig | None = None
    """Changed covariates, for a map of what would be: another climate, or land that becomes something else."""
    scenarios: Scenarios = Field(default={})
    """Label -> scenario: one map with an axis `scenario`, whose first entry is the baseline, as today."""
    baseline: str = "baseline"
    """Label of the baseline among `scenarios`."""
    levels: int | None = Field(default=None, ge=0)
    """Coarser levels of the pyramid; by default until the longer side has fewer than 512 cells."""
    bits: Literal[8, 16, "auto"] = "auto"
    """Bits of a stored probability: 8 for steps of 1/254, 16 for 1/65534; by default 8 where every species of the
    surveys is common enough for them."""
    dry_run: bool = Field(default=False, exclude=True)
    """Print the plan and a measured sample, and write nothing."""

    @model_validator(mode="after")
    def _goes_together(self) -> "MapConfig":
        if self.spread and self.crossfit:
            raise ValueError("spread: expected it or crossfit, whose cells come from one fold model each")
        if self.from_embeddings is not None and (self.spread or self.crossfit or self.cube):
            raise ValueError("from_embeddings: made by the model of all surveys; expected no spread, crossfit or cube")
        if self.from_embeddings is not None and (self.scenario is not None or self.scenarios):
            raise ValueError("scenario: embeddings are of today's covariates; expected no from_embeddings")
        if self.scenario is not None and self.scenarios:
            raise ValueError("scenario: expected it, for a map of one, or `scenarios`, for a map of several")
        if self.baseline in self.scenarios:
            raise ValueError(f"scenarios: {self.baseline!r} is the label of the baseline; expected another")
        if self.occurrences is not None:
            if self.from_embeddings is None:
                raise ValueError("occurrences: other species are fitted on embeddings; give from_embeddings")
            if self.species is not None or self.min_prevalence:
                raise ValueError("occurrences: all their species are mapped, without species and min_prevalence")
        return self

    def labels(self) -> tuple[str, ...]:
        """Labels along the axis of scenarios, the baseline first; none for a map without such an axis."""
        return (self.baseline, *self.scenarios) if self.scenarios else ()

    def needs_surveys(self) -> list[str]:
        """The settings that are of no use without surveys."""
        asked = {"min_prevalence": self.min_prevalence > 0, "applicability": self.applicability is not None}
        return super().needs_surveys() + [name for name, is_asked in asked.items() if is_asked]

    def reads(self) -> list[str]:
        """Names of the artefacts that the job reads."""
        evaluation = self.applicability.evaluation if self.applicability else None
        changed = [each.covariates for each in self._scenarios()]
        wanted = [self.from_embeddings, self.occurrences, evaluation, *dict.fromkeys(changed)]
        return super().reads() + [name for name in wanted if name is not None]

    def reads_files(self) -> list[str]:
        """The polygons of the region and of the scenarios."""
        files = [file for each in self._scenarios() for file in each.files()]
        return list(dict.fromkeys(super().reads_files() + files))

    def _scenarios(self) -> list[ScenarioConfig]:
        return [*([] if self.scenario is None else [self.scenario]), *self.scenarios.values()]


class ExportConfig(JobConfig):
    """`export`: a map as GeoTIFFs and pictures, as an EBV cube, or as distributions and ranges in 10-km cells."""

    output: str = "export"
    map: str = "map.zarr"
    scenario: str | None = None
    """Label of the scenario that is exported, of a map with several; `ebv` takes all of them by default."""
    format: Literal["geotiff", "ebv", "article17"] = "geotiff"
    """GeoTIFFs with a STAC item; with `ebv` one netCDF-4 file as the EBV Data Portal takes it, `ebv_cube.nc`; or tables
    of species in 10-km cells with their ranges, as reports by Article 17 of the Habitats Directive hold them."""
    article17: Article17Config = Article17Config()
    """Threshold and gap distance of distributions and ranges."""
    ebv: EbvConfig | None = None
    """What an EBV cube says of itself."""
    species: list[str] | None = Field(default=None, min_length=1)
    """Names; by default all."""
    layers: list[str] = Field(default=[])
    """Quality layers as well, such as `richness`, which is refused with `sensitive` species of the map."""
    files: Literal["each", "together"] = "each"
    """A GeoTIFF for each species, or one whose bands are the species, `probability.tif`."""
    pictures: bool = True
    """Whether each species and layer gets a PNG."""
    sensitive: dict[str, int | None] = Field(default={})
    """Species -> metres of the finest resolution at which it may be published, or null for not at all."""

    @model_validator(mode="after")
    def _says_what_its_format_needs(self) -> "ExportConfig":
        if self.format == "ebv" and self.ebv is None:
            raise ValueError("ebv: missing; an EBV cube names its creator, publisher, licence and area")
        if self.format != "geotiff" and self.layers:
            raise ValueError(f"layers: {self.format} holds species alone; expected none, or `format: geotiff`")
        if isinstance(self.article17.threshold, str) != (self.article17.evaluation is not None):
            raise ValueError("article17: the name of a threshold and an `evaluation` that has it go together")
        return self

    def maps(self) -> list[str]:
        """Names of the maps."""
        several = self.ebv.cubes if self.format == "ebv" and self.ebv else []
        return list(dict.fromkeys(cube.map for cube in several)) or [self.map]

    def reads(self) -> list[str]:
        """Names of the artefacts that the job reads."""
        evaluation = self.article17.evaluation if self.format == "article17" else None
        return self.maps() + ([evaluation] if evaluation else [])

    def reads_files(self) -> list[str]:
        """The taxonomy."""
        return [self.ebv.taxonomy] if self.format == "ebv" and self.ebv and self.ebv.taxonomy else []


class LabelsConfig(Config):
    """The species that are known of the places of `predict`, to score its answer by."""

    table: InputPath
    """A row for each place with its species, with blanks between them as in `sets.csv`; or, where a place has several
    rows, a row for each of its species."""
    id: str = "surveyId"
    """Its column that names a place, as in the table of places."""
    species: str = "speciesIds"
    """Its column of names, which are those of the model's species."""


class PredictConfig(JobConfig):
    """`predict`: probabilities and sets of species for a table of places."""

    output: str = "predictions"
    table: InputPath
    """CSV, Parquet or GeoPackage of places."""
    id: str = "surveyId"
    """Its column that names a place."""
    lon: str = "lon"
    lat: str = "lat"
    model: str = "model"
    """Model folder of `finetune`."""
    covariates: str | None = None
    """Covariate store; by default the columns of the table that bear the names of the model's covariates."""
    cube: str | None = None
    """Tile cube, for a model whose satellite tower was trained on one."""
    embeddings: list[EmbeddingTable] = Field(default=[])
    """Tables with a precomputed embedding of each place, by its id, for a model that was trained on them."""
    series: str | None = None
    """Time series of the places, known by `id`."""
    shards: str | None = None
    """Image shards of the places' images, of every scale that the model has a tower for."""
    sets: SetRule = "max_expected_f1"
    """How the set of species follows from their probabilities."""
    k: int | None = Field(default=None, ge=1)
    """Number of species of each place, with `sets: top_k`."""
    threshold: float | None = Field(default=None, gt=0, lt=1)
    """Probability from which a species belongs to the set, with `sets: threshold`."""
    labels: LabelsConfig | None = None
    """Published labels: `metrics.json` has the scores of sets and probabilities at the places that they name."""
    force: list[Literal["far"]] = Field(default=[])
    """`far`: predict places far from Europe all the same."""

    @model_validator(mode="after")
    def _rule_is_whole(self) -> "PredictConfig":
        for rule, name in (("top_k", "k"), ("threshold", "threshold")):
            if self.sets == rule and getattr(self, name) is None:
                raise ValueError(f"{name}: missing; `sets: {rule}` needs it")
            if self.sets != rule and getattr(self, name) is not None:
                raise ValueError(f"{name}: belongs to `sets: {rule}`; found sets: {self.sets}")
        return self

    def reads(self) -> list[str]:
        """Names of the artefacts that the job reads."""
        names = (self.model, self.covariates, self.cube, self.series, self.shards)
        return [name for name in names if name is not None]
