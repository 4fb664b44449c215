"""Maps of models whose further inputs nobody knows of a cell: patches and photos of surveys, time series."""

from dataclasses import replace

import numpy as np
import pytest
import xarray
from helpers.small_models import PLAIN, TOWER, save_model

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import to_lonlat
from sdm_ray.model_io import Photos, describe_species, read_species_folder
from sdm_ray.models.batch import inputs_of
from sdm_ray.models.config import LocationConfig, SeriesConfig
from sdm_ray.stores import artefact
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.weights import save_weights

SERIES = SeriesConfig(names=("light",), axes={"light": {"band": ("red",), "month": tuple(range(12))}}, hidden=8, dim=4)
ALL = PLAIN.model_copy(update={"satellite": TOWER, "plant": TOWER, "series": SERIES})
PROBED = ALL.model_copy(
    update={"fusion": "none", "frozen_location_features": (LocationConfig(wavelengths_km=(300.0, 100.0)),)}
)


@pytest.mark.parametrize("config", [ALL, PROBED], ids=["fused", "probed"])
def test_a_map_does_without_and_says_so(config, world, make, capsys):
    folder = world.folder / f"knowing-{config.fusion}"
    model = save_model(folder, config, world.species, None, folds=0)
    about = read_species_folder(folder)
    about = replace(about, satellite=None, photos={"satellite": Photos(32), "plant": Photos(32, 100.0)})
    save_weights(folder, model.state_dict(), describe_species(about), about.species, {})
    artefact.seal(folder, artefact.Record(kind="model", fingerprint=config.fusion))
    with pytest.raises(InputError, match=r"cube: .* has a satellite tower that was trained on image shards"):
        make(model=folder.name, cube="cube.zarr")
    data = xarray.open_zarr(str(make(model=folder.name)), group="0")
    assert "towers for images in shards (satellite, plant)" in capsys.readouterr().out
    assert "valid_scenes" not in data
    assert np.array_equal(data["inputs"].values[world.land], np.where(world.covered, 3, 1)[world.land])
    rows, cols = np.nonzero(world.land & world.covered)
    x, y = world.grid.centre(rows[:50], cols[:50])
    values, known = Covariates(world.folder / "covariates.zarr").select(config.covariates).at(x, y)
    batch = inputs_of(config, np.column_stack(to_lonlat(x, y)), values, known)
    expected = model.probabilities(batch).detach().numpy()
    np.testing.assert_allclose(data["probability"].values[:, rows[:50], cols[:50]], expected.T, atol=0.51 / 254)
