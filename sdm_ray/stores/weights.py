"""Weights on disk: `model.safetensors`, `config.yaml`, `species.parquet`, `metrics.json`. Reading runs no code.

`metrics.json` is written last: a folder without it is unfinished.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.stores.files import read_parquet
from sdm_ray.stores.formats import Format, check_version

if TYPE_CHECKING:
    import pandas as pd
    import torch

_HEADER_BYTES = 100_000_000  # the most that the format of safetensors allows
_FORMAT = Format(("pretrain", "finetune"), version=2)
"""Of a folder of weights, since a fold and MLflow's copy have no record. Where it is raised, the kinds `encoder` and
`model` are raised too, or their jobs would keep the folder as it is."""


@dataclass(frozen=True)
class Header:
    """A folder of weights without its tensors, which may be large.

    Attributes:
        config: the content of `config.yaml`, without its version.
        species: the rows of `species.parquet`, in the order of the model's outputs; None for an encoder.
        metrics: the content of `metrics.json`.
        parameters: names of the tensors.
    """

    config: dict[str, Any]
    species: "pd.DataFrame | None"
    metrics: dict[str, Any]
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class Weights(Header):
    """A folder of weights.

    Attributes:
        state: tensors by parameter name, on the CPU.
    """

    state: "dict[str, torch.Tensor]"


def save_weights(
    folder: UPath,
    state: "Mapping[str, torch.Tensor]",
    config: Mapping[str, Any],
    species: "pd.DataFrame | None",
    metrics: Mapping[str, Any],
) -> None:
    """Write a folder of weights; whatever an interrupted attempt left there is written over."""
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").unlink(missing_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    (folder / "model.safetensors").write_bytes(save(tensors))
    text = yaml.safe_dump({"format_version": _FORMAT.version, **config}, sort_keys=False)
    (folder / "config.yaml").write_text(text)
    if species is not None:
        with (folder / "species.parquet").open("wb") as file:
            species.to_parquet(file, index=False)
    (folder / "metrics.json").write_text(json.dumps(dict(metrics), indent=1))


def is_whole(folder: UPath) -> bool:
    """Whether a folder of weights was written to its end."""
    return (folder / "metrics.json").exists()


def read_header(folder: UPath) -> Header:
    """Read the description of a folder of weights, and none of the tensors.

    Raises:
        InputError: a file is missing, unreadable or of another version.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of weights")
    place = folder / "config.yaml"
    try:
        config = yaml.safe_load(_bytes(place))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{place}: is no YAML ({str(error).splitlines()[0]})") from None
    version = config.pop("format_version", None) if isinstance(config, dict) else None
    if not isinstance(version, int):
        raise InputError(f"{place}: says no format_version; expected a folder of weights")
    check_version(place, "weights", version, _FORMAT)
    return Header(
        config=config,
        species=_species(folder / "species.parquet"),
        metrics=_metrics(folder / "metrics.json"),
        parameters=tuple(map(_name_of_today, _parameters(folder / "model.safetensors"))),
    )


def load_weights(folder: UPath) -> Weights:
    """Read a folder of weights.

    Raises:
        InputError: a file is missing, unreadable or of another version.
    """
    header = read_header(folder)
    state = {_name_of_today(name): tensor for name, tensor in _tensors(folder / "model.safetensors").items()}
    return Weights(**vars(header), state=state)


def _name_of_today(name: str) -> str:
    """A tensor's name; version 1 had others. The keys of `config.yaml` are renamed by the classes that read them."""
    names = {"beside.": "frozen_location_features.", "vote": "ensemble_weight"}
    return next((new + name[len(old) :] for old, new in names.items() if name.startswith(old)), name)


def _bytes(file: UPath) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise _missing(file) from None


def _missing(file: UPath) -> InputError:
    return InputError(f"{file}: missing; the folder is no finished folder of weights")


def _metrics(file: UPath) -> dict[str, Any]:
    try:
        metrics = json.loads(_bytes(file))
    except ValueError as error:
        raise InputError(f"{file}: is no JSON ({error})") from None
    if not isinstance(metrics, dict):
        raise InputError(f"{file}: holds {type(metrics).__name__}, expected figures by name")
    return metrics


def _parameters(file: UPath) -> list[str]:
    """Names of the tensors of a safetensors file, whose header is its length in 8 bytes and JSON."""
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            described = json.loads(opened.read(length if length < _HEADER_BYTES else 0))
    except FileNotFoundError:
        raise _missing(file) from None
    except ValueError as error:
        raise InputError(f"{file}: is no safetensors file ({error})") from None
    return [name for name in described if name != "__metadata__"]


def _tensors(file: UPath) -> "dict[str, torch.Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(_bytes(file))
    except SafetensorError as error:
        raise InputError(f"{file}: is no safetensors file ({error})") from None


def _species(file: UPath) -> "pd.DataFrame | None":
    return read_parquet(file).to_pandas() if file.exists() else None
