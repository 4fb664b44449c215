"""What `tune` is configured by. Light: imports neither torch nor Ray."""

import copy
from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, PositiveInt, ValidationError, field_validator, model_validator

from sdm_ray.config import Config, JobConfig, load
from sdm_ray.training.species_config import FinetuneConfig


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


class TuneConfig(JobConfig):
    """`tune`: search settings of `finetune` for the best AUC on the `select` blocks of one fold."""

    output: str = "tune"
    finetune: dict[str, Any]
    """A configuration of `finetune`, or the path of its file."""
    space: dict[str, Range | list[Any]] = Field(min_length=1)
    """Dotted key of `finetune` -> range, or list of choices."""
    trials: PositiveInt = 16
    concurrent: PositiveInt = 2
    """Trials at once."""
    cpus: float = Field(0.5, gt=0)
    """CPUs of a trial."""
    gpus: float = Field(0.0, ge=0)
    """GPUs of a trial; a fraction lets several share one."""
    fold: int = Field(0, ge=0)
    grace_epochs: PositiveInt = 2
    """Epochs that every trial gets before ASHA may stop it."""
    reduction: int = Field(3, ge=2)
    """ASHA keeps one of so many trials at each of its levels."""

    @field_validator("finetune", mode="before")
    @classmethod
    def _from_file(cls, value: Any) -> Any:  # noqa: ANN401 - any YAML value
        if not isinstance(value, str):
            return value
        found = load(value, FinetuneConfig)
        values = found.model_dump(mode="json", exclude={"run_dir", "output", "tracking"}, exclude_unset=True)
        return {**values, "workers": found.workers.model_dump(mode="json", exclude_unset=True)}

    @model_validator(mode="after")
    def _space_fits(self) -> Self:
        base = self.candidate({})
        if self.fold >= base.blocks.folds:
            raise ValueError(f"fold: {self.fold}, but finetune.blocks has folds 0 to {base.blocks.folds - 1}")
        for key, choices in self.space.items():
            for value in choices.ends() if isinstance(choices, Range) else choices:
                self.candidate({key: value})
        return self

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
                    raise ValueError(f"space.{key}: {name} holds a single value")
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
