"""A job over variants of one configuration of `finetune`. Light: imports neither torch nor Ray."""

import copy
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError, field_validator

from sdm_ray.config import JobConfig, load
from sdm_ray.input_paths import existing
from sdm_ray.training.finetune.config import FinetuneConfig


class FinetuneVariants(JobConfig):
    """A job over variants of one configuration of `finetune`."""

    finetune: dict[str, Any]
    """A configuration of `finetune`, or the path of its file. Of its `workers` what concerns the steps applies (`tf32`,
    `compile` and the like); images are read by threads, whatever `readers` says."""

    @field_validator("finetune", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:  # noqa: ANN401 - any YAML value
        """The values as YAML, with paths that do not depend on where this file lies."""
        try:
            found = load(existing(value), FinetuneConfig) if isinstance(value, str) else FinetuneConfig(**value)
        except (ValidationError, TypeError):
            return value  # `candidate` says what is wrong
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

    def trained(self, chosen: Mapping[str, Any]) -> FinetuneConfig:
        """As `candidate`, where threads of the training read images, whatever `workers.readers` of `finetune` says.

        Trainings take the CPUs of the cluster, and no check leaves some to Ray Data.
        """
        found = self.candidate(chosen)
        return found.model_copy(update={"workers": found.workers.model_copy(update={"readers": 0})})

    def reads(self) -> list[str]:
        """Names of the artefacts that the job reads."""
        return self.candidate({}).reads()

    def reads_files(self) -> list[str]:
        """Published weights that the variants start from."""
        return self.candidate({}).reads_files()
