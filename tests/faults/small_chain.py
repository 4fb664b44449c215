"""Configurations of a small chain of jobs, of which each works for long enough to be killed."""

from pathlib import Path
from typing import Any

import yaml
from upath import UPath

from sdm_ray.jobs import shipped_configs

JOBS = ("prepare", "pretrain", "finetune", "map", "embed", "indicators")
_RANKS = {"count": 2, "cpus": 0.5, "threads": 1, "checkpoint_s": 1, "retries": 3, "readers": 0}
_TILES = {"tile": 16, "block": 16, "compute": {"workers": 2, "cpus": 0.5}}
_CHANGES: dict[str, dict[str, Any]] = {
    "prepare": {
        "virtual": {"cells": 96, "species": 6},
        "surveys": {"source": "virtual", "surveys": 400},
        "shards": [{"source": "virtual", "scale": each, "photos": 300, "size": 32} for each in ("plant", "landscape")],
    },
    "pretrain": {"optim": {"epochs": 6, "batch": 64}, "crossfit": False, "workers": _RANKS},
    "finetune": {"optim": {"epochs": 6, "batch": 64}, "crossfit": False, "workers": _RANKS},
    "map": _TILES,
    "indicators": {"compute": _TILES["compute"]},
}  # fmt: skip
_EMBED = {"model": "model", "land": "land.zarr", "covariates": "covariates.zarr", "cube": "cube.zarr", **_TILES}


def write_quick(folder: Path) -> None:
    """Write the configuration of a map alone, with land and an untrained model for it in `run`."""
    from benchmarks.map_runs import plant

    plant(UPath(folder / "run"), (4_000_000.0, 2_400_000.0, 4_384_000.0, 2_784_000.0), satellite=False)
    (folder / "configs").mkdir(exist_ok=True)
    values = {"model": "model", "land": "land.zarr", "title": "Untrained", "levels": 2, "tile": 64, "block": 64}
    (folder / "configs" / "map.yaml").write_text(yaml.safe_dump({**values, "compute": _TILES["compute"]}))


def write(folder: Path) -> None:
    """Write the configuration of each job, as `configs/NAME.yaml`: the demo's, on a smaller landscape."""
    folder = folder / "configs"
    folder.mkdir(parents=True, exist_ok=True)
    for name in JOBS:
        values = dict(_EMBED)
        if name != "embed":
            values = yaml.safe_load((shipped_configs() / "demo" / f"{name}.yaml").read_text())
        values.pop("evaluation", None)  # of `indicators`: the chain has none
        for key, value in _CHANGES.get(name, {}).items():
            values[key] = {**values[key], **value} if isinstance(value, dict) and key in values else value
        if "model" in values and isinstance(values["model"], dict):
            values["model"]["dropout"] = 0.0  # which ranks draw independently
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(values))


OUTPUTS = {
    "prepare": ("surveys.parquet", "land.zarr", "covariates.zarr", "truth.zarr", "cube.zarr", "shards"),
    "pretrain": ("encoder",),
    "finetune": ("model",),
    "map": ("map.zarr",),
    "embed": ("embeddings.zarr",),
    "indicators": ("indicators.zarr",),
}
"""What each job writes, inside its run folder."""
