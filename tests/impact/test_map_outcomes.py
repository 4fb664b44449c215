import numpy as np
import pandas as pd
import pytest
from helpers.management import CENTRE
from helpers.parcel_files import config_of, write_squares
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import whole
from sdm_ray.impact.map_outcomes import from_maps
from sdm_ray.impact.units import read_units
from sdm_ray.indicators.error_model import ErrorModel, write_error_model
from sdm_ray.mapping.quality_layers import LAYERS
from sdm_ray.stores import artefact
from sdm_ray.stores.maps import Map, MapSpec, create_map

X0, Y1 = CENTRE[0] - 1000, CENTRE[1] + 3000  # of the map's corner; it has 4 x 4 cells of 1 km
GRID = Grid(X0, Y1, 1000.0, 4, 4)
COLUMNS = {"parcel": ["in", "edge", "out"], "treated": [1, 0, 0], "date": [2015.0, np.nan, np.nan]}
COLUMNS |= {name: [0.0, 1.0, 2.0] for name in ("warmth", "slope")}


def write_map(path, probability, grid=GRID, kind="occurrence", **record):
    species = pd.DataFrame({"species_id": range(2), "name": ["Ficta alba", "Ficta nana"]})
    create_map(path, grid, MapSpec(species, kind, 4, {name: LAYERS[name] for name in ("richness",)}))
    p = probability.astype(np.float32)
    Map(path, writable=True).write(whole(grid), p, {"richness": p.sum(axis=0)})
    given = {"config": {"model": "model", "cube": "cube.zarr"}, "inputs": {"model": "m", "cube.zarr": f"c{path.name}"}}
    artefact.seal(path, artefact.Record(kind="map", fingerprint=path.name, **{**given, **record}))


@pytest.fixture
def folder(tmp_path):
    # "in" covers the two cells of row 1, columns 1 and 2, and half of those below; "edge" is half off the map
    corners = [(X0 + 1000, Y1 - 2500), (X0 - 1000, Y1 - 4000), (X0 + 50_000, Y1)]
    write_squares(tmp_path / "parcels.gpkg", corners, 2000, COLUMNS)
    return UPath(tmp_path)


@pytest.fixture
def p():
    return np.random.default_rng(0).integers(0, 255, (2, 2, 4, 4)) / 254  # as it is stored


def read(folder, **outcome):
    given = {"maps": {2010: "map-2010.zarr", 2020: "map-2020.zarr"}, **outcome}
    config = config_of(folder / "parcels.gpkg", outcome=given, run_dir=str(folder))
    return from_maps(config, read_units(config))


def write_both(folder, p, **record):
    for year, values in zip((2010, 2020), p, strict=True):
        write_map(folder / f"map-{year}.zarr", values, **record)


def test_means_over_parcels_worked_by_hand(folder, p):
    p[1, 0, 3, 0] = np.nan
    write_both(folder, p)
    found = read(folder, layers=["richness", "Ficta nana"])
    inside = p[:, 1, 1, 1:3].sum(axis=1) + p[:, 1, 2, 1:3].sum(axis=1) / 2 + p[:, 1, 0, 1:3].sum(axis=1) / 2
    assert found.values["Ficta nana"][0] == pytest.approx(inside / 4, abs=1e-6)
    assert found.years.tolist() == [2010, 2020] and found.from_maps
    known = p[1, :, 2, 0].sum()  # the cell below is not known in 2020
    assert found.values["richness"][1, 1] == pytest.approx(known, abs=1e-6)
    assert np.isnan(found.values["richness"][2]).all()
    assert found.notes[0] == "1 units lie outside the map" and "without joint draws" in found.notes[1]


def test_members_are_joint_draws(folder, p):
    write_both(folder, p)
    rng = np.random.default_rng(1)
    members = []
    for number in range(5):
        members.append({year: f"member{number}-{year}.zarr" for year in (2010, 2020)})
        for name in members[-1].values():
            write_map(folder / name, rng.random((2, 4, 4)))
    found = read(folder, members=members)
    assert found.draws["richness"].shape == (5, 3, 2) and np.ptp(found.draws["richness"][:, 0, 0]) > 0
    with pytest.raises(ValueError, match="each needs a map for every year"):
        read(folder, members=[{2010: "member0-2010.zarr"}] * 5)


def test_members_that_lack_values_of_the_maps_are_refused(folder, p):
    """A draw without a value would be taken for a draw of no effect."""
    write_both(folder, p)
    members = [{year: f"member{number}-{year}.zarr" for year in (2010, 2020)} for number in range(5)]
    for name in (name for member in members for name in member.values()):
        values = np.random.default_rng(1).random((2, 4, 4))
        if name == "member3-2020.zarr":
            values[:, 2:, 0] = np.nan  # all that "edge" has
        write_map(folder / name, values)
    with pytest.raises(InputError, match=r"outcome.members: richness: 1 values are missing in joint draws"):
        read(folder, members=members)


STATIC = {"config": {"model": "model", "covariates": "climate.zarr"}, "inputs": {"model": "m", "climate.zarr": "c"}}


@pytest.mark.parametrize(
    ("record", "shown"),
    [
        (STATIC, "location and covariates"),
        ({"config": {"model": "model"}, "inputs": {"model": "m"}}, "location"),
        (
            {"config": {"model": "model", "cube": "cube.zarr"}, "inputs": {"model": "m", "cube.zarr": "c"}},
            "location and cube",
        ),
    ],
)
def test_maps_that_cannot_change_are_refused(folder, p, record, shown):
    write_both(folder, p, **record)
    with pytest.raises(InputError) as error:
        read(folder)
    assert f"was made from the same inputs as {folder}/map-2010.zarr ({shown})" in str(error.value)


def test_covariates_of_two_dates_may_show_a_change(folder, p):
    for year, values in zip((2010, 2020), p, strict=True):
        inputs = {"model": f"m{year}", "climate.zarr": f"c{year}"}
        write_map(folder / f"map-{year}.zarr", values, config=STATIC["config"], inputs=inputs)
    assert "the maps come from different models" in read(folder).notes[0]


def test_the_inputs_behind_indicators_and_embeddings_count(folder, p):
    write_both(folder, p, **STATIC)
    for year, kind, key in ((2010, "indicators", "map"), (2020, "map", "from_embeddings")):
        write_map(folder / f"other-{year}.zarr", p[0])
        record = artefact.Record(kind=kind, fingerprint="o", config={key: f"map-{year}.zarr"})
        artefact.seal(folder / f"other-{year}.zarr", record)
    with pytest.raises(InputError, match="was made from the same inputs"):
        read(folder, maps={2010: "other-2010.zarr", 2020: "other-2020.zarr"})


def test_truth_is_taken_and_equal_maps_are_not(folder, p):
    write_both(folder, p, config={}, inputs={})
    assert read(folder).values["richness"].shape == (3, 2)
    write_both(folder, p[[0, 0]], config={}, inputs={})
    with pytest.raises(InputError, match=r"has the values of .* in every unit"):
        read(folder)


def test_other_grids_layers_and_kinds(folder, p):
    write_both(folder, p)
    with pytest.raises(InputError, match="has no layer or species moss; found richness, Ficta alba, Ficta nana"):
        read(folder, layers=["moss"])
    write_map(folder / "map-2020.zarr", p[1], grid=Grid(X0, Y1 + 1000, 1000.0, 4, 4))
    with pytest.raises(InputError, match="lies on another grid than"):
        read(folder)
    write_both(folder, p, kind="relative")
    with pytest.raises(InputError, match="probabilities are of kind 'relative'"):
        read(folder)


def test_parcels_that_all_lie_elsewhere(folder, p):
    write_both(folder, p)
    write_squares(folder / "parcels.gpkg", [(X0 + 50_000 + 3000 * i, Y1) for i in range(3)], 2000, COLUMNS)
    with pytest.raises(InputError, match=r"none of 3 units of .* lies on the map"):
        read(folder)


def write_errors(folder, species=("Ficta alba", "Ficta nana")):
    count = len(species)
    loadings, own = np.full((1, count, 1), 0.5, np.float32), np.full((1, count), 0.1, np.float32)
    model = ErrorModel(tuple(species), (5000.0,), loadings, own, np.zeros((count, 1), np.float32))
    (folder / "errors").mkdir()
    write_error_model(folder / "errors", model, {})
    artefact.seal(folder / "errors", artefact.Record(kind="errors", fingerprint="e"))


def test_errors_give_joint_draws_around_the_outcome(folder, p):
    write_both(folder, p)
    write_errors(folder)
    shared = read(folder, errors="errors", draws=400, layers=["richness", "Ficta alba"])
    free = read(folder, errors="errors", draws=400, layers=["richness"], errors_of_maps="independent")
    values, draws = shared.values["richness"][:2], shared.draws["richness"][:, :2]
    assert draws.shape == (400, 2, 2) and np.allclose(draws.mean(axis=0), values, atol=0.12)
    assert np.isnan(shared.draws["richness"][:, 2]).all()
    assert (shared.draws["Ficta alba"][:, :2] < draws).all()
    changes = [np.diff(each.draws["richness"][:, 0], axis=1).std() for each in (shared, free)]
    assert 0 < changes[0] < 0.7 * changes[1]
    assert not any("without joint draws" in note for note in shared.notes)


def test_errors_of_other_species_or_layers(folder, p):
    write_both(folder, p)
    write_errors(folder, ["Ficta alba", "Ficta rubra"])
    with pytest.raises(InputError, match="has no errors of 'Ficta nana'"):
        read(folder, errors="errors")
    with pytest.raises(ValueError, match="expected one of errors and members"):
        read(folder, errors="errors", members=[{2010: "a", 2020: "b"}] * 5)
