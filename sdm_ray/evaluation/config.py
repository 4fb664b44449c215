"""What `evaluate` is told. Light: no numerics are imported here."""

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
    """How well an encoder tells wrong coordinates of images: planted faults against the coordinates as they are."""

    encoder: str = "encoder"
    """Cross-fitted encoder of `pretrain`; images are scored by the one that never saw their blocks."""
    scales: dict[Scale, str] = Field(min_length=1)
    """Scale -> image shards."""
    faults: tuple[Fault, ...] = get_args(Fault)
    """Longitude and latitude exchanged; the sign of the longitude; the position of the image before; displaced by a
    half-Cauchy distance, half of them more than 5 km; rounded to whole degrees."""
    images: int = Field(default=2000, ge=2)
    """Most images of a scale; where there are more, so many are drawn."""


class SetsConfig(Config):
    """How the set of species of a survey follows from their probabilities."""

    rules: tuple[SetRule, ...] = get_args(SetRule)
    """`expected_size`: as many of the likeliest as the probabilities sum up to; `max_expected_f1`: the set with the
    highest expected F1; `threshold`: all above one; `top_k`: a fixed number of the likeliest."""
    threshold: float | None = Field(default=None, gt=0, lt=1)
    """By default the one with the highest F1 per survey in the other folds."""
    k: int | None = Field(default=None, ge=1)
    """By default the mean number of species of a survey in the other folds."""


class ExplainConfig(Config):
    """What a species model goes by: importance of its inputs and response curves, on held-out surveys."""

    model: str = "model"
    """Cross-fitted model of `finetune`, with the folds of `blocks`; it is asked without images."""
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Name -> covariates that count as one input."""
    surveys: int = Field(default=10_000, ge=10)
    """Most surveys; where there are more, so many are drawn."""
    steps: int = Field(default=21, ge=2)
    """Points of a response curve."""


def _baselines() -> list[BaselineConfig]:
    return [ForestConfig(), BoostingConfig()]


class EvaluateConfig(JobConfig):
    """`evaluate`: score cross-fitted maps at the surveys, beside baselines fitted in the same folds."""

    old_keys: ClassVar = {"rivals": "baselines"}

    output: str = "evaluation"
    surveys: str = "surveys.parquet"
    maps: dict[str, str] = Field(default={"map": "map-crossfit.zarr"})
    """Label -> cross-fitted map; the first one is set against everything else. May be empty with `coordinates`."""
    coordinates: CoordinatesConfig | None = None
    """An encoder to be tried on wrong coordinates of images."""
    blocks: HeldOutBlocks = Blocks()
    """How places are held out; the same as those of the maps' models."""
    covariates: str | None = None
    """Covariate store for the baselines."""
    baselines: list[BaselineConfig] = Field(default_factory=_baselines)
    land: str | None = None
    """Land store, whose countries are those of tables and of `countries_out`."""
    countries_out: bool = False
    """Also leave whole countries out, as the second figure."""
    countries_out_map: str | None = None
    """A map whose models left whole countries out, for the second figure."""
    truth: str | None = None
    """Store of true probabilities, where the species are virtual."""
    truth_maps: dict[str, str] = Field(default_factory=dict)
    """Label -> map to hold against the truth on cells without surveys; by default those of `maps`."""
    truth_cells: int = Field(default=50_000, ge=1)
    """Most cells compared with the truth; where there are more, so many are drawn."""
    explain: ExplainConfig | None = None
    """A model whose inputs are to be explained."""
    sets: SetsConfig = SetsConfig()
    """Sets of species to score; only where probabilities are not `relative`."""
    min_positives: int = Field(default=10, ge=1)
    """A species with fewer surveys counts in no mean."""
    resamples: int = Field(default=200, ge=2)
    """Resamples of blocks behind each interval."""
    max_outside: float = Field(default=0.05, ge=0, le=1)
    """Largest share of surveys that may lie where a map has no value; they are counted and left out."""
    threads: int = Field(default=2, ge=1, exclude=True)
    """Threads of each baseline."""

    @model_validator(mode="after")
    def _fits(self) -> "EvaluateConfig":
        if not self.maps:
            if self.coordinates is None:
                raise ValueError("maps: is empty, and there are no `coordinates` to try an encoder on")
            return self
        wanting = [baseline.kind for baseline in self.baselines if baseline.features != "coordinates"]
        if wanting and self.covariates is None:
            raise ValueError(f"baselines: {wanting[0]} asks for covariates, and `covariates` names no store")
        if self.explain is not None and self.covariates is None:
            raise ValueError("explain: needs `covariates`, a store")
        if self.countries_out and not (self.baselines or self.countries_out_map):
            raise ValueError("countries_out: there is neither a baseline nor a countries_out_map to score")
        if self.countries_out and self.land is None:
            raise ValueError("countries_out: needs `land`, which knows the countries")
        if self.truth_maps and self.truth is None:
            raise ValueError("truth_maps: needs `truth`")
        return self

    def compared_with_truth(self) -> dict[str, str]:
        """Label -> map to hold against the truth."""
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
        """Published weights of baselines."""
        return baseline_files(self.baselines)
