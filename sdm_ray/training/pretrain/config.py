"""Configuration of `pretrain`. Light: imports neither torch nor Ray."""

from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from sdm_ray.config import Config, JobConfig
from sdm_ray.geo.blocks import Blocks
from sdm_ray.models.config import LocationConfig, Scale, ScalePair, TowerConfig, pair_name, weights_files
from sdm_ray.stores.holdout_config import HeldOutBlocks
from sdm_ray.streams.config import Mixing
from sdm_ray.training.engine.config import OptimConfig, WorkersConfig


class ScaleConfig(Config):
    """One scale of pretraining: images and their tower."""

    shards: str | None = None
    """Image shards that hold the scale."""
    cube: str | None = None
    """Tile cube; places are a regular grid over it."""
    stride_m: float = Field(1000.0, gt=0)
    """Distance between the places of a cube."""
    bands: tuple[str, ...] = ()
    """Names of the cube's bands, in the order of the tower's; by default all of them."""
    season: str | None = None
    """Name of the cube's composite; by default its first."""
    size: int = Field(64, ge=8)
    """Side of an image, pixels."""
    tower: TowerConfig = TowerConfig()
    batch: PositiveInt | None = None
    """Images of a step over all ranks together; by default that of `optim`."""
    weight: float = Field(1.0, gt=0)
    """Of the scale's loss."""
    augment: Literal["none", "dihedral", "photo"] = "none"
    """`dihedral` turns and flips, `photo` flips and crops."""
    jitter: float = Field(0.0, ge=0, lt=1)
    """Largest share by which brightness, contrast and saturation change in training."""
    band_dropout: float = Field(0.0, ge=0, lt=1)
    """Chance that an image loses one of its bands in training."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.shards is None) == (self.cube is None):
            raise ValueError("needs `shards` or `cube`, and not both")
        if self.cube is not None and self.augment == "photo":
            raise ValueError("augment: photo crops, which is not for windows of a cube")
        if self.augment == "none" and (self.jitter or self.band_dropout):
            raise ValueError("augment: none, with jitter or band_dropout; expected dihedral or photo")
        return self


class CrossScaleConfig(Config):
    """Pairs of images of two scales at one place, matched with each other in addition to their coordinates."""

    scales: ScalePair
    """The two scales, both among `scales` of the job."""
    radius_m: float = Field(0.0, ge=0)
    """Each image is matched with the nearest of the other scale within this radius, and places nearer than twice the
    radius are no negatives of each other; 0: images with one `place_id` are matched."""
    weight: float = Field(1.0, gt=0)
    """Of the pairs' loss; the scales' own are 1 by default."""
    batch: PositiveInt | None = None
    """Pairs of a step over all ranks together; by default that of `optim`."""

    @property
    def name(self) -> str:
        """Name of the pairs among the modalities."""
        return pair_name(self.scales)


class ObjectiveConfig(Config):
    """The contrastive loss."""

    loss: Literal["info_nce", "sigmoid"] = "info_nce"
    temperature: float | None = Field(None, gt=0)
    """Initial value of the learnt temperature of each modality; by default 0.07, and 0.1 for `sigmoid`."""
    bias: float = -10.0
    """Initial value of the learnt bias of each modality, for `sigmoid`."""
    radius_m: float = Field(0.0, ge=0)
    """Places nearer than this are no negatives of each other."""
    weights: dict[Literal["covariates", "species", "dense"], PositiveFloat] = Field(default_factory=dict)
    """Weights of the modalities that are not images; 1 by default."""

    @property
    def start_temperature(self) -> float:
        """Initial temperature."""
        return self.temperature or (0.1 if self.loss == "sigmoid" else 0.07)


class PretrainConfig(JobConfig):
    """`pretrain`: align coordinates with images of every scale in one space."""

    old_keys: ClassVar = {"between": "cross_scale_pairs"}

    output: str = "encoder"
    scales: dict[Scale, ScaleConfig] = Field(default_factory=dict)
    cross_scale_pairs: tuple[CrossScaleConfig, ...] = ()
    """Scales whose images of one place are matched with each other too; by default none."""
    location: LocationConfig = LocationConfig()
    covariates: str | None = None
    """Covariate store as one more modality, sampled over all its cells."""
    covariates_as: Literal["contrast", "regression"] = "contrast"
    """Whether coordinates are matched with covariates, or covariates are regressed from coordinates."""
    teacher: str | None = None
    """Published weights of GeoCLIP's location encoder (its wheel), whose features are regressed from the coordinates
    of the covariates' cells (distillation)."""
    surveys: str | None = None
    """Surveys whose sets of species are one more modality."""
    objective: ObjectiveConfig = ObjectiveConfig()
    dim: PositiveInt = 128
    """Length of the shared embedding."""
    blocks: HeldOutBlocks = Blocks()
    crossfit: bool = False
    """Whether to train one encoder for each fold, without its blocks, and one on everything; otherwise one encoder is
    trained without the `validation` blocks, which its figures are computed on."""
    candidates: PositiveInt = 256
    """Number of held-out pairs that retrieval figures are computed among, whatever the batch."""
    optim: OptimConfig = OptimConfig()
    mixing: Mixing = Mixing()
    workers: WorkersConfig = Field(default=WorkersConfig(), exclude=True)

    @model_validator(mode="after")
    def _some_modality(self) -> Self:
        if not self.scales and self.covariates is None and self.surveys is None:
            raise ValueError("scales: needs at least one scale, or covariates or surveys")
        if self.teacher is not None and self.covariates is None:
            raise ValueError("teacher: needs the cells of `covariates`; expected a covariate store")
        return self

    @model_validator(mode="after")
    def _whole_batches(self) -> Self:
        if self.workers.accumulate > 1:
            raise ValueError("workers.accumulate: a contrast is over the whole batch; expected 1, and more ranks")
        return self

    @model_validator(mode="after")
    def _pairs_of_scales(self) -> Self:
        pairs = [frozenset(each.scales) for each in self.cross_scale_pairs]
        for each, scales in zip(self.cross_scale_pairs, pairs, strict=True):
            known = [self.scales[scale] for scale in scales if scale in self.scales]
            if len(known) < 2:
                raise ValueError(f"cross_scale_pairs: {each.name}; expected two of the scales {', '.join(self.scales)}")
            if pairs.count(scales) > 1:
                raise ValueError(f"cross_scale_pairs: {each.name} is there twice")
            if each.radius_m == 0 and any(scale.cube is not None for scale in known):
                raise ValueError(
                    f"cross_scale_pairs: {each.name} has a cube, which knows no place_id; expected radius_m above 0"
                )
        return self

    def image_places(self) -> list[str]:
        """Places of the images that are read, one for each stream."""
        names = [name for scale in self.scales.values() for name in (scale.shards, scale.cube) if name]
        return [str(self.path(name)) if "://" in str(self.path(name)) else name for name in names]

    def reads(self) -> list[str]:
        """Names of the artefacts that the job reads."""
        images = [name for scale in self.scales.values() for name in (scale.shards, scale.cube) if name]
        return list(dict.fromkeys([*images, *(name for name in (self.covariates, self.surveys) if name)]))

    def reads_files(self) -> list[str]:
        """Published weights of towers, location encoder and teacher."""
        found = weights_files([self.location, *(scale.tower for scale in self.scales.values())])
        return found if self.teacher is None else list(dict.fromkeys([*found, self.teacher]))
