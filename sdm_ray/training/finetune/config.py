"""What `finetune` is configured by. Light: imports neither torch nor Ray."""

import copy
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, field_validator, model_validator

from sdm_ray.baselines.config import RIDGES, TreesConfig
from sdm_ray.config import Config, JobConfig, load, note_old_key
from sdm_ray.geo.blocks import Blocks
from sdm_ray.models.config import CalibrationKind, Scale, SpeciesConfig, weights_files
from sdm_ray.stores.holdout_config import HeldOutBlocks
from sdm_ray.streams.config import Mixing
from sdm_ray.training.engine.config import OptimConfig, WorkersConfig


class PresenceConfig(Config):
    """How presences and absences teach a species model."""

    loss: Literal["bce", "assume_negative", "max_entropy", "asymmetric"] = "bce"
    """`bce`: absences as they stand; `asymmetric`: easy absences count little; for presence-only records
    `assume_negative`, what was not recorded is absent (SINR), and `max_entropy`, each species' distribution over
    sites."""
    background: Literal["uniform", "target_group"] | None = None
    """Places that stand for all places, of the presence-only losses: `uniform` over the covariates' cells, or those of
    the surveys of any species, which share their sampling bias (`target_group`)."""
    places: PositiveInt = 50_000
    """Most uniform background places."""
    balance: Literal["none", "equal"] = "none"
    """`equal`: a species' presences together weigh as much as its absences; of `bce`."""
    positive_weight: PositiveFloat = 1.0
    """Of a presence, of `assume_negative`; SINR takes 2048 for 47,375 species."""
    thin_m: float | None = Field(None, gt=0)
    """Of surveys with the same species in one square of so many metres one is trained on."""

    @model_validator(mode="after")
    def _fits_the_loss(self) -> Self:
        needed = self.loss in ("assume_negative", "max_entropy")
        if needed != (self.background is not None):
            found = "none" if self.background is None else self.background
            raise ValueError(f"background: {found}, of loss {self.loss}; it is of assume_negative and max_entropy")
        if self.balance != "none" and self.loss != "bce":
            raise ValueError(f"balance: {self.balance} is of the loss bce, found {self.loss}")
        return self


class CompanionConfig(TreesConfig):
    """A random forest on what the network knows of coordinates and covariates: it teaches, and it votes.

    It is grown anew for each fold (see `training.forest`).
    """

    old_keys: ClassVar = {"teach": "distillation_weight", "vote": "ensemble_weight"}

    trees: int = Field(100, ge=50)
    distillation_weight: float = Field(0.5, ge=0, le=1)
    """Share of the forest in what the network learns; the rest is of the labels."""
    ensemble_weight: float = Field(0.5, ge=0, lt=1)
    """Share of the forest in the logits of the model; where covariates are unknown the network answers alone."""

    @model_validator(mode="after")
    def _has_a_part(self) -> Self:
        if self.distillation_weight == self.ensemble_weight == 0:
            raise ValueError(
                "distillation_weight, ensemble_weight: both are 0; expected one above 0, or `forest: null`"
            )
        return self


class ProbeConfig(Config):
    """A logistic regression for each species in place of training by steps, presences weighing as much as absences.

    It goes by what the encoders of the inputs give as they are, and by the covariates: z is all of it side by side.
    """

    ridge: tuple[PositiveFloat, ...] = Field(RIDGES, min_length=1)
    """Penalties to choose from for each species, by parts of the surveys."""


class ShardsConfig(Config):
    """Images of one scale out of image shards, as far as surveys have any."""

    shards: str = "shards"
    """Image shards that hold the scale."""
    size: int = Field(64, ge=8)
    """Side of an image, pixels."""
    within_m: float | None = Field(None, ge=0)
    """Images of the nearest place at most so far off; by default a survey's own, known by its id, as the patches of
    GeoLifeCLEF are."""


class WindowsConfig(Config):
    """Windows of a tile cube, one around each survey."""

    cube: str = "cube.zarr"
    bands: tuple[str, ...] = ()
    """Names of the cube's bands, in the order of the tower's; by default all of them."""
    season: str | None = None
    """Name of the cube's composite; by default its first."""
    size: int = Field(64, ge=8)
    """Side of a window, pixels."""


class FinetuneConfig(JobConfig):
    """`finetune`: train the species model on surveys."""

    output: str = "model"
    surveys: str = "surveys.parquet"
    covariates: str | None = None
    """Covariate store; all its covariates unless `model.covariates` names some."""
    max_unknown: float = Field(0.5, ge=0, le=1)
    """Share of the surveys at which a covariate may be unknown; above it the job fails."""
    cube: WindowsConfig | None = None
    """Windows of a tile cube for the model's satellite tower; its path alone takes the other settings' defaults."""
    images: dict[Scale, ShardsConfig] = Field(default_factory=dict)
    """Patches and photos of the surveys for the model's towers, each of which may have none, one or several; satellite
    patches may come from a `cube` instead."""
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
    forest: CompanionConfig | None = None
    """A random forest that teaches the network and votes beside it, of the loss `bce`."""
    probe: ProbeConfig | None = None
    """Fit the head alone, on frozen inputs: where labels are few. `model.fusion` is then `none`, and what else a fusion
    is made of does not count."""
    model: SpeciesConfig = SpeciesConfig()
    blocks: HeldOutBlocks = Blocks()
    countries: str | None = None
    """Land store: leave whole countries out instead of blocks; `blocks` gives seed, folds and shares, and `buffer_m` is
    the distance from a country left out within which no survey is trained on."""
    crossfit: bool = True
    """One model for each fold that never saw its blocks, then one refitted on everything; otherwise one model that
    leaves out the `validation` and `calibrate` blocks."""
    calibration: CalibrationKind | None = None
    """What makes probabilities of logits, fitted on the `calibrate` blocks: `platt`, a scale and a shift of each
    species; `isotonic`, after them a rising curve for each class of prevalence; `temperature`, one scale for all;
    `none`. By default `platt`, of classes `temperature`."""
    patience: PositiveInt | None = 5
    """Epochs without a better AUC on the `validation` blocks until training stops."""
    optim: OptimConfig = OptimConfig(lr=2e-3, epochs=25, batch=1024)
    workers: WorkersConfig = Field(default=WorkersConfig(), exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _settings_of_the_cube(cls, values: Any) -> Any:  # noqa: ANN401 - any YAML value
        """Take a path for `cube`, and `bands`, `season` and `size` beside it, as former releases had them."""
        if not isinstance(values, dict):
            return values
        cube = {"cube": values["cube"]} if isinstance(values.get("cube"), str) else values.get("cube")
        beside = {key: values[key] for key in ("bands", "season", "size") if key in values}
        if isinstance(cube, dict):
            for key in beside:
                if key in cube:
                    raise ValueError(f"{key}: is the old name of cube.{key}, which is given as well")
                note_old_key(key, f"cube.{key}")
            cube = {**cube, **beside}
        return {key: value for key, value in values.items() if key not in beside} | ({"cube": cube} if cube else {})

    @model_validator(mode="after")
    def _inputs_fit_model(self) -> Self:
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
        if (self.series or self.images) and self.presence.background == "uniform":
            raise ValueError("presence.background: uniform places have no `series` or `images`; expected target_group")
        if self.freeze and self.encoder is None:
            raise ValueError("freeze: there is no `encoder`")
        if self.start is not None and self.encoder is not None:
            raise ValueError("start: holds an encoder already; expected `start` or `encoder`")
        if self.model.output == "class" and self.presence != PresenceConfig(thin_m=self.presence.thin_m):
            raise ValueError("presence: is of species; classes are told apart by their cross-entropy")
        if self.forest is not None and (self.model.output == "class" or self.presence.loss != "bce"):
            found = "classes" if self.model.output == "class" else self.presence.loss
            raise ValueError(f"forest: is of species and the loss bce, found {found}")
        if self.forest is not None and self.model.location is None and self.covariates is None:
            raise ValueError("forest: goes by coordinates and covariates, and the model has neither")
        if self.probe is not None:
            self._check_probe()
        if self.model.output == "class" and self.calibration in ("platt", "isotonic"):
            raise ValueError(f"calibration: {self.calibration} is of species; of classes expected temperature or none")
        if self.presence.background == "uniform" and self.covariates is None:
            raise ValueError("presence.background: uniform draws cells of `covariates`, which names no store")
        return self

    def _check_probe(self) -> None:
        found = "classes" if self.model.output == "class" else self.presence.loss
        if found != "bce":
            raise ValueError(f"probe: is of species and the loss bce, found {found}")
        if self.forest is not None:
            raise ValueError("probe: goes without a forest; expected `forest: null`")
        if self.start is not None:
            raise ValueError("probe: keeps nothing of a model to start from; expected an `encoder`")

    @property
    def goal(self) -> str:
        """The figure on the `validation` blocks that is to be high."""
        return "log_likelihood" if self.model.output == "class" else "auc"

    def reads(self) -> list[str]:
        """Names of the artefacts that the job reads."""
        cube = None if self.cube is None else self.cube.cube
        names = (self.surveys, self.covariates, cube, self.series, self.encoder, self.start, self.countries)
        shards = dict.fromkeys(each.shards for each in self.images.values())
        return [*(name for name in names if name), *shards]

    def reads_files(self) -> list[str]:
        """Published weights of towers and of what encodes a location."""
        return weights_files([self.model.location, *self.model.frozen_location_features, *self.model.towers.values()])


class OverFinetune(JobConfig):
    """A job over variants of one configuration of `finetune`."""

    finetune: dict[str, Any]
    """A configuration of `finetune`, or the path of its file."""

    @field_validator("finetune", mode="before")
    @classmethod
    def _from_file(cls, value: Any) -> Any:  # noqa: ANN401 - any YAML value
        if not isinstance(value, str):
            return value
        found = load(value, FinetuneConfig)
        values = found.model_dump(mode="json", exclude={"run_dir", "output", "tracking"}, exclude_unset=True)
        return {**values, "workers": found.workers.model_dump(mode="json", exclude_unset=True)}

    def candidate(self, chosen: Mapping[str, Any]) -> FinetuneConfig:
        """The configuration with some dotted keys set.

        Raises:
            ValueError: a key is unknown or a value does not fit it.
        """
        values = copy.deepcopy(self.finetune) | {"run_dir": self.run_dir, "seed": self.finetune.get("seed", self.seed)}
        for key, value in chosen.items():
            *outer, last = key.split(".")
            place = values
            for name in outer:
                place = place.setdefault(name, {})
                if not isinstance(place, dict):
                    raise ValueError(f"{key}: {name} holds a single value")
            place[last] = value
        try:
            return FinetuneConfig.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"finetune with {dict(chosen)}: {where}: {first['msg']}") from None

    def reads(self) -> list[str]:
        """Names of the artefacts that the job reads."""
        return self.candidate({}).reads()

    def reads_files(self) -> list[str]:
        """Published weights that the variants start from."""
        return self.candidate({}).reads_files()
