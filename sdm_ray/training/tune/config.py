"""What `tune` is configured by. Light: imports neither torch nor Ray."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, PositiveInt, model_validator

from sdm_ray.config import Config
from sdm_ray.geo.blocks import Blocks
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.variants_config import FinetuneVariants


class Range(Config):
    """Numbers between two ends."""

    low: float
    high: float
    log: bool = False
    whole: bool = False
    """Whether only whole numbers count."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"low must be below high (and above 0 for log), found {self.low} and {self.high}")
        return self

    def ends(self) -> list[float]:
        """Both ends."""
        return [int(self.low), int(self.high)] if self.whole else [self.low, self.high]


class TuneConfig(FinetuneVariants):
    """`tune`: search settings of `finetune` for the highest AUC, or likelihood of classes, on `validation` blocks."""

    output: str = "tune"
    space: dict[str, Range | list[Any]] = Field(min_length=1)
    """Dotted key of `finetune` -> range, or list of choices."""
    trials: PositiveInt = 16
    concurrent: PositiveInt = 2
    """Trials at once."""
    ranks: PositiveInt = 1
    """Ranks of a trial; several train it together as a Ray Train run, where one GPU is too small or too slow."""
    cpus: float = Field(0.5, gt=0)
    """CPUs of a rank."""
    gpus: float = Field(0.0, ge=0)
    """GPUs of a rank; a fraction lets several share one."""
    folds: tuple[int, ...] = Field((0,), min_length=1)
    """What each trial trains side by side, an epoch of each in turn; what counts is the mean of their best epochs."""
    grace_epochs: PositiveInt = 1
    """Epochs that every trial gets before ASHA may stop it."""
    reduction: int = Field(4, ge=2)
    """ASHA lets one of so many trials go on after the epochs of grace, and again whenever epochs have doubled."""

    @model_validator(mode="after")
    def _space_fits(self) -> Self:
        base = self.candidate({})
        folds = (base.blocks or Blocks()).folds
        wrong = [fold for fold in self.folds if not 0 <= fold < folds]
        if wrong or len(set(self.folds)) < len(self.folds):
            found = list(self.folds)
            raise ValueError(f"folds: {found}; expected some of finetune.blocks' 0 to {folds - 1}, each once")
        if base.probe is not None:
            raise ValueError("finetune.probe: has no epochs that a sweep could stop; expected `probe: null`")
        for key, choices in self.space.items():
            for value in choices.ends() if isinstance(choices, Range) else choices:
                self.candidate({key: value})
        return self

    def trial(self, chosen: Mapping[str, Any]) -> FinetuneConfig:
        """The configuration of a trial, which is judged on the `validation` blocks."""
        return self.trained(chosen).model_copy(update={"pooled": False})
