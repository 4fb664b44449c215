"""What `document` is configured by; imports nothing heavy."""

import csv
from importlib.resources import files

from pydantic import Field, field_validator

from sdm_ray.config import JobConfig


def element_ids() -> list[str]:
    """Identifiers of the elements of ODMAP, such as `o_concept_1`."""
    text = (files("sdm_ray.documentation") / "odmap_elements.csv").read_text()
    return [row["id"] for row in csv.DictReader(text.splitlines())]


class DocumentConfig(JobConfig):
    """`document`: the ODMAP table and the model card of a map, with an evaluation and with what its author adds."""

    output: str = "documentation"
    map: str = "map.zarr"
    evaluation: str | None = None
    """Artefact of `evaluate` that scored the model's cross-fitted map."""
    answers: dict[str, str] = Field(default={})
    """Identifier of an ODMAP element (`o_authorship_1`, `o_concept_1`, …) -> the author's text for it."""

    @field_validator("answers")
    @classmethod
    def _of_known_elements(cls, answers: dict[str, str]) -> dict[str, str]:
        known = element_ids()
        if unknown := [name for name in answers if name not in known]:
            raise ValueError(f"{unknown[0]} is no ODMAP element; expected identifiers such as {', '.join(known[1:4])}")
        return answers

    def reads(self) -> list[str]:
        """Names of the artefacts that the job reads."""
        return [name for name in (self.map, self.evaluation) if name is not None]
