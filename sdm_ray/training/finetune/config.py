"""What `finetune` is configured by. Light: imports neither torch nor Ray."""

from typing import Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from sdm_ray.config import JobConfig, note_old_key
from sdm_ray.models.config import CalibrationKind, Scale, SpeciesConfig, weights_files
from sdm_ray.stores.holdout_config import HeldOutBlocks
from sdm_ray.streams.config import Mixing
from sdm_ray.training.engine.config import OptimConfig, WorkersConfig
from sdm_ray.training.finetune.head_config import SOFT, EnsembleConfig, ProbeConfig
from sdm_ray.training.finetune.inputs_config import NearbyConfig, ShardsConfig, WindowsConfig
from sdm_ray.training.finetune.presence_config import PresenceConfig


class FinetuneOptim(OptimConfig):
    """AdamW with a linear warm-up and a cosine to zero, with a batch and epochs that follow the data."""

    lr: float = Field(2e-3, gt=0)
    epochs: PositiveInt | None = None  # type: ignore[assignment]
    """By default 25; more, up to 100, where an epoch has few steps, until there are 1,000 steps."""
    batch: PositiveInt | None = None  # type: ignore[assignment]
    """Rows of a step over all ranks together; by default from 32 to 1,024, for some 40 steps an epoch."""


class FinetuneConfig(JobConfig):
    """`finetune`: train the species model on surveys."""

    output: str = "model"
    surveys: str = "surveys.parquet"
    covariates: str | None = None
    """Covariate store; all its covariates unless `model.covariates` names some."""
    survey_covariates: list[str] = Field(default=[])
    """Covariates that the surveys' table carries (`columns.covariates` and `columns.classes` of `prepare`), by name.
    They are known at surveys and at places given with the same columns; a map needs them in its covariate store."""
    max_unknown: float = Field(0.5, ge=0, le=1)
    """Share of the surveys at which a covariate may be unknown; above it the job fails."""
    cube: WindowsConfig | None = None
    """Windows of a tile cube for the model's satellite tower; its path alone takes the other settings' defaults."""
    images: dict[Scale, ShardsConfig] = Field(default_factory=dict)
    """Patches and photos of the surveys for the model's towers, each of which may have none, one or several; satellite
    patches may come from a `cube` instead."""
    nearby_images: NearbyConfig | None = None
    """What the images around a place look like, as features of every place, on maps too."""
    series: str | None = None
    """Time series of the surveys for the model's encoders, a row by survey id."""
    mixing: Mixing = Mixing()
    encoder: str | None = None
    """Encoder of `pretrain` to start from."""
    freeze: bool = False
    """Whether what the encoder gave stays as it is."""
    start: str | None = None
    """Model of `finetune` to start from, such as one of presence-only records; species meet by name."""
    presence: PresenceConfig = PresenceConfig()
    forest: EnsembleConfig | None = None
    """A random forest whose predictions the network learns from, and that is averaged with it. By default there is one
    for presence-only surveys (`relative`) with the loss `bce`, and none otherwise."""
    probe: ProbeConfig | None = None
    """Fit the head alone, on frozen inputs: where labels are few. `model.fusion` is then `none`, and what else a fusion
    is made of does not count."""
    model: SpeciesConfig = SpeciesConfig()
    blocks: HeldOutBlocks | None = None
    """How places are held out. By default the blocks of `encoder` or `start`; else squares of the largest side from
    100 km down to 1 km of which at least 100 hold surveys (fewer where there are under 1,000 surveys), in five folds,
    with a buffer as wide as windows of a `cube` reach."""
    countries: str | None = None
    """Land store: leave whole countries out instead of blocks; `blocks` gives seed, folds and shares, and `buffer_m` is
    the distance from a country left out within which no survey is trained on."""
    pooled: bool | None = None
    """Of a cross-fitted model: choose the number of epochs, and calibrate each fold, by what the models of the other
    folds predict for their own held-out surveys, and train on the `validation` and `calibrate` blocks too. By default
    where these blocks hold fewer than 200 surveys in some fold."""
    crossfit: bool = True
    """One model for each fold that never saw its blocks, then one refitted on everything; otherwise one model that
    leaves out the `validation` and `calibrate` blocks."""
    calibration: CalibrationKind | None = None
    """What makes probabilities of logits, fitted on the `calibrate` blocks: `platt`, a scale and a shift of each
    species; `isotonic`, after them a rising curve for each class of prevalence; `temperature`, one scale for all;
    `none`. By default `platt`, of classes `temperature`."""
    patience: PositiveInt | None = 5
    """Epochs without a better AUC on the `validation` blocks until training stops."""
    validation_inputs: Literal["surveys", "map"] = "surveys"
    """What the epoch is chosen by: predictions from all that surveys have, or from what a map may have, which is
    neither photos, patches of image shards nor series. Figures of both are reported (`map_auc`)."""
    optim: FinetuneOptim = FinetuneOptim()
    workers: WorkersConfig = Field(default=WorkersConfig(), exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _settings_of_the_cube(cls, values: Any) -> Any:  # noqa: ANN401 - any YAML value
        """Take a path for `cube`, and `bands`, `season` and `size` at the top level, as former releases had them."""
        if not isinstance(values, dict):
            return values
        cube = {"cube": values["cube"]} if isinstance(values.get("cube"), str) else values.get("cube")
        outer = {key: values[key] for key in ("bands", "season", "size") if key in values}
        if isinstance(cube, dict):
            for key in outer:
                if key in cube:
                    raise ValueError(f"{key}: is the old name of cube.{key}, which is given as well")
                note_old_key(key, f"cube.{key}")
            cube = {**cube, **outer}
        return {key: value for key, value in values.items() if key not in outer} | ({"cube": cube} if cube else {})

    @model_validator(mode="after")
    def _inputs_fit_model(self) -> Self:
        model = self.model
        if not (model.location or model.towers or self.nearby_images or model.series or self.has_covariates):
            raise ValueError("model: has no input; expected `location`, images of some scale, `covariates` or `series`")
        if self.model.covariates and self.covariates is None:
            raise ValueError("model.covariates: names covariates, and `covariates` names no store")
        if self.cube is not None and "satellite" in self.images:
            raise ValueError("images.satellite: there is a `cube`; expected one source of satellite images")
        given = {*self.images, *(["satellite"] if self.cube else [])}
        for scale in sorted(given ^ set(self.model.towers)):
            wanted = "`cube` or `images.satellite`" if scale == "satellite" else f"`images.{scale}`"
            raise ValueError(f"model.{scale}: a model with this tower needs {wanted}, and only such a model")
        if (self.model.series is None) != (self.series is None):
            raise ValueError("series: a model with `series` needs a store, and only such a model")
        if (self.series or self.images) and self.presence.background in ("uniform", "table"):
            found = "places of a table" if self.presence.background == "table" else "uniform places"
            raise ValueError(f"presence.background: {found} have no `series` or `images`; expected target_group")
        if self.validation_inputs == "map" and not (self.series or self.images):
            raise ValueError("validation_inputs: the model has no `images` or `series` that a map lacks")
        if self.freeze and self.encoder is None:
            raise ValueError("freeze: there is no `encoder`")
        if self.start is not None and self.encoder is not None:
            raise ValueError("start: holds an encoder already; expected `start` or `encoder`")
        if self.start is not None and self.nearby_images is not None:
            raise ValueError("start: learnt from other features of images than these; expected no `nearby_images`")
        if self.model.output == "class" and self.presence != PresenceConfig(thin_m=self.presence.thin_m):
            raise ValueError("presence: applies to species; classes are learnt by their cross-entropy")
        if self.forest is not None:
            self._check_forest(self.forest)
        if self.probe is not None:
            self._check_probe()
        if self.model.output == "class" and self.calibration in ("platt", "isotonic"):
            raise ValueError(
                f"calibration: {self.calibration} applies to species; expected temperature or none for classes"
            )
        if self.presence.background == "uniform" and self.covariates is None:
            raise ValueError("presence.background: uniform draws cells of `covariates`, which names no store")
        if self.presence.background == "uniform" and self.survey_covariates:
            raise ValueError(
                "presence.background: uniform places have no `survey_covariates`; expected a table of both"
            )
        if self.workers.accumulate > 1 and self.presence.background is not None:
            raise ValueError("workers.accumulate: of a background a loss needs all rows at once; expected 1")
        if self.pooled and not self.crossfit:
            raise ValueError("pooled: needs the models of several folds; expected `crossfit: true`")
        return self

    def _check_forest(self, forest: EnsembleConfig) -> None:
        if self.model.output == "class":
            raise ValueError("forest: predicts species, found `model.output: class`; expected `forest: null`")
        if self.model.location is None and not self.has_covariates:
            raise ValueError("forest: goes by coordinates and covariates, and the model has neither")
        weight = forest.distillation(self.presence.loss)
        if weight and self.presence.loss not in SOFT:
            raise ValueError(
                f"forest.distillation_weight: the loss {self.presence.loss} learns from labels of 0 and 1 alone;"
                " expected 0"
            )
        if weight == forest.ensemble_weight == 0:
            raise ValueError(
                "forest.distillation_weight, ensemble_weight: both are 0; expected one above 0, or `forest: null`"
            )

    def _check_probe(self) -> None:
        found = "classes" if self.model.output == "class" else self.presence.loss
        if found != "bce":
            raise ValueError(f"probe: needs species and the loss bce, found {found}")
        if self.forest is not None:
            raise ValueError("probe: goes without a forest; expected `forest: null`")
        if self.start is not None:
            raise ValueError("probe: keeps nothing of a model to start from; expected an `encoder`")

    @property
    def has_covariates(self) -> bool:
        """Whether the model has covariates, of a store or of the surveys' table."""
        return self.covariates is not None or bool(self.survey_covariates)

    @property
    def goal(self) -> str:
        """The figure on the `validation` blocks that is to be high."""
        figure = "log_likelihood" if self.model.output == "class" else "auc"
        return f"map_{figure}" if self.validation_inputs == "map" else figure

    def image_places(self) -> list[str]:
        """Places of the images that are read, one for each stream."""
        names = [*([self.cube.cube] if self.cube else []), *(each.shards for each in self.images.values())]
        return [str(self.path(name)) if "://" in str(self.path(name)) else name for name in names]

    def reads(self) -> list[str]:
        """Names of the artefacts that the job reads."""
        cube = None if self.cube is None else self.cube.cube
        names = (self.surveys, self.covariates, cube, self.series, self.encoder, self.start, self.countries)
        shards = [each.shards for each in self.images.values()]
        shards += [] if self.nearby_images is None else [self.nearby_images.shards]
        return list(dict.fromkeys([*(name for name in names if name), *shards]))

    def reads_files(self) -> list[str]:
        """Published weights of towers and of what encodes a location; the table and polygons of background places."""
        named = [name for name in (self.presence.table, self.presence.region) if name is not None]
        return named + weights_files(
            [self.model.location, *self.model.frozen_location_features, *self.model.towers.values()]
        )
