"""Location encoders, towers, alignment and the species model."""

import pytest
import timm
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import nn

from sdm_ray.errors import InputError
from sdm_ray.models.align import AlignmentModel
from sdm_ray.models.config import AlignConfig, LocationConfig, SpeciesConfig, TowerConfig
from sdm_ray.models.location import LocationEncoder
from sdm_ray.models.species import SpeciesModel
from sdm_ray.models.towers import ImageTower

LOCATION = LocationConfig(hidden=16, depth=1, dim=8)
TOWER = TowerConfig(bands=4, mean=(1000.0,), std=(500.0,), nodata_zero=True, dim=8)
SPECIES = SpeciesConfig(location=LOCATION, satellite=TOWER, covariates=("a", "b"), hidden=16, depth=1, embedding=8)


def batch(count: int = 6) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    has = torch.arange(count) % 3 != 0
    return {
        "lonlat": torch.stack([torch.linspace(-5, 20, count), torch.linspace(38, 60, count)], 1).double(),
        "place": torch.arange(count),
        "covariates": torch.randn(count, 2),
        "has_covariates": torch.arange(count) != 1,
        "has_satellite": has,
        "image_satellite": torch.randint(1, 3000, (int(has.sum()), 4, 32, 32)).float(),
    }


@pytest.mark.parametrize("kind", ["ladder", "sincos"])
def test_location_encoders_give_one_embedding_a_place(kind):
    encoder = LocationEncoder(LocationConfig(kind=kind, hidden=16, depth=1, dim=8))
    assert encoder(batch()["lonlat"]).shape == (6, 8)
    assert encoder(batch()["lonlat"]).dtype == torch.float32


def test_the_ladder_tells_places_apart_at_its_shortest_wavelength_only():
    near = torch.tensor([[10.0, 52.0], [10.0015, 52.0]], dtype=torch.float64)  # 103 m
    coarse = LocationEncoder(LocationConfig(wavelengths_km=(250,))).features(near)
    fine = LocationEncoder(LocationConfig(wavelengths_km=(0.2,))).features(near)
    assert (coarse[0] - coarse[1]).abs().max() < 0.01
    assert (fine[0] - fine[1]).abs().max() > 0.5


def test_two_encoders_have_the_same_ladder():
    assert torch.equal(LocationEncoder(LOCATION).features.directions, LocationEncoder(LOCATION).features.directions)


@pytest.mark.parametrize("name", ["test_convnext2", "test_resnet", "resnet10t"])
def test_towers_take_any_bands_and_a_row_does_not_depend_on_its_batch(name):
    tower = ImageTower(TOWER.model_copy(update={"name": name})).train()
    images = batch()["image_satellite"]
    assert not any(isinstance(module, nn.BatchNorm2d) for module in tower.modules())
    assert torch.allclose(tower(images)[:1], tower(images[:1]), atol=1e-4)


def test_group_norms_keep_the_scales_of_the_batch_norms_before_them(tmp_path):
    saved = timm.create_model("test_resnet", in_chans=4, num_classes=0).state_dict()
    torch.manual_seed(2)
    saved["bn1.weight"] = torch.rand_like(saved["bn1.weight"])
    save_file(saved, tmp_path / "w.safetensors")
    tower = ImageTower(TOWER.model_copy(update={"name": "test_resnet", "weights": str(tmp_path / "w.safetensors")}))
    norm = next(m for m in tower.backbone.get_submodule("bn1").modules() if isinstance(m, nn.GroupNorm))
    assert torch.equal(norm.weight, saved["bn1.weight"])


@pytest.mark.parametrize("name", ["test_convnext2", "test_resnet", "test_vit"])
def test_an_empty_batch_reaches_every_parameter(name):
    tower = ImageTower(TOWER.model_copy(update={"name": name, "size": 32 if name == "test_vit" else None}))
    embedded = tower(torch.zeros(0, 4, 32, 32))
    assert embedded.shape == (0, 8)
    embedded.sum().backward()
    assert all(parameter.grad is not None for parameter in tower.parameters())


def test_a_worker_without_an_image_reaches_every_parameter():
    model = SpeciesModel(SPECIES, 5).train()
    alone = {**batch(), "has_satellite": torch.zeros(6, dtype=torch.bool), "image_satellite": torch.zeros(0, 4, 32, 32)}
    model(alone).sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_frozen_batch_norms_stay_frozen_in_training():
    tower = ImageTower(TOWER.model_copy(update={"name": "test_resnet", "norm": "frozen"})).train()
    before = {name: value.clone() for name, value in tower.state_dict().items() if "running" in name}
    tower(batch()["image_satellite"])
    assert before
    assert all(torch.equal(value, tower.state_dict()[name]) for name, value in before.items())


def test_nodata_is_the_mean():
    tower = ImageTower(TOWER)
    mean = torch.full((1, 4, 32, 32), 1000.0)
    assert torch.allclose(tower(torch.zeros(1, 4, 32, 32)), tower(mean), atol=1e-5)


def test_weights_come_from_a_local_file(tmp_path):
    torch.manual_seed(1)
    saved = timm.create_model("test_convnext2", in_chans=4, num_classes=0)
    save_file(saved.state_dict(), tmp_path / "w.safetensors")
    tower = ImageTower(TOWER.model_copy(update={"weights": str(tmp_path / "w.safetensors")}))
    assert torch.equal(tower.backbone.state_dict()["stem.0.weight"], saved.state_dict()["stem.0.weight"])
    other = timm.create_model("test_resnet", in_chans=4, num_classes=0)
    save_file(other.state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"other\.safetensors lacks \d+ of its weights, first stem"):
        ImageTower(TOWER.model_copy(update={"weights": str(tmp_path / "other.safetensors")}))
    torch.save(saved.state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"weights of .*w\.pth do not fit"):
        ImageTower(TOWER.model_copy(update={"weights": str(tmp_path / "w.pth")}))
    with pytest.raises(InputError, match=r"no weights at .*nothing\.safetensors"):
        ImageTower(TOWER.model_copy(update={"weights": str(tmp_path / "nothing.safetensors")}))


def test_an_unknown_tower_is_one_line():
    with pytest.raises(InputError, match="tower resnet_of_dreams: timm cannot build it"):
        ImageTower(TowerConfig(name="resnet_of_dreams"))


def test_alignment_pairs_only_rows_that_have_an_image():
    config = AlignConfig(location=LOCATION, towers={"satellite": TOWER}, covariates=("a", "b"), dim=12)
    pairs = AlignmentModel(config)(batch())
    assert pairs["satellite"].other.shape == pairs["satellite"].location.shape == (4, 12)
    assert pairs["satellite"].place.tolist() == [1, 2, 4, 5]
    assert pairs["covariates"].place.tolist() == [0, 2, 3, 4, 5]
    assert torch.allclose(pairs["satellite"].other.norm(dim=1), torch.ones(4))


def test_a_species_model_answers_whatever_is_missing():
    model = SpeciesModel(SPECIES, 5).eval()
    full = batch()
    bare = {
        **full,
        "has_satellite": torch.zeros(6, dtype=torch.bool),
        "image_satellite": full["image_satellite"][:0],
        "has_covariates": torch.zeros(6, dtype=torch.bool),
    }
    assert model.probabilities(full).shape == (6, 5)
    assert torch.isfinite(model.probabilities(bare)).all()
    alone = {name: value[3:4] for name, value in bare.items() if name != "image_satellite"}
    alone["image_satellite"] = full["image_satellite"][:0]
    assert torch.allclose(model(bare)[3:4], model(alone), atol=1e-5)


def test_hiding_an_input_in_training_is_like_not_having_it():
    model = SpeciesModel(SPECIES.model_copy(update={"dropout": 0.0}), 5).train()
    full = batch()
    hidden = model({**full, "hide_covariates": torch.ones(6, dtype=torch.bool)})
    missing = model({**full, "has_covariates": torch.zeros(6, dtype=torch.bool)})
    assert torch.equal(hidden, missing)


def test_the_head_starts_at_the_prevalences():
    model = SpeciesModel(SPECIES, 3).eval()
    model.set_prevalence(torch.tensor([0.5, 0.1, 0.0]))
    assert torch.allclose(model.probabilities(batch()).mean(0), torch.tensor([0.5, 0.1, 0.0]), atol=0.05)


def test_an_encoder_is_taken_over_and_one_that_does_not_fit_is_named():
    config = AlignConfig(location=LOCATION, towers={"satellite": TOWER})
    encoder = AlignmentModel(config)
    model = SpeciesModel(SPECIES, 5)
    model.load_encoder(encoder.state_dict())
    for row in (model.eval().location(batch()["lonlat"]), encoder.eval().location(batch()["lonlat"])):
        assert torch.equal(row, encoder.location(batch()["lonlat"]))
    other = AlignmentModel(AlignConfig(location=LOCATION.model_copy(update={"hidden": 32}), towers={"plant": TOWER}))
    with pytest.raises(InputError, match=r"encoder: (has no towers\.satellite|.* has shape)"):
        model.load_encoder(other.state_dict())


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
        SpeciesModel(SPECIES.model_copy(update=update), 5).load_encoder(encoder.state_dict())


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (TowerConfig, {"bands": 4, "mean": (1.0, 2.0, 3.0)}, "mean has 3 numbers for 4 bands"),
        (TowerConfig, {"std": (0.0,)}, "std has 0; expected numbers above 0"),
        (LocationConfig, {"wavelengths_km": (500, 0)}, "wavelengths_km has 0; expected kilometres above 0"),
        (AlignConfig, {"towers": {}}, "at least one scale"),
        (SpeciesConfig, {"location": None}, "needs location, satellite or covariates"),
    ],
)
def test_configurations_that_build_nothing_are_refused(kind, values, expected):
    with pytest.raises(ValidationError, match=expected):
        kind(**values)
