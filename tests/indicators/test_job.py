import csv
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
import xarray
from helpers.small_country import SPECIES as COMMON
from upath import UPath

from sdm_ray.config import TrackingConfig
from sdm_ray.errors import InputError
from sdm_ray.geo.windows import tiles
from sdm_ray.indicators.config import IndicatorsConfig
from sdm_ray.indicators.countries import sums_by_country
from sdm_ray.indicators.error_model import ErrorModel, write_error_model
from sdm_ray.indicators.job import run
from sdm_ray.indicators.ranges import read_cuts
from sdm_ray.job import execute
from sdm_ray.mapping.config import ComputeConfig
from sdm_ray.mapping.quality_layers import LAYERS
from sdm_ray.metrics.probability_kind import layer_has_meaning
from sdm_ray.readers.zone_polygons import read_zones
from sdm_ray.stores import artefact, pyramid
from sdm_ray.stores.ledger import Ledger
from sdm_ray.stores.maps import Map, MapSpec, create_map

SPECIES = [
    *COMMON,  # those of the small country
    *("Acer campestre", "Betula pendula", "Carpinus betulus", "Pinus cembra", "Ulmus laevis"),
]


def write_map(world, path, probability, kind, specs=LAYERS):
    """A finished map of given probabilities."""
    species = pd.DataFrame({"species_id": range(10), "name": SPECIES})
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
    values = np.random.default_rng(1).random((10, *world.grid.shape)).astype(np.float32) ** 3
    return np.where(world.land, values, np.nan)


@pytest.fixture(scope="module")
def made(world, probability, in_process, tmp_path_factory):
    folder = UPath(tmp_path_factory.mktemp("indicators"))
    write_map(world, folder / "map.zarr", probability, "occurrence")
    pyramid.create_levels(folder / "map.zarr", 2)
    write_thresholds(folder / "evaluation", world.species[:4])
    (folder / "traits.csv").write_text("species,height\nTaxus baccata L.,20\nQuercus robur,30\nYeti,2\n")
    config = IndicatorsConfig(
        run_dir=str(folder),
        land=str(world.folder / "land.zarr"),
        thresholds=[0.25, 0.5],
        evaluation="evaluation",
        traits=[{"file": str(folder / "traits.csv"), "columns": ["height"], "source": "a trait table, CC0"}],
        lists={"protected": {"species": ["Taxus baccata", "Ilex aquifolium L."]}},
        sensitive={"Fagus sylvatica": 30_000, "Abies alba": None},
        zones=write_zones(folder / "zones.gpkg"),
        errors=write_errors(folder / "errors", SPECIES),
        tracking={"uri": f"sqlite:///{world.folder}/mlflow.db"},
        compute=ComputeConfig(cpus=0.5),
    )
    execute("indicators", config, run, "indicators")
    return folder / "indicators.zarr"


def write_errors(folder, species):
    """Errors that all species share over 50 km."""
    folder.mkdir()
    count, none = len(species), np.zeros((1, len(species)), np.float32)
    loadings = np.full((1, count, 1), 0.5, np.float32)
    write_error_model(
        folder, ErrorModel(tuple(species), (50_000.0,), loadings, none, np.zeros((count, 1), np.float32)), {}
    )
    artefact.seal(folder, artefact.Record(kind="errors", fingerprint="errors"))
    return "errors"


def write_zones(path):
    """Six zones of the small country: whole, a parcel, one at the coast, far away, broken, and without a polygon."""
    west, north = 4_000_000, 3_200_000
    shapes = [
        shapely.box(west + 40_000, north - 90_000, west + 120_000, north - 30_000),
        shapely.box(west + 90_200, north - 60_800, west + 90_700, north - 60_300),
        shapely.box(west - 20_000, north - 30_000, west + 60_000, north + 10_000),
        shapely.box(0, 0, 10_000, 10_000),
        shapely.Polygon([(west + x * 1e4, north - y * 1e4) for x, y in ((6, 6), (8, 8), (8, 6), (6, 8))]),
        shapely.Polygon(),
    ]
    rows = {"code": list("ABCDEF"), "title": ["Heath", *"bcdef"], "kind": ["site", "parcel", *["site"] * 4]}
    data = pa.table({**rows, "wkb": shapely.to_wkb(np.array(shapes))})
    pyogrio.write_arrow(data, path, geometry_name="wkb", geometry_type="Polygon", crs="EPSG:3035")
    return {
        "file": str(path),
        "id": "code",
        "name": "title",
        "similar_by": ["kind"],
        "reports": "all",
        "source": "zones, CC BY",
    }


def tracking(world):
    return TrackingConfig(uri=f"sqlite:///{world.folder}/mlflow.db")


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


def test_they_have_as_many_levels_as_the_map(made, world, probability):
    assert pyramid.level_count(made) == 2
    side = world.grid.height // 4 * 4, world.grid.width // 4 * 4
    richness = probability.sum(0)[: side[0], : side[1]].reshape(side[0] // 4, 4, side[1] // 4, 4)
    found = xarray.open_zarr(str(made), group="2")
    inland = ~np.isnan(richness).any(axis=(1, 3))
    coarse = found["richness"].values[: inland.shape[0], : inland.shape[1]]
    assert inland.any() and coarse[inland] == pytest.approx(richness.mean(axis=(1, 3))[inland], rel=1e-5)
    assert np.nansum(found["cell_count"].values) == world.land.sum()


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
    assert [row["species"] for row in rows] == SPECIES[1:], "Abies alba is not to be published at all"
    areas = [float(row["expected_area_km2"]) for row in rows]
    assert areas == pytest.approx(np.nansum(probability[1:], axis=(1, 2), dtype=np.float64), abs=1e-3)


def test_ranges_are_the_cells_that_reach_a_named_threshold(made, world):
    ranges = pd.read_csv(str(made / "ranges.csv"))
    assert list(ranges) == ["species", "max_tss", "km2 above max_tss", "minimum_presence", "km2 above minimum_presence"]
    decoded = Map(made.parent / "map.zarr").read(tiles(world.grid, 1000)[0].window)
    assert ranges["species"].tolist() == SPECIES[1:]
    for species, row in zip(range(1, 10), ranges.to_dict("records"), strict=True):
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
    np.testing.assert_allclose(data["richness"].values, probability.sum(0), atol=10 * 0.51 / 254)
    assert "no number of species" in data["richness"].attrs["long_name"]
    assert not (folder / "indicators.zarr" / "pictures").exists()


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"zones": {"id": "nr"}}, r"zones\.gpkg: has no nr; found code, title, kind"),
        ({"zones": {"id": "kind"}}, r"zones\.gpkg: rows 1 and 3 have the same kind, 'site'"),
        (
            {"zones": {"id": "code", "reports": ["Z"]}},
            r"zones\.reports: .*zones\.gpkg has no zone 'Z'; found such as 'A'",
        ),
        ({"sensitive": {"Yeti": None}}, r"sensitive: names none of the map's 10 species; found Yeti"),
        (
            {"sensitive": {"Abies alba": None}, "lists": {"red": {"species": ["Abies alba"]}}},
            r"sensitive: the list red counts 1 species of the map and Abies alba is one of them",
        ),
    ],
)
def test_what_does_not_fit_the_map_is_one_line(world, probability, in_process, tmp_path, values, line):
    folder = UPath(tmp_path)
    write_map(world, folder / "map.zarr", probability, "occurrence")
    if "zones" in values:
        values = {"zones": {"file": write_zones(folder / "zones.gpkg")["file"], **values["zones"]}}
    config = IndicatorsConfig(run_dir=str(folder), land=str(world.folder / "land.zarr"), indicators=[], **values)
    with pytest.raises(InputError, match=line):
        execute("indicators", config.model_copy(update={"tracking": tracking(world)}), run, "indicators")


def test_polygons_elsewhere_are_one_line(world, probability, in_process, tmp_path):
    folder = UPath(tmp_path)
    write_map(world, folder / "map.zarr", probability, "occurrence")
    far = pa.table({"wkb": shapely.to_wkb(np.array([shapely.box(0, 0, 1000, 1000)]))})
    pyogrio.write_arrow(far, folder / "far.gpkg", geometry_name="wkb", geometry_type="Polygon", crs="EPSG:3035")
    config = IndicatorsConfig(
        run_dir=str(folder), land=str(world.folder / "land.zarr"), zones={"file": str(folder / "far.gpkg")}
    )
    with pytest.raises(InputError, match=r"far\.gpkg: no polygon lies in the map, which covers .* in EPSG:3035"):
        execute("indicators", config.model_copy(update={"tracking": tracking(world)}), run, "indicators")


def test_sums_by_country():
    sums = sums_by_country(np.array([0, 2, 2]), np.array([1.0, 2, 4]), np.array([0.5, 0.25, 0.25]), 3)
    assert sums.tolist() == [[1, 1, 1, 0.5], [0, 0, 0, 0], [2, 6, 20, 0.5]]


def test_layers_of_all_indicators_are_those_of_the_formulas(made, world):
    """The same written down anew over the whole decoded map."""
    p = Map(made.parent / "map.zarr").read(tiles(world.grid, 1000)[0].window)[:, world.land].astype(float)
    data = xarray.open_zarr(str(made), group="0")

    def layer(name):
        return data[name].values[world.land]

    shares = np.where(p >= 0.01, p, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = shares / shares.sum(0)  # NaN where no species reaches the floor
        shannon = np.where(np.isnan(shares[0]), np.nan, -np.nansum(shares * np.log(shares), axis=0))
    np.testing.assert_allclose(layer("shannon"), shannon, atol=1e-4)
    np.testing.assert_allclose(layer("hill_1"), np.exp(shannon), rtol=1e-4)
    np.testing.assert_allclose(layer("simpson"), 1 - (shares**2).sum(0), atol=1e-5)
    np.testing.assert_allclose(layer("hill_2"), 1 / (shares**2).sum(0), rtol=1e-4)
    np.testing.assert_allclose(layer("richness_protected"), p[[2, 4]].sum(0), rtol=1e-5)
    np.testing.assert_allclose(layer("cwm_height"), (20 * p[4] + 30 * p[3]) / (p[4] + p[3]), rtol=1e-5)
    y = np.sqrt(p / p.sum(0))
    squares = ((y - y.mean(axis=1, keepdims=True)) ** 2).sum(axis=0)
    np.testing.assert_allclose(layer("lcbd"), squares / squares.sum(), rtol=1e-4)
    assert np.nansum(data["lcbd"].values) == pytest.approx(1, rel=1e-4)
    areas = np.array([float(row["expected_area_km2"]) for row in table(made / "species.csv")])
    rarity = (p[2:] / areas[1:, None]).sum(0)  # without the sensitive species
    np.testing.assert_allclose(layer("rarity_weighted_richness"), rarity, rtol=1e-4)
    assert "without 2 sensitive species" in data["weighted_endemism"].attrs["long_name"]
    shown = p.copy()
    shown[:2] = -1  # sensitive
    dominant, some = layer("dominant_species"), shown.max(axis=0) > 0
    assert np.array_equal(np.isnan(dominant), ~some)
    names = data["species"].values[dominant[some].astype(int)]
    assert names.tolist() == [SPECIES[number] for number in shown[:, some].argmax(axis=0)]


def zone_rows(made):
    return pd.read_csv(str(made / "zones.csv")).set_index("zone")


def test_zones_are_means_over_exact_fractions(made, world, probability):
    rows = zone_rows(made)
    inside = probability[:, 30:90, 40:120]
    row = rows.loc["A"]
    assert row["mapped_km2"] == np.isfinite(inside[0]).sum() and row["area_km2"] == 4800
    richness = inside.sum(0)
    assert row["richness"] == pytest.approx(np.nanmean(richness), rel=1e-4)
    assert row["richness_sd_between"] == pytest.approx(np.nanstd(richness), rel=1e-3)
    variance = (inside * (1 - inside)).sum(0)
    expected = np.sqrt(np.nansum(variance)) / np.isfinite(richness).sum()
    assert row["richness_sd_independent"] == pytest.approx(expected, rel=1e-4)
    assert row["richness_low"] < row["richness"] - 3 * row["richness_sd_independent"]
    assert row["richness_high"] > row["richness"] + 3 * row["richness_sd_independent"]
    assert row["richness_protected_low"] < row["richness_protected"] < row["richness_protected_high"]
    parcel = rows.loc["B"]
    assert parcel["mapped_km2"] == pytest.approx(0.25) and parcel["richness"] == pytest.approx(
        richness[30, 50], rel=1e-4
    )


def test_zones_that_are_not_whole_say_so_and_are_counted(made):
    warnings = zone_rows(made)["warnings"].fillna("")
    assert warnings["B"] == "smaller than a cell" and warnings["C"] == "partly without a value in the map"
    assert warnings["D"] == "outside the map" and warnings["F"] == "no polygon"
    assert "invalid geometry, made valid" in warnings["E"]
    figures = json.loads((made / "artefact.json").read_text())["figures"]
    counted = {name: figures[f"zones_{name}"] for name in ("empty", "repaired", "outside", "small")}
    assert figures["zones"] == 6 and counted == {"empty": 1, "repaired": 1, "outside": 1, "small": 1}


def test_tables_do_not_name_species_that_are_not_to_be_published(made):
    for name in ("species.csv", "ranges.csv", "intervals.csv"):
        text = (made / name).read_text()
        assert "Abies alba" not in text and "Fagus sylvatica" in text, name


def test_species_of_zones_withhold_the_sensitive_ones(made, world, probability):
    rows = pd.read_parquet(str(made / "zone_species.parquet"))
    here = rows[rows["zone"] == "A"].set_index("species")
    decoded = Map(made.parent / "map.zarr").read(tiles(world.grid, 1000)[0].window)[:, 30:90, 40:120]
    assert "Abies alba" not in set(rows["species"]), "not at all"
    assert set(rows.loc[rows["species"] == "Fagus sylvatica", "zone"]) == {"A"}, "no zone below 30 km x 30 km"
    for number in (1, 4):
        row = here.loc[SPECIES[number]]
        assert row["mean_probability"] == pytest.approx(np.nanmean(decoded[number]), rel=1e-4)
        assert row["expected_area_km2"] == pytest.approx(np.nansum(decoded[number]), rel=1e-4)
        assert row["highest_probability"] == pytest.approx(np.nanmax(decoded[number]), rel=1e-5)
    assert here["list_protected"].to_dict() == {
        name: name in ("Ilex aquifolium", "Taxus baccata") for name in SPECIES[1:]
    }
    assert zone_rows(made)["withheld_species"].to_dict() == {"A": 1, **dict.fromkeys("BCDEF", 2)}
    assert not (made / "zone_parts").exists()


def test_sources_and_licences_travel_into_every_product(made):
    sources = {"a trait table, CC0", "zones, CC BY"}
    record = json.loads((made / "artefact.json").read_text())
    assert sources <= set(record["sources"])
    assert sources <= set(json.loads((made / "zones.json").read_text())["sources"])
    assert all(each in xarray.open_zarr(str(made), group="0").attrs["source"] for each in sources)
    assert all(each in (made / "reports" / "A.html").read_text() for each in sources)
    assert all(
        each in pq.read_schema(str(made / "zone_species.parquet")).metadata[b"sources"].decode() for each in sources
    )


def test_a_page_for_each_zone_with_values(made):
    pages = {page.name for page in (made / "reports").iterdir()}
    assert pages == {"A.html", "B.html", "C.html", "E.html"}
    page = (made / "reports" / "A.html").read_text()
    assert "Zone Heath" in page and "Species of the list protected" in page and page.count("data:image/png") == 2
    assert "Abies alba" not in page and "1 sensitive species are withheld" in page
    assert "invalid geometry, made valid" in (made / "reports" / "E.html").read_text()


def test_zones_open_again_with_their_geometry(made):
    zones = read_zones(str(made / "zones.parquet"))
    assert zones.table["zone"].tolist() == list("ABCDEF") and zones.shapes[0].area == pytest.approx(4.8e9)
