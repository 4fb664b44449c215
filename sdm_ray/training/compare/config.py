"""What `compare` is configured by. Light: imports neither torch nor Ray."""

from typing import Any, ClassVar, Self

from pydantic import Field, PositiveInt, model_validator

from sdm_ray.baselines.config import BaselineConfig, baseline_files
from sdm_ray.config import Config, TaskConfig
from sdm_ray.geo.blocks import Blocks
from sdm_ray.models.config import Scale
from sdm_ray.training.engine.config import OptimConfig
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.variants_config import FinetuneVariants

_SHARED = ("run_dir", "surveys", "blocks", "countries")
"""Settings of `finetune` that no method may change: all ways are tested on the same surveys, which none trains on."""


class FewConfig(Config):
    """Training on few occurrences of each species, where nothing is left to choose by."""

    old_keys: ClassVar = {"rich": "n_common_species"}

    background: PositiveInt = 2000
    """Surveys whose absences all species learn from."""
    optim: OptimConfig = OptimConfig(lr=1e-3, epochs=40, batch=256, ema=0.99)
    n_common_species: int = Field(0, ge=0)
    """So many of the commonest species are no rare ones: they count in no score."""


class CompareConfig(FinetuneVariants):
    """`compare`: ways to train a species model, and baselines, on all and on few occurrences of the same folds."""

    old_keys: ClassVar = {"rivals": "baselines"}

    output: str = "comparison"
    methods: dict[str, dict[str, Any]] = Field(min_length=1)
    """Label -> dotted keys of `finetune` that it changes; the first is set against all others. `surveys`, `blocks` and
    `countries` are those of `finetune` for all; where it names no blocks, those that it would choose.
    `pooled` does not apply: every training stops by the `validation` surveys of its fold, however few."""
    baselines: dict[str, BaselineConfig] = Field(default_factory=dict)
    """Label -> baseline."""
    shots: tuple[PositiveInt | None, ...] = (1, 5, 10, 20, 50, None)
    """Occurrences of each species to learn from; null for all surveys."""
    few: FewConfig = FewConfig()
    transfer: tuple[str, ...] = ()
    """Methods that, with few occurrences, learn an embedding from the `few.n_common_species` commonest species of all
    training surveys, and fit each rare species on it."""
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)
    """Of the draws, the weights and the order."""
    folds: tuple[int, ...] = Field((0,), min_length=1)
    """Folds to train for and test on."""
    tested_with: Scale | None = None
    """Test only the surveys that have an image of this scale (or are near one), by the first method that has any; all
    methods train on all surveys."""
    years_until: int | None = None
    """Hold out periods instead of blocks: fold 0 tests surveys after this year by what learnt from the others, fold 1
    the other way round; with scores and changes of occupancy by species."""
    min_positives: PositiveInt = 10
    """A species with fewer surveys in a fold's test blocks counts in no mean there."""
    resamples: int = Field(200, ge=2)
    """Resamples of blocks and seeds behind each interval."""
    compute: TaskConfig = Field(default=TaskConfig(), exclude=True)

    @model_validator(mode="after")
    def _methods_fit(self) -> Self:
        folds = (self.candidate({}).blocks or Blocks()).folds
        if wrong := [fold for fold in self.folds if not 0 <= fold < folds]:
            raise ValueError(f"folds: {wrong[0]}, but finetune.blocks has folds 0 to {folds - 1}")
        for label in self.methods:
            self._check_shared(label)
        if self.years_until is not None:
            self._check_periods()
        if self.candidate({}).model.output == "class" and set(self.shots) != {None}:
            raise ValueError("shots: few occurrences need species; with classes expected [null]")
        if both := set(self.methods) & set(self.baselines):
            raise ValueError(f"baselines: {both.pop()} is a method as well; expected labels of their own")
        if self.tested_with and not any(self.tested_with in self.method(label).images for label in self.methods):
            raise ValueError(f"tested_with: no method has `images.{self.tested_with}`")
        if unknown := set(self.transfer) - set(self.methods):
            raise ValueError(f"transfer: {unknown.pop()} is none of the methods")
        if self.transfer and not self.few.n_common_species:
            raise ValueError("transfer: needs few.n_common_species, how many species there are to borrow from")
        if self.baselines and not self.candidate({}).has_covariates:
            needing = [label for label, each in self.baselines.items() if each.features != "coordinates"]
            if needing:
                raise ValueError(f"baselines.{needing[0]}: asks for covariates, and `finetune` names no store")
        return self

    def _check_shared(self, label: str) -> None:
        base, own = self.candidate({}), self.method(label)
        if changed := [name for name in _SHARED if getattr(own, name) != getattr(base, name)]:
            raise ValueError(
                f"methods.{label}: changes {changed[0]}; expected that of `finetune` for all methods, so that none is"
                " trained on surveys that are tested"
            )

    def _check_periods(self) -> None:
        if wrong := [fold for fold in self.folds if fold > 1]:
            raise ValueError(
                f"folds: {wrong[0]}; of periods expected 0 (later surveys are tested), 1 (earlier), or both"
            )
        if set(self.shots) != {None}:
            raise ValueError("shots: of few occurrences no occupancy follows; with years_until expected [null]")
        if self.candidate({}).countries is not None:
            raise ValueError("years_until: holds out periods, and finetune.countries whole countries; expected one")
        for label in self.methods:
            own = self.method(label)
            if own.presence.background is not None:
                raise ValueError(
                    f"years_until: background places have no year; expected no presence.background, found in {label}"
                )
            if own.start is not None:
                raise ValueError(
                    f"years_until: the model {own.start} that {label} starts from holds out blocks, so that it learnt"
                    " from both periods; expected no `start`"
                )

    def method(self, label: str) -> FinetuneConfig:
        """What a method trains by."""
        return self.trained(self.methods[label])

    def reads(self) -> list[str]:
        """Names of the artefacts that the job reads."""
        return list(dict.fromkeys(name for label in self.methods for name in self.method(label).reads()))

    def reads_files(self) -> list[str]:
        """Published weights of methods and baselines."""
        named = [name for label in self.methods for name in self.method(label).reads_files()]
        return list(dict.fromkeys([*named, *baseline_files(self.baselines.values())]))
