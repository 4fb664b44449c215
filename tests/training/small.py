"""Settings of jobs small enough for a test."""

BLOCKS = {"size_m": 8000, "folds": 2, "select": 0.2, "calibrate": 0.2}
LOCATION = {"wavelengths_km": [60, 30], "hidden": 16, "depth": 1, "dim": 8}
TOWER = {"name": "test_convnext2", "bands": 2, "mean": [2300], "std": [600], "dim": 8, "nodata_zero": True}


def settings(**changes):
    """Of `finetune` on the world of the fixture."""
    return {
        "covariates": "covariates.zarr",
        "model": {"location": LOCATION, "hidden": 16, "depth": 1, "embedding": 8},
        "blocks": BLOCKS,
        "optim": {"lr": 0.01, "epochs": 6, "batch": 64},
        "workers": {"count": 0},
        **changes,
    }
