"""Configuration of `evaluate`; imports nothing heavy."""

from typing import ClassVar, Literal, get_args

from pydantic import Field, model_validator

from sdm_ray.baselines.config import BaselineConfig, BoostingConfig, ForestConfig, baseline_files
from sdm_ray.config import Config, JobConfig
from sdm_ray.geo.blocks import Blocks
from sdm_ray.metrics.config import SetRule
from sdm_ray.models.config import Scale
from sdm_ray.stores.holdout_config import HeldOutBlocks

Fault = Literal["swap", "sign_flip", "stale", "heavy_tail", "rounding"]


class CoordinatesConfig(Config):
    """Detection of coordinate errors by an encoder: simulated errors against the images' own coordinates."""

    encoder: str = "encoder"
    """Cross-fitted encoder of `pretrain`; images are scored by the fold's encoder that held out their blocks."""
    scales: dict[Scale, str] = Field(min_length=1)
    """Scale -> image shards."""
    faults: tuple[Fault, ...] = get_args(Fault)
    """`swap`: longitude and latitude exchanged; `sign_flip`: of the longitude; `stale`: the position of the image
    before; `heavy_tail`: displaced by a half-Cauchy distance with a median of 5 km; `rounding`: to whole degrees."""
    images: int = Field(default=2000, ge=2)
    """Most images of a scale; a random sample is taken of more."""


class SetsConfig(Config):
    """How the set of species of a survey is predicted from their probabilities."""

    rules: tuple[SetRule, ...] = get_args(SetRule)
    """`expected_size`: as many of the likeliest species as the probabilities sum up to; `max_expected_f1`: the set with
    the highest expected F1; `threshold`: all species above one threshold; `top_k`: a fixed number of the likeliest."""
    threshold: float | None = Field(default=None, gt=0, lt=1)
    """For `threshold`; by default the one with the highest mean F1 of surveys in the other folds."""
    k: int | None = Field(default=None, ge=1)
    """For `top_k`; by default the mean number of species of a survey in the other folds."""


class ExplainConfig(Config):
    """Permutation importance of a species model's inputs, and response curves, on held-out surveys."""

    model: str = "model"
    """Cross-fitted model of `finetune`, with the folds of `blocks`; it predicts without images."""
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Name -> covariates that are permuted together as one input."""
    surveys: int = Field(default=10_000, ge=10)
    """Most surveys; a random sample is taken of more."""
    steps: int = Field(default=21, ge=2)
    """Points of a response curve."""


def _baselines() -> list[BaselineConfig]:
    return [ForestConfig(), BoostingConfig()]


class EvaluateConfig(JobConfig):
    """`evaluate`: scores of cross-fitted maps at surveys, and of baselines fitted in the same folds."""

    old_keys: ClassVar = {"rivals": "baselines"}

    output: str = "evaluation"
    surveys: str = "surveys.parquet"
    maps: dict[str, str] = Field(default={"map": "map-crossfit.zarr"})
    """Label -> cross-fitted map; figures show differences from the first. May be empty with `coordinates`."""
    coordinates: CoordinatesConfig | None = None
    """An encoder whose detection of coordinate errors is scored."""
    blocks: HeldOutBlocks | None = None
    """How places are held out; by default as the models of the first map did. Other maps must have done the same."""
    covariates: str | None = None
    """Covariate store for the baselines."""
    baselines: list[BaselineConfig] = Field(default_factory=_baselines)
    land: str | None = None
    """Land store, for the countries of tables and of `countries_out`."""
    countries_out: bool = False
    """Also score with whole countries left out."""
    countries_out_map: str | None = None
    """A map whose models left whole countries out, to be scored with `countries_out`."""
    truth: str | None = None
    """Store of true probabilities of virtual species."""
    truth_maps: dict[str, str] = Field(default_factory=dict)
    """Label -> map to compare with the truth on cells without surveys; by default those of `maps`."""
    truth_cells: int = Field(default=50_000, ge=1)
    """Most cells compared with the truth; a random sample is taken of more."""
    explain: ExplainConfig | None = None
    """A model for permutation importance and response curves."""
    sets: SetsConfig = SetsConfig()
    """Sets of species to score, unless probabilities are `relative`."""
    min_positives: int = Field(default=10, ge=1)
    """Fewest surveys with a species in means over species."""
    resamples: int = Field(default=200, ge=2)
    """Bootstrap resamples of blocks for intervals."""
    max_outside: float = Field(default=0.05, ge=0, le=1)
    """Largest share of surveys where a map has no held-out value; they are counted and left out."""
    threads: int = Field(default=2, ge=1, exclude=True)
    """Threads of each baseline."""

    @model_validator(mode="after")
    def _fits(self) -> "EvaluateConfig":
        if not self.maps:
            if self.coordinates is None:
                raise ValueError("maps: is empty, and there are no `coordinates` either; expected something to score")
            return self
        wanting = [baseline.kind for baseline in self.baselines if baseline.features != "coordinates"]
        if wanting and self.covariates is None:
            raise ValueError(f"baselines: {wanting[0]} needs covariates, and `covariates` names no store")
        if self.explain is not None and self.covariates is None:
            raise ValueError("explain: needs `covariates`, a store")
        if self.countries_out and not (self.baselines or self.countries_out_map):
            raise ValueError("countries_out: there is neither a baseline nor a countries_out_map to score")
        if self.countries_out and self.land is None:
            raise ValueError("countries_out: needs `land`, a store of countries")
        if self.truth_maps and self.truth is None:
            raise ValueError("truth_maps: needs `truth`")
        return self

    @property
    def held_out_blocks(self) -> Blocks:
        """How places are held out."""
        return self.blocks or Blocks()

    def compared_with_truth(self) -> dict[str, str]:
        """Label -> map to compare with the truth."""
        return (self.truth_maps or self.maps) if self.truth else {}

    def reads(self) -> list[str]:
        """Names of the artefacts that the job reads."""
        names: list[str | None] = []
        if self.maps:
            names += [self.surveys, *self.maps.values(), *self.compared_with_truth().values()]
            names += [self.covariates, self.land, self.countries_out_map, self.truth]
            names += [self.explain.model] if self.explain is not None else []
        if self.coordinates is not None:
            names += [self.coordinates.encoder, *self.coordinates.scales.values()]
        return list(dict.fromkeys(name for name in names if name))

    def reads_files(self) -> list[str]:
        """Files of published weights that baselines read."""
        return baseline_files(self.baselines)
