import csv
import json

import numpy as np
import pandas as pd
import pytest
import xarray
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.windows import tiles
from sdm_ray.indicators.config import IndicatorsConfig
from sdm_ray.indicators.job import run, sums_by_country
from sdm_ray.indicators.ranges import read_cuts
from sdm_ray.job import execute
from sdm_ray.mapping.config import ComputeConfig
from sdm_ray.mapping.quality_layers import LAYERS
from sdm_ray.metrics.probability_kind import layer_has_meaning
from sdm_ray.stores import artefact
from sdm_ray.stores.ledger import Ledger
from sdm_ray.stores.maps import Map, MapSpec, create_map


def write_map(world, path, probability, kind, specs=LAYERS):
    """A finished map of given probabilities."""
    species = pd.DataFrame({"species_id": range(5), "name": world.species})
    create_map(path, world.grid, MapSpec(species, kind, 64, specs))
    ledger = Ledger(path, "f")
    for tile in tiles(world.grid, 64):
        p = probability[(slice(None), *tile.window.slices)]
        layers = {"richness": p.sum(0), "richness_variance": (p * (1 - p)).sum(0)}
        layers = {name: values for name, values in layers.items() if name in specs}
        Map(path, writable=True).write(tile.window, p, layers)
        sums = np.nansum(p, axis=(1, 2), dtype=np.float64).tolist()
        ledger.add(tile.id, {"cells": int((~np.isnan(p[0])).sum()), "species_sums": sums})
    artefact.seal(path, artefact.Record(kind="map", fingerprint="f"))


def write_thresholds(folder, species):
    """Those of an evaluation of some of the species; the last has none."""
    cuts = np.array([0.1, 0.3, 0.8, np.nan])
    columns = {"species": species, "surveys": 9, "max_tss": cuts, "surveys above max_tss": 1}
    folder.mkdir()
    table = pd.DataFrame(columns | {"minimum_presence": cuts / 2, "surveys above minimum_presence": 1})
    (folder / "thresholds.csv").write_text(table.to_csv(index=False))
    artefact.seal(folder, artefact.Record(kind="evaluation", fingerprint="e"))


@pytest.fixture(scope="module")
def probability(world):
    values = np.random.default_rng(1).random((5, *world.grid.shape)).astype(np.float32) ** 3
    return np.where(world.land, values, np.nan)


@pytest.fixture(scope="module")
def made(world, probability, ray_cluster, tmp_path_factory):
    folder = UPath(tmp_path_factory.mktemp("indicators"))
    write_map(world, folder / "map.zarr", probability, "occurrence")
    write_thresholds(folder / "evaluation", world.species[:4])
    config = IndicatorsConfig(
        run_dir=str(folder),
        land=str(world.folder / "land.zarr"),
        thresholds=[0.25, 0.5],
        evaluation="evaluation",
        tracking={"uri": f"sqlite:///{world.folder}/mlflow.db"},
        compute=ComputeConfig(cpus=0.5),
    )
    execute("indicators", config, run, "indicators")
    return folder / "indicators.zarr"


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_layers_open_in_xarray_and_hold_the_sums(made, world, probability):
    data = xarray.open_zarr(str(made), group="0")
    variance = (probability * (1 - probability)).sum(0)
    np.testing.assert_allclose(data["richness"].values, probability.sum(0), rtol=1e-6)
    np.testing.assert_allclose(data["richness_sd"].values, np.sqrt(variance), rtol=1e-6)
    assert data["spatial_ref"].attrs["crs_wkt"]
    assert np.array_equal(data["x"], world.grid.x)
    likely = data["likely_species"].sel(threshold=0.5).values
    decoded = Map(made.parent / "map.zarr").read(tiles(world.grid, 1000)[0].window)
    assert np.array_equal(likely[world.land], (decoded >= 0.5).sum(0)[world.land])
    assert np.isnan(likely[~world.land]).all()


def test_countries_are_means_over_their_cells(made, world, probability):
    rows = {row["country"]: row for row in table(made / "countries.csv")}
    assert set(rows) == {"Westland", "Eastland"}
    here = world.country == 2
    richness, variance = probability.sum(0)[here], (probability * (1 - probability)).sum(0)[here]
    row = rows["Eastland"]
    assert (int(row["cells"]), float(row["area_km2"])) == (here.sum(), here.sum())
    assert float(row["mean_richness"]) == pytest.approx(richness.mean(), abs=1e-4)
    assert float(row["sd_between_cells"]) == pytest.approx(richness.std(), abs=1e-4)
    assert float(row["sd_within_cell"]) == pytest.approx(np.sqrt(variance.mean()), abs=1e-4)


def test_species_have_their_expected_area_from_unrounded_probabilities(made, world, probability):
    rows = table(made / "species.csv")
    assert [row["species"] for row in rows] == world.species
    areas = [float(row["expected_area_km2"]) for row in rows]
    assert areas == pytest.approx(np.nansum(probability, axis=(1, 2), dtype=np.float64), abs=1e-3)


def test_ranges_are_the_cells_that_reach_a_named_threshold(made, world):
    ranges = pd.read_csv(str(made / "ranges.csv"))
    assert list(ranges) == ["species", "max_tss", "km2 above max_tss", "minimum_presence", "km2 above minimum_presence"]
    decoded = Map(made.parent / "map.zarr").read(tiles(world.grid, 1000)[0].window)
    for species, row in ranges.iterrows():
        for name in ("max_tss", "minimum_presence"):
            if species < 3:
                assert row[f"km2 above {name}"] == (decoded[species] >= np.float32(row[name])).sum() > 0
            else:  # one without threshold, one that was not scored
                assert np.isnan(row[name]) and np.isnan(row[f"km2 above {name}"])


def test_an_evaluation_of_other_species_is_refused(world, tmp_path):
    with pytest.raises(InputError, match=r"thresholds\.csv: no such file; expected an artefact of `evaluate`"):
        read_cuts(UPath(tmp_path), world.species)
    write_thresholds(UPath(tmp_path) / "evaluation", ["A", "B", "C", "D"])
    with pytest.raises(InputError, match=r"thresholds\.csv: has none of the map's 5 species"):
        read_cuts(UPath(tmp_path) / "evaluation", world.species)


def test_it_is_sealed_with_its_figures_and_pictures(made, world, probability):
    figures = json.loads((made / "artefact.json").read_text())["figures"]
    assert figures["cells"] == world.land.sum()
    assert figures["mean_richness"] == pytest.approx(probability.sum(0)[world.land].mean(), rel=1e-5)
    for name in ("richness", "richness_sd"):
        assert (made / "pictures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_relative_suitabilities_are_refused(world, probability, tmp_path):
    write_map(world, UPath(tmp_path) / "map.zarr", probability, "relative")
    config = IndicatorsConfig(run_dir=str(tmp_path), land=str(world.folder / "land.zarr"))
    with pytest.raises(InputError, match=r"map.zarr: richness: .* kind 'relative'.*force: \[relative\]"):
        run(config, None)


def test_forced_indicators_are_sums_of_stored_suitabilities_and_say_so(world, probability, ray_cluster, tmp_path):
    folder = UPath(tmp_path)
    layers = {name: layer for name, layer in LAYERS.items() if layer_has_meaning(name, "relative")}
    write_map(world, folder / "map.zarr", probability, "relative", layers)
    config = IndicatorsConfig(
        run_dir=str(folder),
        land=str(world.folder / "land.zarr"),
        force=["relative"],
        tracking={"uri": f"sqlite:///{world.folder}/mlflow.db"},
        compute=ComputeConfig(cpus=0.5),
    )
    execute("indicators", config, run, "indicators")
    data = xarray.open_zarr(str(folder / "indicators.zarr"), group="0")
    np.testing.assert_allclose(data["richness"].values, probability.sum(0), atol=5 * 0.51 / 254)
    assert "no number of species" in data["richness"].attrs["long_name"]
    assert not (folder / "indicators.zarr" / "pictures").exists()


def test_sums_by_country():
    sums = sums_by_country(np.array([0, 2, 2]), np.array([1.0, 2, 4]), np.array([0.5, 0.25, 0.25]), 3)
    assert sums.tolist() == [[1, 1, 1, 0.5], [0, 0, 0, 0], [2, 6, 20, 0.5]]
