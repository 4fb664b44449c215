"""Precomputed embeddings as data: which model, version and year values come from, so that they are never mixed.

Vectors of two versions of a model lie in different spaces, and those of two years describe two states of a place. So
every artefact with such values says where they come from: a covariate store in its attributes, surveys in the metadata
of their table, a species model in its `config.yaml`.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from sdm_ray.errors import InputError

GEOEMB = {
    "uuid": "61c12cc5-0e28-4056-999a-480cf3fb7e4c",
    "name": "geoemb:",
    "schema_url": (
        "https://raw.githubusercontent.com/geo-embeddings/embeddings-zarr-convention/refs/tags/v1/schema.json"
    ),
    "spec_url": "https://github.com/geo-embeddings/embeddings-zarr-convention/blob/v1/README.md",
    "description": "Geoembeddings convention for geospatial embedding arrays with model provenance",
}
"""How a Zarr group declares the convention in `zarr_conventions`."""


class EmbeddingSource(BaseModel):
    """The embedding that some covariates are components of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """Such as `alphaearth`; it stands for all its covariates where covariates are named."""
    version: str
    year: int | None
    """That the embedding describes; None where each survey has that of a year of its own."""
    covariates: tuple[str, ...]
    """Names of its components, in order."""

    def __str__(self) -> str:
        return f"{self.name} {self.version} of {self.year if self.year is not None else 'the year of each survey'}"

    def among(self, names: Iterable[str]) -> bool:
        """Whether some covariates hold a component of it."""
        return not set(self.covariates).isdisjoint(names)

    def fits(self, other: "EmbeddingSource") -> bool:
        """Whether a model trained on this one may be given the other: what was trained on many years takes any."""
        return self.version == other.version and self.year in (None, other.year)


def expanded(names: Iterable[str], sources: Sequence[EmbeddingSource]) -> list[str]:
    """Names of covariates, with the name of an embedding standing for all its components."""
    known = {each.name: each.covariates for each in sources}
    return [each for name in names for each in known.get(name, (name,))]


def require_one_of_each(sources: Iterable[EmbeddingSource], where: str) -> list[EmbeddingSource]:
    """The distinct sources, of which no two are one embedding in two versions or years.

    Raises:
        InputError: two are.
    """
    found: dict[str, EmbeddingSource] = {}
    for each in sources:
        first = found.setdefault(each.name, each)
        if (first.version, first.year) != (each.version, each.year):
            raise InputError(f"{where}: holds {first} and {each}; expected one version and one year")
    return list(found.values())


def require_same(
    trained: Sequence[EmbeddingSource], given: Sequence[EmbeddingSource], where: object, reason: str = ""
) -> None:
    """Refuse covariates of another version or year than a model was trained on.

    Args:
        trained: what the model's covariates are components of.
        given: what the covariates it is given are components of.
        where: the place of these, for messages.
        reason: who needs them, likewise.

    Raises:
        InputError: an embedding differs, or the covariates of its names come from none.
    """
    for wanted in trained:
        found = [each for each in given if each.among(wanted.covariates)]
        for each in found:
            if each.name != wanted.name or not wanted.fits(each):
                raise InputError(f"{where}: holds {each}; expected {wanted}{reason}")
        if not found:
            raise InputError(
                f"{where}: does not say which embedding its covariates come from; expected {wanted}{reason}"
            )


def to_attributes(sources: Sequence[EmbeddingSource]) -> list[dict[str, Any]]:
    """The sources as attributes of a Zarr group or keys of YAML."""
    return [each.model_dump(mode="json") for each in sources]


def from_attributes(found: Any) -> list[EmbeddingSource]:  # noqa: ANN401 - of JSON
    """The sources of such attributes; none of None."""
    return [EmbeddingSource.model_validate(each) for each in found or ()]


def to_text(sources: Sequence[EmbeddingSource]) -> str:
    """The sources as metadata of a Parquet file."""
    return json.dumps(to_attributes(sources))


def from_text(text: str | None) -> list[EmbeddingSource]:
    """The sources of such metadata."""
    return from_attributes(json.loads(text)) if text else []


def component_names(name: str, count: int) -> tuple[str, ...]:
    """Names of the covariates that the components of an embedding become: those of its publisher, or numbered."""
    if name == "alphaearth":
        return tuple(f"A{number:02d}" for number in range(count))
    return tuple(f"{name}_{number:03d}" for number in range(count))
