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
from sdm_ray.stores.formats import Format, check_version

if TYPE_CHECKING:
    import pandas as pd
    import torch

_FORMAT = Format(("pretrain", "finetune"), version=2)
"""Of a folder of weights, since a fold and MLflow's copy have no record. Where it is raised, the kinds `encoder` and
`model` are raised too, or their jobs would keep the folder as it is."""


@dataclass(frozen=True)
class Weights:
    """What a folder of weights holds.

    Attributes:
        state: tensors by parameter name, on the CPU.
        config: the content of `config.yaml`, without its version.
        species: the rows of `species.parquet`, in the order of the model's outputs; None for an encoder.
        metrics: the content of `metrics.json`.
    """

    state: "dict[str, torch.Tensor]"
    config: dict[str, Any]
    species: "pd.DataFrame | None"
    metrics: dict[str, Any]


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


def load_weights(folder: UPath) -> Weights:
    """Read a folder of weights.

    Raises:
        InputError: a file is missing, unreadable or of another version.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of weights")
    config = yaml.safe_load(_bytes(folder / "config.yaml"))
    version = config.pop("format_version", None) if isinstance(config, dict) else None
    if not isinstance(version, int):
        raise InputError(f"{folder / 'config.yaml'}: says no format_version; expected a folder of weights")
    check_version(folder / "config.yaml", "weights", version, _FORMAT)
    state = _tensors(folder / "model.safetensors")
    return Weights(
        state=_state_of_version_1(state) if version == 1 else state,
        config=config,
        species=_species(folder / "species.parquet"),
        metrics=json.loads(_bytes(folder / "metrics.json")),
    )


def _state_of_version_1(state: "dict[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
    """Tensors under their names of today; the keys of `config.yaml` are renamed by the classes that read them."""
    names = {"beside.": "frozen_location_features.", "vote": "ensemble_weight"}
    return {
        next((new + name[len(old) :] for old, new in names.items() if name.startswith(old)), name): tensor
        for name, tensor in state.items()
    }


def _bytes(file: UPath) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{file}: missing; the folder is no finished folder of weights") from None


def _tensors(file: UPath) -> "dict[str, torch.Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(_bytes(file))
    except SafetensorError as error:
        raise InputError(f"{file}: is no safetensors file ({error})") from None


def _species(file: UPath) -> "pd.DataFrame | None":
    import pandas as pd

    if not file.exists():
        return None
    with file.open("rb") as opened:
        return pd.read_parquet(opened)
