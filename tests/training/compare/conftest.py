"""What the tests of `compare` share: an encoder of the tiny world."""

import pytest
from helpers.small import BLOCKS, LOCATION

from sdm_ray.training.pretrain.config import PretrainConfig
from sdm_ray.training.pretrain.job import run as pretrain


@pytest.fixture(scope="session")
def encoder(world, execute):
    """The cross-fitted encoder `told`."""
    values = {"covariates": "covariates.zarr", "covariates_as": "regression", "location": LOCATION, "blocks": BLOCKS}
    optim = {"epochs": 1, "batch": 256, "steps_per_epoch": 4}
    execute(
        PretrainConfig,
        pretrain,
        run_dir=str(world),
        **values,
        optim=optim,
        output="told",
        crossfit=True,
        workers={"count": 0},
    )
