"""Embeddings of every cell, and maps made from them alone."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import to_lonlat, to_xy
from sdm_ray.geo.windows import whole
from sdm_ray.stores import artefact
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.embeddings import Embeddings, steps_of
from sdm_ray.stores.maps import Map
from sdm_ray.stores.surveys import read_surveys, write_surveys

CORNER = (4_000_000.0, 3_072_000.0, 4_128_000.0, 3_200_000.0)


def test_a_map_from_embeddings_is_the_direct_one(world, make):
    """Within 0.01 in 99 % of the cells, without the cube; what was known of a cell is what the embeddings say."""
    stored = make("embeddings.zarr", "embed", model="seeing", cube="cube.zarr")
    direct = Map(make("direct.zarr", model="seeing", cube="cube.zarr", bits=16))
    path = make("again.zarr", model="seeing", from_embeddings=str(stored), bits=16)
    found = Map(path)
    p, q = direct.read(whole(world.grid)), found.read(whole(world.grid))
    assert np.array_equal(np.isnan(p), np.isnan(q))
    known = ~np.isnan(p)
    assert (np.abs(p - q)[known] < 0.01).mean() > 0.99 and not np.array_equal(p[known], q[known])
    surveys, _ = read_surveys(world.folder / "surveys.parquet")
    cells = world.grid.cell(*to_xy(surveys["lon"].to_numpy(), surveys["lat"].to_numpy()))
    seen = np.array([np.isin(range(5), each) for each in surveys["species"]])
    for number, (near, far) in enumerate(zip(direct.read_cells(*cells).T, found.read_cells(*cells).T, strict=True)):
        assert abs(roc_auc_score(seen[:, number], near) - roc_auc_score(seen[:, number], far)) < 0.02
    for name in ("inputs", "valid_scenes", "survey_distance", "environmental_similarity"):
        np.testing.assert_array_equal(found.layer(name), direct.layer(name))
    record = artefact.read_record(stored)
    assert record.figures["cells"] == world.land.sum() and record.figures["clipped_share"] < 0.001
    part = Map(make("part.zarr", model="seeing", from_embeddings=str(stored), bits=16, extent=CORNER, tile=32))
    np.testing.assert_array_equal(part.read(whole(part.grid)), q[:, :128, :128])
    chosen = tuple(world.species[number] for number in (3, 1))
    some = Map(make("some.zarr", model="seeing", from_embeddings=str(stored), bits=16, species=chosen))
    np.testing.assert_allclose(some.read(whole(some.grid)), q[[1, 3]], atol=2e-5)


def test_how_the_work_was_cut_does_not_change_embeddings(world, make):
    first, second = (Embeddings(make(f"{tile}.zarr", "embed", tile=tile)) for tile in (64, 128))
    assert np.array_equal(first.scale, second.scale)
    assert np.array_equal(first.read(whole(world.grid)), second.read(whole(world.grid)))


def test_an_unknown_species_is_mapped_from_a_few_occurrences(world, make, tmp_path):
    stored = make("embeddings.zarr", "embed")
    rows, cols = np.nonzero(world.land & world.covered)
    x, y = world.grid.centre(rows, cols)
    lime = Covariates(world.folder / "covariates.zarr").at(x, y)[0][:, 2]
    there = lime > np.quantile(lime, 0.8)
    some = np.random.default_rng(1).choice(np.flatnonzero(there), 20, replace=False)
    lon, lat = to_lonlat(x[some], y[some])
    table = pd.DataFrame({"survey_id": range(20), "lon": lon, "lat": lat, "year": 2020, "uncertainty_m": 10.0})
    table["species"] = [np.array([0], np.int32)] * 20
    names = pd.DataFrame({"species_id": [0], "name": ["Sesleria caerulea"], "gbif_key": [7]})
    write_surveys(UPath(tmp_path) / "new" / "new.parquet", table, names, "relative")
    artefact.seal(UPath(tmp_path) / "new" / "new.parquet", artefact.Record(kind="surveys", fingerprint="new"))
    found = Map(make("new.zarr", from_embeddings=str(stored), occurrences=f"{tmp_path}/new/new.parquet"))
    assert (found.probability_kind, found.species["name"].tolist()) == ("relative", ["Sesleria caerulea"])
    assert {"inputs", "survey_distance"} <= set(found.layers()) and "richness" not in found.layers()
    assert not (found.path / "pictures" / "richness.png").exists()
    assert "mean_richness" not in artefact.read_record(found.path).figures
    assert roc_auc_score(there, found.read_cells(rows, cols)[:, 0]) > 0.9
    far = table.assign(lon=table["lon"] + 20)
    write_surveys(UPath(tmp_path) / "far" / "far.parquet", far, names, "relative")
    artefact.seal(UPath(tmp_path) / "far" / "far.parquet", artefact.Record(kind="surveys", fingerprint="far"))
    with pytest.raises(InputError, match=r"far.parquet: Sesleria caerulea has no occurrence in an embedded cell"):
        make("none.zarr", from_embeddings=str(stored), occurrences=f"{tmp_path}/far/far.parquet")


def test_embeddings_that_do_not_fit_are_one_line(world, make):
    stored = make("embeddings.zarr", "embed", extent=CORNER, countries=["Westland"])
    with pytest.raises(
        InputError, match=r"from_embeddings: .*comes from a model of fingerprint plain; .*seeing has seeing"
    ):
        make(model="seeing", from_embeddings=str(stored), extent=CORNER)
    with pytest.raises(InputError, match=r"from_embeddings: .*embeddings.zarr covers .*; the map covers"):
        make(from_embeddings=str(stored))
    with pytest.raises(InputError, match=r"holds \d+ of \d+ wanted cells; embed all that is to be mapped"):
        make(from_embeddings=str(stored), extent=CORNER)


def test_steps_hold_a_sample_with_a_tenth_to_spare():
    sample = np.array([[1.0, -3.0, 0.0], [-2.0, 1.0, 0.0]], np.float32)
    np.testing.assert_allclose(steps_of(sample) * 127, [2.2, 3.3, 127])


def test_what_is_no_store_of_embeddings_is_one_line(world):
    with pytest.raises(InputError, match=r"no Zarr v3 group there"):
        Embeddings(UPath(world.folder) / "land.zarr")
