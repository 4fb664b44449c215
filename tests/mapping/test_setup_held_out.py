"""A cross-fitted map is refused where it is not known what the models held out of a cell."""

from dataclasses import replace

import pytest
from helpers.small_models import BLOCKS
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.mapping import setup
from sdm_ray.mapping.config import MapConfig
from sdm_ray.model_io import read_species_folder
from sdm_ray.stores import artefact


@pytest.fixture
def prepared(world, models, monkeypatch):
    """Prepares a map by a model that held out otherwise than the one in the world."""

    def made(inputs=None, *, crossfit=True, **held_out):
        genuine = read_species_folder(world.folder / "plain")
        monkeypatch.setattr(setup, "read_species_folder", lambda place: replace(genuine, **held_out))
        record = artefact.read_record(world.folder / "plain")
        if inputs is not None:
            changed = record.model_copy(update={"inputs": inputs})
            monkeypatch.setattr(
                "sdm_ray.stores.holdout.artefact.read_record",
                lambda place: changed if place.name == "plain" else artefact.find_record(place),
            )
        values = {"model": "plain", "covariates": "covariates.zarr", "surveys": "surveys.parquet", "tile": 64}
        config = MapConfig(run_dir=str(world.folder), crossfit=crossfit, **values)
        return setup.prepare(config, UPath(world.folder) / "none.zarr", "")

    return made


def other(size_m, origin=(0.0, 0.0)):
    return replace(BLOCKS, size_m=size_m, origin=origin)


def test_blocks_whose_edges_cut_cells_are_refused_before_any_work(prepared):
    with pytest.raises(InputError, match=r"crossfit: .*plain: edges of blocks of 12500 m .* expected blocks such as"):
        prepared(blocks=other(12_500.0))
    with pytest.raises(InputError, match=r"plain: edges of blocks of 16000 m from 500, 0 cut cells of 1000 m"):
        prepared(blocks=other(16_000.0, (500.0, 0.0)))
    assert prepared(blocks=other(16_000.0)).work.folds.size_m == 16_000
    prepared(blocks=other(12_500.0), crossfit=False)  # nothing is held out


def test_countries_of_another_land_store_are_refused(prepared):
    with pytest.raises(InputError, match=r"crossfit: .*plain: was made with another land store than .*land\.zarr"):
        prepared({"land.zarr": "another"}, countries=True)
    assert prepared({"land.zarr": "land.zarr"}, countries=True).work.by_country


def test_a_map_says_where_the_forest_of_its_model_saw_the_surveys(prepared, capsys):
    for forest, crossfit, saw in ((True, False, True), (True, True, False), (False, False, False)):
        ready = prepared(blocks=other(16_000.0), forest=forest, crossfit=crossfit)
        assert ready.spec.attrs["sdm_ray"]["forest_saw_surveyed_cells"] is saw
        assert ("of `survey_distance` 0, it leans towards what was found there" in capsys.readouterr().out) == saw


def test_a_cross_fitted_map_says_what_its_folds_began_from(world, models, monkeypatch):
    genuine = read_species_folder(world.folder / "plain")

    def described(place):
        return replace(genuine, pretraining="inductive" if place.parent.name == "folds" else "transductive")

    monkeypatch.setattr(setup, "read_species_folder", described)
    values = {"run_dir": str(world.folder), "model": "plain", "surveys": "surveys.parquet"}
    found = [
        setup.attributes(MapConfig(crossfit=crossfit, **values), described(world.folder / "plain"), None)["pretraining"]
        for crossfit in (True, False)
    ]
    assert found == ["inductive", "transductive"]
