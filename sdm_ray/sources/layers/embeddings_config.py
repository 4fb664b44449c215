"""Tiles of precomputed embeddings as covariates. Light: configuration imports it."""

import re
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from sdm_ray.config import Config
from sdm_ray.input_paths import resolved
from sdm_ray.sources.layers.gdal_names import expanded

Form = Literal["cog", "geotessera", "geoemb"]
_FORMS: dict[str, Form] = {"alphaearth": "cog", "tessera": "geotessera"}
_CITATIONS = {
    "alphaearth": "The AlphaEarth Foundations Satellite Embedding dataset is produced by Google and Google DeepMind"
    " (CC BY 4.0)",
    "tessera": "TESSERA embeddings (Feng et al. 2025)",
}


class EmbeddingTiles(Config):
    """A precomputed embedding as tiles: each component becomes a covariate, the mean of a cell's pixels.

    Cells of less than two pixels take the pixel at their centre. The mean of AlphaEarth is brought to length 1 again,
    as in the overviews of its files.
    """

    name: str = Field(pattern="^[a-z][a-z0-9_]*$")
    """`alphaearth`, `tessera`, or another name of an embedding in a Zarr group; where covariates are named, it stands
    for all components."""
    tiles: str | list[str]
    """AlphaEarth: GeoTIFFs as they are published, by path, URL or pattern (`annual/2021/*/*.tiff`). TESSERA: the folder
    that `geotessera download --format npy` fills. Others: a Zarr group with the attributes of the `geoemb:` convention,
    such as what `embed` writes."""
    form: Form | None = None
    """`cog`, `geotessera` or `geoemb`; by default that of the name."""
    year: int | None = Field(default=None, ge=1900, le=2200)
    """That the embeddings describe; by default the one in the paths of the tiles."""
    version: str | None = None
    """Of the embedding model; by default `v1`, of a Zarr group its `geoemb:model`."""

    @field_validator("tiles")
    @classmethod
    def _resolve(cls, tiles: str | list[str]) -> str | list[str]:
        return resolved(tiles) if isinstance(tiles, str) else [resolved(each) for each in tiles]

    @model_validator(mode="after")
    def _one_folder(self) -> "EmbeddingTiles":
        if self.format != "cog" and isinstance(self.tiles, list):
            raise ValueError(f"tiles: expected one folder of {self.name}, found a list")
        return self

    @property
    def format(self) -> Form:
        """How the tiles are stored."""
        return self.form or _FORMS.get(self.name, "geoemb")

    def places(self) -> list[str]:
        """Files, or the one folder."""
        given = [self.tiles] if isinstance(self.tiles, str) else self.tiles
        return [name for each in given for name in expanded(each)]

    def years(self) -> set[int]:
        """Years in the paths of the tiles: of AlphaEarth's folders `2021/32N`, of TESSERA's `2024/grid_0.15_52.05`."""
        found = set()
        for place in self.places() if self.format == "cog" else []:
            parts = PurePosixPath(place.replace("\\", "/")).parts
            found |= {int(parts[-3])} if len(parts) > 2 and re.fullmatch(r"(19|20)\d\d", parts[-3]) else set()
        return found

    def cite(self) -> str:
        """The source and its licence, of those that are known."""
        return _CITATIONS.get(self.name, "")

    def shaping(self) -> dict[str, Any]:
        """What of it determines the covariates: where the tiles lie does not matter."""
        return self.model_dump(mode="json", exclude={"tiles"})
