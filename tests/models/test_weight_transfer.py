"""A species model takes over a pretrained encoder."""

import pytest
import torch

from sdm_ray.errors import InputError
from sdm_ray.models.config import AlignConfig, LocationConfig, SpeciesConfig, TowerConfig
from sdm_ray.models.contrastive_model import AlignmentModel
from sdm_ray.models.species_model import SpeciesModel
from sdm_ray.models.weight_transfer import load_encoder

LOCATION = LocationConfig(hidden=16, depth=1, dim=8)
TOWER = TowerConfig(bands=4, mean=(1000.0,), std=(500.0,), nodata_zero=True, dim=8)
SPECIES = SpeciesConfig(location=LOCATION, satellite=TOWER, hidden=16, depth=1, embedding=8)
LONLAT = torch.tensor([[-5.0, 38.0], [12.0, 51.0], [20.0, 60.0]], dtype=torch.float64)


def test_an_encoder_is_taken_over_and_one_that_does_not_fit_is_named():
    config = AlignConfig(location=LOCATION, towers={"satellite": TOWER})
    encoder = AlignmentModel(config)
    model = SpeciesModel(SPECIES, 5)
    load_encoder(model, encoder.state_dict())
    assert torch.equal(model.eval().location(LONLAT), encoder.eval().location(LONLAT))
    other = AlignmentModel(AlignConfig(location=LOCATION.model_copy(update={"hidden": 32}), towers={"plant": TOWER}))
    with pytest.raises(InputError, match=r"encoder: (has no towers\.satellite|.* has shape)"):
        load_encoder(model, other.state_dict())


def test_the_towers_of_several_scales_are_taken_over_frozen_or_not():
    torch.manual_seed(0)
    photos = TowerConfig(dim=6)
    encoder = AlignmentModel(AlignConfig(location=LOCATION, towers={"satellite": TOWER, "plant": photos}))
    frozen = photos.model_copy(update={"trained_blocks": 0})
    model = SpeciesModel(SPECIES.model_copy(update={"plant": frozen}), 5)
    load_encoder(model, encoder.state_dict())
    image = torch.rand(2, 3, 32, 32) * 255
    assert torch.equal(model.eval().plant(image), encoder.eval().towers["plant"](image))
    trained = {name for name, each in model.named_parameters() if each.requires_grad and name.startswith("plant.")}
    assert trained == {"plant.project.weight", "plant.project.bias"}
    with pytest.raises(InputError, match=r"has no towers\.landscape"):
        load_encoder(SpeciesModel(SPECIES.model_copy(update={"landscape": photos}), 5), encoder.state_dict())


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        ({"location": LOCATION.model_copy(update={"wavelengths_km": (900, 700, 500, 300, 100)})}, "wavelengths_km"),
        ({"satellite": TOWER.model_copy(update={"mean": (999.0,)})}, r"satellite\.mean"),
    ],
)
def test_an_encoder_of_other_settings_but_the_same_shape_is_refused(update, expected):
    encoder = AlignmentModel(AlignConfig(location=LOCATION, towers={"satellite": TOWER}))
    with pytest.raises(InputError, match=rf"differs; expected the same .*{expected}"):
        load_encoder(SpeciesModel(SPECIES.model_copy(update=update), 5), encoder.state_dict())
