"""Photos of plants, photos of landscapes and satellite patches, real ones, aligned with coordinates at once."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.small import of_three_scales
from upath import UPath

from sdm_ray import tracking
from sdm_ray.config import load
from sdm_ray.model_io import load_encoder
from sdm_ray.sources import prepare
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.stores.shards import Shards
from sdm_ray.stores.weights import load_weights
from sdm_ray.training.pretrain import job as pretrain
from sdm_ray.training.pretrain.config import PretrainConfig

STUDY = Path(__file__).parents[3] / "configs" / "cbn-med"


@pytest.fixture(scope="module")
def study(data, ray_cluster, tmp_path_factory) -> UPath:
    """The reference study's artefacts, of the samples."""
    folder = UPath(tmp_path_factory.mktemp("cbn-med"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SDM_RAY_DATA", str(data))
        config = load(
            STUDY / "prepare.yaml", PrepareConfig, [f"run_dir={folder}", f"tracking.uri=sqlite:///{folder}/m.db"]
        )
    with tracking.start(config, "prepare") as tracker:
        prepare.run(config, tracker)
    return folder


def test_shards_of_three_scales_lie_side_by_side(study):
    index = Shards(study / "shards").index
    assert set(index["scale"]) == {"plant", "landscape", "satellite"}


def test_two_ranks_train_all_scales_and_species_together(study, execute):
    config = load(STUDY / "pretrain.yaml", PretrainConfig, of_three_scales(str(study)))
    values = config.model_dump(exclude={"tracking"}) | {"workers": config.workers}
    record = execute(PretrainConfig, pretrain.run, **values)
    assert {"plant_top1", "satellite_within_25km", "species_alignment"} <= set(record.figures)
    assert "landscape-satellite" in load_encoder(study / "encoder").model().log_scale
    history = load_weights(study / "encoder").metrics["history"]
    assert history[-1]["loss"] < history[0]["loss"]
    model = load_encoder(study / "encoder").model()
    lonlat = torch.tensor([[3.9, 43.6], [20.5, 48.1]], dtype=torch.float64)
    assert np.isfinite(model.embed_location(lonlat).detach().numpy()).all()
    assert set(model.towers) == {"plant", "landscape", "satellite"}
