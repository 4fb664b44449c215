"""The alignment model: what it pairs, and its learnt temperatures."""

import math

import torch

from sdm_ray.models.config import AlignConfig, LocationConfig, TowerConfig
from sdm_ray.models.contrastive_losses import info_nce
from sdm_ray.models.contrastive_model import AlignmentModel

LOCATION = LocationConfig(hidden=16, depth=1, dim=8)
TOWER = TowerConfig(bands=4, mean=(1000.0,), std=(500.0,), nodata_zero=True, dim=8)


def places(count: int = 6) -> dict[str, torch.Tensor]:
    lonlat = torch.stack([torch.linspace(-5, 20, count), torch.linspace(38, 60, count)], 1).double()
    return {"lonlat": lonlat, "place": torch.arange(count)}


def test_alignment_pairs_every_modality_with_coordinates():
    config = AlignConfig(
        location=LOCATION, towers={"satellite": TOWER}, covariates=("a", "b"), species=4, dense=2, dim=12
    )
    numbers = torch.randn(6, 2)
    batches = {
        "satellite": {**places(4), "image_satellite": torch.randint(1, 3000, (4, 4, 32, 32)).float()},
        "covariates": {**places(), "covariates": numbers},
        "species": {**places(), "species": torch.eye(6, 4, dtype=torch.uint8)},
    }
    pairs, error = AlignmentModel(config)({**batches, "dense": {**places(), "dense": numbers}})
    assert list(pairs) == ["satellite", "covariates", "species"]
    assert pairs["satellite"].other.shape == pairs["satellite"].location.shape == (4, 12)
    assert torch.allclose(pairs["species"].other.norm(dim=1), torch.ones(6))
    assert torch.allclose(pairs["species"].other[4], pairs["species"].other[5])  # both sets are empty
    assert error > 0 and error.ndim == 0


def test_a_temperature_beyond_its_limit_can_come_back():
    torch.manual_seed(0)
    model = AlignmentModel(AlignConfig(location=LOCATION, towers={}, covariates=("a", "b"), dim=8))
    log_scale = model.log_scale["covariates"]
    with torch.no_grad():
        log_scale.fill_(math.log(100) + 2)
    optimiser = torch.optim.SGD([log_scale], lr=0.01)
    for _ in range(2):  # untrained pairs do not match: the loss wants smaller logits
        optimiser.zero_grad()
        pairs = model.pairs("covariates", {**places(), "covariates": torch.randn(6, 2)})
        assert pairs.logit_scale <= 100.01
        info_nce(pairs.other, pairs.location, pairs.logit_scale, pairs.place).backward()
        optimiser.step()
    assert log_scale < math.log(100) - 0.01
