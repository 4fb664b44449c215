"""Rare species borrow an embedding from common ones, whatever loss the method has."""

import numpy as np
import pytest
from helpers.small import settings

from sdm_ray.models.distributed import Ranks
from sdm_ray.training.compare import transfer
from sdm_ray.training.compare.few_shot import commonest
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.data import read_table
from sdm_ray.training.finetune.fits import FineTuning


@pytest.mark.parametrize("loss", ["assume_negative", "max_entropy", "bce"])
def test_an_embedding_is_learnt_without_background_places(world, loss):
    presence = {"loss": loss} | ({} if loss == "bce" else {"background": "target_group"})
    optim = {"epochs": 1, "batch": 64}
    config = FinetuneConfig(run_dir=str(world), **settings(presence=presence, optim=optim))
    table = read_table(config)
    z = transfer.embedding(FineTuning(config, table, ""), 0, commonest(table.labels, 2), Ranks())
    assert z.shape == (300, 8) and np.isfinite(z).all() and z.std(axis=0).min() > 0
