"""Settings of jobs small enough for a test."""

from sdm_ray.geo.grid import Grid

GRID = Grid(x0=4_000_000, y1=3_064_000, resolution=1000, width=64, height=64)
"""Of the covariates of the fixture `world`."""
BLOCKS = {"size_m": 8000, "folds": 2, "validation": 0.2, "calibrate": 0.2}
LOCATION = {"wavelengths_km": [60, 30], "hidden": 16, "depth": 1, "dim": 8}
TOWER = {"name": "test_convnext2", "bands": 2, "mean": [2300], "std": [600], "dim": 8, "nodata_zero": True}


def settings(**changes):
    """Of `finetune` on the world of the fixture."""
    return {
        "covariates": "covariates.zarr",
        "model": {"location": LOCATION, "hidden": 16, "depth": 1, "embedding": 8},
        "blocks": BLOCKS,
        "optim": {"lr": 0.01, "epochs": 6, "batch": 64},
        "pooled": False,
        "workers": {"count": 0},
        **changes,
    }


def of_three_scales(run_dir: str) -> list[str]:
    """Overrides of `configs/cbn-med/pretrain.yaml` for its samples, two ranks and no hub."""
    changes = [f"run_dir={run_dir}", "dim=16", "location.hidden=32", "location.depth=1", "location.dim=16"]
    for scale in ("plant", "landscape", "satellite"):
        tower = f"scales.{scale}.tower"
        changes += [f"scales.{scale}.size=32", f"scales.{scale}.batch=8", f"{tower}.name=test_convnext2"]
        changes += [f"{tower}.{key}=null" for key in ("weights", "size", "trained_blocks")] + [f"{tower}.dim=16"]
    changes += ["optim.epochs=2", "optim.batch=8", "optim.steps_per_epoch=6", "optim.lr=0.003", "optim.ema=0.5"]
    # The samples of the scales lie far from each other: this shows that they run together, not what they teach.
    changes += ["cross_scale_pairs=[{scales: [landscape, satellite], radius_m: 500000, batch: 6}]"]
    changes += ["crossfit=false", "blocks.folds=2", "blocks.validation=0.3", "blocks.size_m=50000"]
    return [*changes, "workers.count=2", "workers.gpus=0", "workers.cpus=0.4"]
