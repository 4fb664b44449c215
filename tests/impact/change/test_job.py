import json

import numpy as np
import pandas as pd
import pytest
import xarray
from helpers.planted_errors import write_planted
from upath import UPath

from sdm_ray.config import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import tiles, whole
from sdm_ray.impact.change.checks import require_comparable
from sdm_ray.impact.change.config import ChangeConfig
from sdm_ray.impact.change.job import run
from sdm_ray.job import execute
from sdm_ray.mapping.config import ComputeConfig
from sdm_ray.stores import artefact, raster
from sdm_ray.stores.maps import Layer, Map, MapSpec, create_map
from sdm_ray.stores.raster import ArraySpec

NOVELTY = {"environmental_similarity": Layer("float32", float("nan"), {})}


def write_map(path, probability, grid, species, kind="occurrence"):
    table = pd.DataFrame({"species_id": range(len(species)), "name": species})
    create_map(path, grid, MapSpec(table, kind, 64, NOVELTY, 16))
    rows = np.broadcast_to(np.arange(grid.height)[:, None] - 20.0, grid.shape).astype(np.float32)
    for tile in tiles(grid, 64):
        part = (slice(None), *tile.window.slices)
        similarity = {"environmental_similarity": rows[tile.window.slices]}
        Map(path, writable=True).write(tile.window, probability[part], similarity)
    artefact.seal(path, artefact.Record(kind="map", fingerprint=path.name, sources=[f"source of {path.name}"]))


@pytest.fixture(scope="module")
def folder(world, tmp_path_factory):
    """Three maps of the small country: every species halves in the east, then also in the west."""
    place = UPath(tmp_path_factory.mktemp("change"))
    numbers = np.random.default_rng(1)
    before = np.where(world.land, numbers.uniform(0.2, 0.6, (5, *world.grid.shape)), np.nan).astype(np.float32)
    middle = np.where(world.country == 2, before / 2, before)
    for name, values in (("2000", before), ("2010", middle), ("2020", before / 2)):
        write_map(place / f"map-{name}.zarr", values, world.grid, world.species)
    write_planted(place / "errors", world.species)
    for name, scale in (("a", 1.0), ("b", 3.0)):
        spec = ArraySpec("float32", (64, 64), fill=float("nan"))
        values = np.full(world.grid.shape, scale, np.float32)
        raster.write(place / name / "0", world.grid, {"shannon": (spec, values)}, {}, {})
        artefact.seal(place / name, artefact.Record(kind="indicators", fingerprint=name))
    return place


def config(world, folder, **values):
    values = {"maps": {2000: "map-2000.zarr", 2010: "map-2010.zarr", 2020: "map-2020.zarr"}} | values
    return ChangeConfig(
        run_dir=str(folder),
        land=str(world.folder / "land.zarr"),
        tracking={"uri": f"sqlite:///{world.folder}/mlflow.db"},
        compute=ComputeConfig(cpus=0.5),
        **values,
    )


@pytest.fixture(scope="module")
def made(world, folder, ray_cluster):
    indicators = {2000: "a", 2020: "b"}
    execute("change", config(world, folder, errors="errors", draws=20, indicators=indicators), run, "change")
    return folder / "change.zarr"


def test_layers_hold_each_map_beside_the_first(made, world, folder):
    data = xarray.open_zarr(str(made), group="0")
    assert data["comparison"].values.tolist() == ["2010", "2020"]
    before, after = (Map(folder / f"map-{year}.zarr").read(whole(world.grid)) for year in (2000, 2010))
    found = data["richness_change"].sel(comparison="2010").values
    np.testing.assert_allclose(found, (after - before).sum(axis=0), atol=1e-5)
    west, east = world.country == 1, world.country == 2
    distinct = data["distinct"].values
    assert (distinct[0][east] == 1).all() and (distinct[0][west] == 0).all() and (distinct[1][west] == 1).all()
    assert np.isnan(distinct[0][~world.land]).all()  # decoded as CF says
    rows = np.nonzero(world.land)[0]
    assert np.array_equal(data["novel"].values[0][world.land], rows < 20)
    assert np.isnan(data["gains"].values[0][~world.land]).all()


def test_tables_have_intervals_of_countries_and_species(made, world):
    zones = pd.read_csv(str(made / "zones.csv")).set_index(["after", "zone"])
    east = zones.loc[(2010, "Eastland")]
    assert east["cells"] == (world.country == 2).sum()
    assert east["richness_change"] == pytest.approx(-east["richness_before"] / 2, rel=1e-3)
    assert east["richness_change_low"] < east["richness_change"] < east["richness_change_high"] < 0
    assert east["distinct"] and not zones.loc[(2010, "Westland")]["distinct"]
    assert east["bray_curtis"] == pytest.approx(1 / 3, rel=1e-3)
    species = pd.read_csv(str(made / "species.csv"))
    assert species["species"].tolist() == 2 * world.species
    kept = (species["km2_stable"] + species["km2_lost"]).to_numpy()
    assert kept == pytest.approx(species["km2_before"].to_numpy(), rel=1e-4)
    assert species["km2_after"][5:].to_numpy() == pytest.approx(species["km2_before"][5:].to_numpy() / 2, rel=1e-3)


def test_indicators_differ_layer_by_layer(made):
    data = xarray.open_zarr(str(made), group="indicators")
    assert data["comparison"].values.tolist() == ["2020"]
    assert (data["shannon"].values == 2).all()


def test_it_is_sealed_with_figures_pictures_and_a_page(made, folder):
    record = json.loads((made / "artefact.json").read_text())
    assert record["sources"] == ["made up"] + [f"source of map-{year}.zarr" for year in (2000, 2010, 2020)]
    assert record["figures"]["richness change 2020"] < record["figures"]["richness change 2010"] < 0
    page = (made / "change.html").read_text()
    assert "2000 to 2010" in page and "source of map-2020.zarr" in page and "20 joint draws" in page
    assert len(list((made / "pictures").glob("*.png"))) == 10


def test_maps_that_cannot_be_compared_are_refused(world, folder, tmp_path):
    place = UPath(tmp_path)
    values = np.full((5, *world.grid.shape), 0.5, np.float32)
    small = Grid(world.grid.x0, world.grid.y1, 1000, 64, 64)
    write_map(place / "small", values[:, :64, :64], small, world.species)
    write_map(place / "others", values, world.grid, [*world.species[:4], "Ulmus minor"])
    write_map(place / "turned", values, world.grid, world.species[::-1])
    write_map(place / "ranks", values, world.grid, world.species, "relative")
    write_map(place / "recorded", values, world.grid, world.species, "recorded")
    first = {"a": Map(folder / "map-2000.zarr")}
    for name, message in {
        "small": r"small: has cells of 1000 m from 4000000, 3136000 .*; expected one grid",
        "others": r"others: has 1 species, such as 'Ulmus minor', that are not in .*map-2000.zarr; expected the same",
        "turned": r"turned: has its species in another order than .*map-2000.zarr",
        "recorded": r"recorded: holds probabilities of kind 'recorded', .*map-2000.zarr of kind 'occurrence'",
    }.items():
        with pytest.raises(InputError, match=message):
            require_comparable(first | {"b": Map(place / name)})
    with pytest.raises(InputError, match=r"ranks: change: the probabilities are of kind 'relative'"):
        require_comparable(dict.fromkeys("ab", Map(place / "ranks")))


def test_indicators_that_do_not_fit_are_refused(world, folder):
    for indicators, message in {
        ("1999", "2020"): r"indicators: '1999' is the label of no map; expected of 2000, 2010, 2020",
        ("2010", "2020"): r"indicators: those of '2000', the first map, are missing",
    }.items():
        with pytest.raises(InputError, match=message):
            run(config(world, folder, indicators=dict.fromkeys(indicators, "a")), None)
