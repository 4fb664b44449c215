"""Configurations of a small chain of jobs, of which each works for long enough to be killed."""

from pathlib import Path
from typing import Any

import yaml
from upath import UPath

from sdm_ray.jobs import shipped_configs

JOBS = ("prepare", "pretrain", "finetune", "map", "embed", "indicators", "tune", "evaluate", "errors", "change")
"""What is killed."""
CHAIN = (*JOBS[:7], "finetune-crossfit", "map-crossfit", *JOBS[7:])
"""All files of configurations, in the order in which they can be run."""
_RANKS = {"count": 2, "cpus": 0.5, "threads": 1, "checkpoint_s": 1, "retries": 3, "readers": 0}
_COMPUTE = {"workers": 2, "cpus": 0.5}
_TILES = {"tile": 16, "block": 16, "compute": _COMPUTE}
_DEMO = {"finetune-crossfit": "finetune-coordinates"}  # the demo's file, where it is called otherwise
_CROSSFIT = {"model": "model-crossfit", "output": "map-crossfit.zarr", "crossfit": True}
_OWN: dict[str, dict[str, Any]] = {
    "embed": {"model": "model", "land": "land.zarr", "covariates": "covariates.zarr", "cube": "cube.zarr", **_TILES},
    "map-crossfit": {**_CROSSFIT, "land": "land.zarr", "surveys": "surveys.parquet", **_TILES},
    # One trial after the other, and none stopped: else what is tried depends on which one ends first
    "tune": {"space": {"optim.lr": [0.0003, 0.001, 0.003]}, "trials": 5, "concurrent": 1, "grace_epochs": 30},
    "change": {"maps": {"first": "map.zarr", "second": "map-crossfit.zarr"}, "land": "land.zarr", "compute": _COMPUTE},
}
"""Configurations of those that the demo lacks, or has other inputs for."""
_CHANGES: dict[str, dict[str, Any]] = {
    "prepare": {
        "virtual": {"cells": 96, "species": 6},
        "surveys": {"source": "virtual", "surveys": 400},
        "shards": [{"source": "virtual", "scale": each, "photos": 300, "size": 32} for each in ("plant", "landscape")],
    },
    "pretrain": {"optim": {"epochs": 6, "batch": 64}, "crossfit": False, "workers": _RANKS},
    "finetune": {"optim": {"epochs": 6, "batch": 64}, "crossfit": False, "workers": _RANKS},
    "finetune-crossfit": {"output": "model-crossfit"},
    "map": _TILES,
    "indicators": {"compute": _COMPUTE, "evaluation": None},  # which is made after them
    "evaluate": {"truth_maps": None, "truth": None},
}  # fmt: skip
"""What is other than in the demo; None for a key that is left out."""


def write_quick(folder: Path) -> None:
    """Write the configuration of a map alone, with land and an untrained model for it in `run`."""
    from benchmarks.map_runs import plant

    plant(UPath(folder / "run"), (4_000_000.0, 2_400_000.0, 4_384_000.0, 2_784_000.0), satellite=False)
    (folder / "configs").mkdir(exist_ok=True)
    values = {"model": "model", "land": "land.zarr", "title": "Untrained", "levels": 2, "tile": 64, "block": 64}
    (folder / "configs" / "map.yaml").write_text(yaml.safe_dump({**values, "compute": _COMPUTE}))


def write(folder: Path) -> None:
    """Write the configuration of each job, as `configs/NAME.yaml`: the demo's, on a smaller landscape."""
    folder = folder / "configs"
    folder.mkdir(parents=True, exist_ok=True)
    demo = shipped_configs() / "demo"
    for name in CHAIN:
        values = _OWN.get(name) or yaml.safe_load((demo / f"{_DEMO.get(name, name)}.yaml").read_text())
        values = dict(values)
        for key, value in _CHANGES.get(name, {}).items():
            values[key] = {**values[key], **value} if isinstance(value, dict) and key in values else value
        values = {key: value for key, value in values.items() if value is not None}
        if "model" in values and isinstance(values["model"], dict):
            values["model"]["dropout"] = 0.0  # which ranks draw independently
        if name == "tune":
            values["finetune"] = str(folder / "finetune-crossfit.yaml")
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(values))


OUTPUTS = {
    "prepare": ("surveys.parquet", "land.zarr", "covariates.zarr", "truth.zarr", "cube.zarr", "shards"),
    "pretrain": ("encoder",),
    "finetune": ("model",),
    "map": ("map.zarr",),
    "embed": ("embeddings.zarr",),
    "indicators": ("indicators.zarr",),
    "tune": ("tune",),
    "finetune-crossfit": ("model-crossfit",),
    "map-crossfit": ("map-crossfit.zarr",),
    "evaluate": ("evaluation",),
    "errors": ("errors",),
    "change": ("change.zarr",),
}
"""What each job writes, inside its run folder."""
