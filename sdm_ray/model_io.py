"""Encoder and model folders: what is in their `config.yaml`, and how to get a model back."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar

import pandas as pd
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Blocks
from sdm_ray.geo.grid import Extent
from sdm_ray.models.config import AlignConfig, SpeciesConfig
from sdm_ray.models.contrastive_model import AlignmentModel
from sdm_ray.models.species_model import SpeciesModel
from sdm_ray.stores.embedding_sources import EmbeddingSource, to_attributes
from sdm_ray.stores.holdout_config import HeldOutBlocks
from sdm_ray.stores.weights import Header, Weights, load_weights, read_header

Pretraining = Literal["none", "inductive", "transductive"]
"""Whether an encoder was used, and whether it had seen the images of blocks held out from the model."""


@dataclass(frozen=True)
class Imagery:
    """The images that a tower was trained on.

    Attributes:
        bands: names of the bands, in the order of the channels; empty for photos.
        size: side, pixels.
        season: name of the cube's composite; None for its first.
    """

    bands: tuple[str, ...]
    size: int
    season: str | None = None


@dataclass(frozen=True)
class Photos:
    """The images of shards that a tower was trained on.

    Attributes:
        size: side, pixels.
        within_m: how far off the nearest place of an image might be; None for a survey's own.
    """

    size: int
    within_m: float | None = None


@dataclass(frozen=True)
class SpeciesFolder:
    """The description of a species model in its folder.

    Attributes:
        config: what the model is built from; `config.covariates` names its covariates in order.
        species: `species_id, name, gbif_key`, in the order of the outputs.
        probability_kind: what a probability is of.
        blocks: how places were held out.
        fold: the fold that this model never saw; None for one that saw all.
        folds: how many fold models lie under `folds/`.
        satellite: the windows of the satellite tower, where it has one for a cube.
        pretraining: whether an encoder was used, and whether it had seen held-out blocks.
        countries: whether whole countries were held out instead of blocks.
        photos: the images of each tower that was trained on image shards, by scale.
        region: west, south, east and north of the surveys that it was trained on, EPSG:3035 metres; None where a
            former release did not note it.
        forest: whether a random forest is part of the model.
        embeddings: the precomputed embeddings that some of its covariates are components of.
    """

    config: SpeciesConfig
    species: pd.DataFrame
    probability_kind: str
    blocks: Blocks
    fold: int | None
    folds: int
    satellite: Imagery | None
    pretraining: Pretraining
    countries: bool = False
    photos: dict[str, Photos] = field(default_factory=dict)
    region: Extent | None = None
    forest: bool = False
    embeddings: tuple[EmbeddingSource, ...] = ()


class _SpeciesYaml(BaseModel):
    """The keys of a model folder's `config.yaml`; see `SpeciesFolder`."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    kind: Literal["species"]
    model: SpeciesConfig
    probability_kind: str
    blocks: HeldOutBlocks
    fold: int | None
    folds: int
    countries: bool = False
    satellite: Imagery | None
    photos: dict[str, Photos] = {}
    pretraining: Pretraining
    region: Extent | None = None
    embeddings: tuple[EmbeddingSource, ...] = ()


class _EncoderYaml(BaseModel):
    """The keys of an encoder folder's `config.yaml`; see `LoadedEncoder`."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    kind: Literal["encoder"]
    model: AlignConfig
    images: dict[str, Imagery]
    blocks: HeldOutBlocks
    fold: int | None
    region: Extent | None = None


_Yaml = TypeVar("_Yaml", bound=BaseModel)


@dataclass(frozen=True)
class LoadedModel:
    """A species model ready to predict.

    Attributes:
        model: on the CPU, in evaluation mode.
        about: its description.
        metrics: the content of `metrics.json`.
    """

    model: SpeciesModel
    about: SpeciesFolder
    metrics: dict[str, Any]

    @property
    def config(self) -> SpeciesConfig:
        """What the model is built from."""
        return self.about.config

    @property
    def species(self) -> pd.DataFrame:
        """The species, in the order of the outputs."""
        return self.about.species

    @property
    def probability_kind(self) -> str:
        """What a probability is of."""
        return self.about.probability_kind


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder.

    Attributes:
        state: weights of the alignment model.
        config: what it is built from.
        images: what each scale's tower was trained on.
        blocks: how places were held out.
        fold: the fold that it never saw; None for the one of everything.
        region: extent of all places of the pretraining, EPSG:3035 metres; None where a former release did not note it.
    """

    state: dict[str, torch.Tensor]
    config: AlignConfig
    images: dict[str, Imagery]
    blocks: Blocks
    fold: int | None
    region: Extent | None = None

    def model(self) -> AlignmentModel:
        """The alignment model, in evaluation mode."""
        model = AlignmentModel(self.config)
        model.load_state_dict(self.state)
        return model.eval()


def describe_species(about: SpeciesFolder) -> dict[str, Any]:
    """The `config.yaml` of a model folder."""
    return {
        "kind": "species",
        "model": _without_origins(about.config),
        "probability_kind": about.probability_kind,
        "blocks": _plain(about.blocks),
        "fold": about.fold,
        "folds": about.folds,
        "countries": about.countries,
        "satellite": None if about.satellite is None else _plain(about.satellite),
        "photos": {scale: _plain(each) for scale, each in about.photos.items()},
        "pretraining": about.pretraining,
        "region": None if about.region is None else list(about.region),
        **({"embeddings": to_attributes(about.embeddings)} if about.embeddings else {}),
    }


def describe_encoder(encoder: LoadedEncoder) -> dict[str, Any]:
    """The `config.yaml` of an encoder folder."""
    return {
        "kind": "encoder",
        "model": _without_origins(encoder.config),
        "images": {scale: _plain(each) for scale, each in encoder.images.items()},
        "blocks": _plain(encoder.blocks),
        "fold": encoder.fold,
        "region": None if encoder.region is None else list(encoder.region),
    }


def _without_origins(config: AlignConfig | SpeciesConfig) -> dict[str, Any]:
    """What a model is built from, without the files that its parts started from: its own weights hold all."""
    found = config.model_dump(mode="json")
    towers = found["towers"] if isinstance(config, AlignConfig) else found
    for part in [
        found["location"],
        *found.get("frozen_location_features", ()),
        *(towers[scale] for scale in config.towers),
    ]:
        if part is not None:
            part["weights"] = None
    return found


def read_species_folder(path: UPath) -> SpeciesFolder:
    """The description of a species model, without its weights.

    Raises:
        InputError: a file is missing, of another version, or it is no model folder.
    """
    return _species_folder(path, read_header(path))


def load_species_model(path: UPath, fold: int | None = None) -> LoadedModel:
    """A species model from its folder, or one of its fold models.

    Raises:
        InputError: a file is missing, of another version, or the weights are not those of the model described.
    """
    place = path if fold is None else path / "folds" / str(fold)
    weights = load_weights(place)
    about = _species_folder(place, weights)
    model = SpeciesModel(about.config, len(about.species))
    _fill(model, weights, place)
    return LoadedModel(model.eval(), about, weights.metrics)


def load_encoder(path: UPath, fold: int | None = None) -> LoadedEncoder:
    """An encoder from its folder, or one of its folds.

    Raises:
        InputError: a file is missing, of another version, or it is no encoder folder.
    """
    place = path if fold is None else path / "folds" / str(fold)
    weights = load_weights(place)
    found = _described(place, weights, "encoder", _EncoderYaml)
    return LoadedEncoder(weights.state, found.model, found.images, found.blocks, found.fold, found.region)


def _species_folder(place: UPath, header: Header) -> SpeciesFolder:
    found = _described(place, header, "species", _SpeciesYaml)
    if header.species is None:
        raise InputError(f"{place / 'species.parquet'}: missing; the folder is no finished folder of weights")
    same = {name: getattr(found, name) for name in _SpeciesYaml.model_fields if name not in ("kind", "model")}
    forest = any(name.startswith("forest.") for name in header.parameters)
    return SpeciesFolder(config=found.model, species=header.species, forest=forest, **same)


def _fill(model: SpeciesModel, weights: Weights, place: UPath) -> None:
    count = weights.state.get("head.bias", torch.empty(0)).shape[0]
    if weights.species is not None and count != len(weights.species):
        raise InputError(
            f"{place}: model.safetensors holds {count} species, species.parquet has {len(weights.species)} rows"
        )
    try:
        model.load_state_dict(weights.state)
    except RuntimeError as error:
        line = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise InputError(f"{place}: the weights are not those of config.yaml ({line})") from None


def _described(place: UPath, header: Header, kind: str, keys: type[_Yaml]) -> _Yaml:
    """The content of `config.yaml`, checked.

    Raises:
        InputError: it describes weights of another kind, or a key is missing, unknown or of another type.
    """
    found = header.config.get("kind")
    if found != kind:
        raise InputError(f"{place}: holds weights of kind {found}, expected {kind}")
    try:
        return keys.model_validate(header.config)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{place / 'config.yaml'}: {key}: {first['msg']}") from None


def _plain(value: Any) -> dict[str, Any]:  # noqa: ANN401 - a dataclass
    return {key: list(each) if isinstance(each, tuple) else each for key, each in asdict(value).items()}
