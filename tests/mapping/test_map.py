"""The job on a generated country: how the work is cut, interrupted or spread changes nothing."""

import contextlib
import shutil
import threading
from dataclasses import replace

import numpy as np
import psutil
import pytest
import shapely
import torch
import xarray
import yaml
from helpers.in_order import in_order
from helpers.small_models import BLOCKS, PLAIN, save_model
from scipy.spatial import KDTree
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import fold
from sdm_ray.geo.grid import Grid, to_lonlat, to_xy
from sdm_ray.geo.windows import centred, whole
from sdm_ray.mapping import tile_workers
from sdm_ray.mapping.config import ComputeConfig, MapConfig
from sdm_ray.mapping.map import dry_run
from sdm_ray.model_io import Photos, describe_species, read_species_folder
from sdm_ray.stores import artefact, maps
from sdm_ray.stores.covariates import Covariates, write_covariates
from sdm_ray.stores.cube import Cube, create_cube
from sdm_ray.stores.holdout import HoldOut
from sdm_ray.stores.land import write_land
from sdm_ray.stores.maps import Map
from sdm_ray.stores.patch_reader import Wanted
from sdm_ray.stores.surveys import read_surveys, write_surveys

STEP = 1.01 / 65534  # a matrix product of another width may round to the neighbouring step
CORNER = (4_000_000.0, 3_072_000.0, 4_128_000.0, 3_200_000.0)


def stored(path):
    """All decoded arrays of a map, by level and name."""
    levels = sorted(each.name for each in path.iterdir() if each.name.isdigit())
    found = {level: xarray.open_zarr(str(path), group=level).load() for level in levels}
    return {(level, name): array.values for level, data in found.items() for name, array in data.variables.items()}


def assert_equal_maps(first, second):
    first, second = stored(first), stored(second)
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], str(name))


def expected(world, model, cells):
    """What a model says of cells, (N, S), computed at once."""
    x, y = world.grid.centre(*np.nonzero(cells))
    values, known = Covariates(world.folder / "covariates.zarr").select(PLAIN.covariates).at(x, y)
    batch = {
        "lonlat": torch.from_numpy(np.column_stack(to_lonlat(x, y))),
        "covariates": torch.from_numpy(values),
        "has_covariates": torch.from_numpy(known),
    }
    with torch.inference_mode():
        return model.probabilities(batch).numpy()


def test_the_map_is_the_models_on_land_and_nodata_at_sea(world, models, make):
    path = make()
    data = xarray.open_zarr(str(path), group="0")
    assert list(data["species"].values) == world.species
    assert np.array_equal(data["x"], world.grid.x)
    assert np.array_equal(data["y"], world.grid.y)
    assert "3035" in data["spatial_ref"].attrs["crs_wkt"]
    p = expected(world, models["plain", None], world.land)
    probability = data["probability"].values
    assert np.isnan(probability[:, ~world.land]).all()
    np.testing.assert_allclose(probability[:, world.land], p.T, atol=0.51 / 254)
    np.testing.assert_allclose(data["richness"].values[world.land], p.sum(1), rtol=1e-5)
    np.testing.assert_allclose(data["richness_variance"].values[world.land], (p * (1 - p)).sum(1), rtol=1e-5)
    assert np.array_equal(data["inputs"].values[world.land], np.where(world.covered, 3, 1)[world.land])
    assert set(np.unique(data["surveyed_country"].values[world.country == 2])) == {0}
    assert set(np.unique(data["surveyed_country"].values[world.country == 1])) == {1}
    assert (data["survey_distance"].values[world.surveys] == 0).all()
    record = artefact.read_record(path)
    assert record.figures["cells"] == world.land.sum()
    assert record.figures["mean_richness"] == pytest.approx(p.sum(1).mean(), rel=1e-6)
    about = Map(path).attrs
    assert (about["crossfitted"], about["effective_resolution_m"]) == (False, 2000)
    assert (path / "pictures" / "richness.png").exists()


def test_tiles_and_workers_change_nothing(make):
    first = make("one.zarr", tile=64, compute=ComputeConfig(workers=1))
    second = make("two.zarr", tile=128, compute=ComputeConfig(workers=2, cpus=0.5))
    assert_equal_maps(first, second)


def test_an_interrupted_map_is_continued(make, monkeypatch, tmp_path, world):
    whole_map = make("whole.zarr")

    def ends(*args, **settings):
        for count, each in enumerate(genuine(*args, **settings)):
            if count == 4:
                raise KeyboardInterrupt
            yield each

    genuine = tile_workers.run_tasks
    monkeypatch.setattr(tile_workers, "run_tasks", ends)
    with pytest.raises(KeyboardInterrupt):
        make("cut.zarr")
    monkeypatch.setattr(tile_workers, "run_tasks", genuine)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "cut.zarr" / "ledger").glob("*.json")}
    assert 4 <= len(before) < len(list((whole_map / "ledger").glob("*.json")))
    again = make("cut.zarr")
    assert (
        before.items()
        <= {file: file.stat().st_mtime_ns for file in (tmp_path / "cut.zarr" / "ledger").iterdir()}.items()
    )
    assert_equal_maps(whole_map, again)


def test_a_map_in_a_repository_is_the_plain_one(make, monkeypatch, tmp_path):
    """Committed tile by tile, interrupted between commits and continued; in the end one version."""
    plain = make("plain.zarr")
    settings = {"repository": str(tmp_path / "repository"), "compute": ComputeConfig(workers=1, commit_tiles=2)}

    def ends(*args, **settings):
        for count, each in enumerate(genuine(*args, **settings)):
            yield each
            if count == 4:
                raise KeyboardInterrupt

    genuine = tile_workers.run_tasks
    monkeypatch.setattr(tile_workers, "run_tasks", ends)
    with pytest.raises(KeyboardInterrupt):
        make("kept.zarr", **settings)
    monkeypatch.setattr(tile_workers, "run_tasks", genuine)
    assert len(list((tmp_path / "kept.zarr" / "ledger").glob("*.json"))) == 5
    kept = make("kept.zarr", **settings)
    assert not (kept / "0").exists() and artefact.read_record(kept).figures["version"]
    for level in (0, 1):
        first, second = Map(plain, level), Map(kept, level)
        window = whole(first.grid)
        assert np.array_equal(first.stored(window), second.stored(window))
    assert all(np.array_equal(first.layer(name), second.layer(name), True) for name in second.layers())


def test_killed_workers_change_nothing(make):
    """Workers die by SIGKILL in the middle of their tiles; what they had begun is done again."""
    whole_map = make("whole.zarr", block=8)
    killed, over = [], threading.Event()

    def kill():
        moments = np.random.default_rng(0)
        while len(killed) < 3 and not over.wait(moments.uniform(0.05, 0.2)):
            with contextlib.suppress(psutil.Error):  # some end while they are looked at
                here = psutil.Process().children(recursive=True)
                if busy := [each for each in here if "ray::tile " in " ".join(each.cmdline())]:
                    busy[0].kill()
                    killed.append(busy[0].pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        try:
            again = make("killed.zarr", block=8)
        except InputError as error:  # one tile was hit as often as it was tried
            assert "run the job again for the rest" in str(error)
            over.set()
            again = make("killed.zarr", block=8)
    finally:
        over.set()
        killer.join()
    assert killed
    assert_equal_maps(whole_map, again)


def test_a_tile_that_fails_is_named_and_the_others_are_kept(make, world, tmp_path):
    """A chunk of the cube that cannot be decoded fails its tiles alone; once mended, a rerun does only those."""
    broken = tmp_path / "cube.zarr"
    shutil.copytree(str(world.folder / "cube.zarr"), broken)
    (shard,) = (broken / "reflectance").glob("c/0/0/0/0")
    good = shard.read_bytes()
    shard.write_bytes(good[:1000])
    with pytest.raises(InputError, match=r"seen.zarr: 1 of \d+ tiles failed: E4000000N3136000 \(.*cube.zarr: a chunk"):
        make("seen.zarr", model="seeing", cube=str(broken), extent=CORNER)
    done = len(list((tmp_path / "seen.zarr" / "ledger").glob("*.json")))
    shard.write_bytes(good)
    again = make("seen.zarr", model="seeing", cube=str(broken), extent=CORNER)
    assert len(list((again / "ledger").glob("*.json"))) == done + 1
    assert_equal_maps(again, make("sound.zarr", model="seeing", cube="cube.zarr", extent=CORNER))


def test_cells_with_imagery_use_it_and_the_others_say_so(world, models, make):
    path = make(model="seeing", cube="cube.zarr", extent=CORNER)
    found = Map(path)
    land, covered, imaged = (each[:128, :128] for each in (world.land, world.covered, world.imaged))
    inputs = found.layer("inputs")
    assert np.array_equal(inputs, land * (1 + 2 * covered + 4 * imaged))
    without = Map(make("blind.zarr", model="seeing", extent=CORNER))
    assert np.array_equal(without.layer("inputs"), land * (1 + 2 * covered))
    assert not np.array_equal(found.layer("richness")[land & imaged], without.layer("richness")[land & imaged])
    blind = land & ~imaged
    np.testing.assert_allclose(found.layer("richness")[blind], without.layer("richness")[blind], rtol=1e-5)


def test_memory_for_imagery_changes_nothing(make):
    first = make("wide.zarr", model="seeing", cube="cube.zarr", extent=CORNER)
    tight = ComputeConfig(workers=2, cpus=0.5, memory_mb=0.1)
    assert_equal_maps(first, make("tight.zarr", model="seeing", cube="cube.zarr", extent=CORNER, compute=tight))


def test_a_lattice_with_a_node_at_each_cell_gives_what_patches_of_their_own_give(make):
    own = make("own.zarr", model="seeing", cube="cube.zarr", extent=CORNER, bits=16)
    found = make("nodes.zarr", model="seeing", cube="cube.zarr", extent=CORNER, bits=16, stride_m=1000)
    first, second = stored(own), stored(found)
    for name in (("0", "probability"), ("0", "richness"), ("0", "inputs"), ("1", "probability")):
        np.testing.assert_allclose(second[name], first[name], rtol=1e-5, atol=STEP, err_msg=str(name))


def test_features_are_blended_between_nodes(world, models, make):
    """By hand, at cells between four nodes 2 km apart; the cut, the memory and the fold models change nothing."""
    wide = {"model": "seeing", "cube": "cube.zarr", "extent": CORNER, "bits": 16, "stride_m": 2000}
    first = make("wide.zarr", **wide, spread=True)
    tight = ComputeConfig(workers=1, memory_mb=0.1)
    assert_equal_maps(first, make("tight.zarr", **wide, spread=True, tile=32, compute=tight))
    found, model = Map(first), models["seeing", None]
    inputs = found.layer("inputs")
    row, col = next((r, c) for r, c in zip(*np.nonzero(inputs == 7), strict=True) if 40 < r < 70 and 40 < c < 70)
    x, y = (float(each) for each in found.grid.centre(row, col))
    near = [(a, b) for a in (x - 500, x + 500, x - 1500, x + 1500) for b in (y - 500, y + 500, y - 1500, y + 1500)]
    nodes = [each for each in near if each[0] % 2000 == 1000 and each[1] % 2000 == 1000]
    assert len(nodes) == 4
    weights = torch.tensor([(1 - abs(a - x) / 2000) * (1 - abs(b - y) / 2000) for a, b in nodes])
    cube = Cube(world.folder / "cube.zarr")
    images = cube.patches(Wanted(*centred(cube.grid, *np.array(nodes).T, 8), 8, bands=(1, 0)))
    values, known = Covariates(world.folder / "covariates.zarr").at(np.array([x]), np.array([y]))
    with torch.inference_mode():
        features = weights.float() @ model.satellite(torch.from_numpy(images.astype(np.float32)))
        p = model.probabilities({
            "lonlat": torch.from_numpy(np.column_stack(to_lonlat(np.array([x]), np.array([y])))),
            "covariates": torch.from_numpy(values[:, [2, 0]]),
            "has_covariates": torch.from_numpy(known),
            "features_satellite": features[None],
            "has_satellite": torch.tensor([True]),
        })  # fmt: skip
    np.testing.assert_allclose(found.read_cells(np.array([row]), np.array([col])), p.numpy(), atol=STEP)


def test_each_cell_of_a_crossfitted_map_is_from_the_model_that_never_saw_its_block(world, models, make):
    path = make(crossfit=True, cells="surveyed", bits=16)
    found = Map(path)
    assert found.attrs["crossfitted"] and found.attrs["blocks"]["size_m"] == BLOCKS.size_m
    probability = found.read(whole(world.grid))
    assert np.isnan(probability[:, ~world.surveys]).all()
    rows, cols = np.nonzero(world.surveys)
    held_out = fold(*world.grid.centre(rows, cols), BLOCKS)
    assert set(held_out) == {0, 1, 2}
    for number in range(3):
        here = np.zeros_like(world.surveys)
        here[rows[held_out == number], cols[held_out == number]] = True
        p = expected(world, models["plain", number], here)
        np.testing.assert_allclose(probability[:, here], p.T, atol=0.6 / 65534 + 1e-6)


def test_whole_countries_may_be_what_a_fold_model_never_saw(world, models, make):
    folder = world.folder / "abroad"
    save_model(folder, PLAIN, world.species, None, countries=True)
    for held_out in range(BLOCKS.folds):
        save_model(folder / "folds" / str(held_out), PLAIN, world.species, held_out, countries=True)
    artefact.seal(folder, artefact.Record(kind="model", fingerprint="abroad"))
    found = Map(make(model="abroad", crossfit=True, bits=16))
    assert found.attrs["held_out"] == "countries"
    probability = found.read(whole(world.grid))
    for country in (1, 2):
        here = world.country == country
        held_out = int(HoldOut(BLOCKS, str(world.folder / "land.zarr")).fold(*world.grid.centre(*np.nonzero(here)))[0])
        p = expected(world, models["plain", held_out], here)
        np.testing.assert_allclose(probability[:, here], p.T, atol=0.6 / 65534 + 1e-6)


def test_coarser_levels_are_means_of_the_cells_of_level_0(world, make):
    path = make(levels=2, bits=16)
    base, above = Map(path), Map(path, 2)
    finer = base.read(whole(base.grid)).reshape(5, 36, 4, 52, 4)
    known = ~np.isnan(finer).all(axis=(2, 4))
    mean = np.nanmean(np.where(known[:, :, None, :, None], finer, 0), axis=(2, 4))
    coarser = above.read(whole(above.grid))
    assert np.array_equal(~np.isnan(coarser), known)
    np.testing.assert_allclose(coarser[known], mean[known], atol=2 * STEP)


def test_only_the_cells_asked_for_are_mapped(world, make):
    square = shapely.box(4_030_000, 3_100_000, 4_110_000, 3_170_000)
    outline = world.folder / "square.wkt"
    dense = shapely.segmentize(square, 1000)
    outline.write_text(shapely.transform(dense, lambda points: np.column_stack(to_lonlat(*points.T))).wkt)
    path = make(within=str(outline), countries=["Westland"], near_surveys_m=5_000)
    x, y = np.meshgrid(world.grid.x, world.grid.y)
    surveyed = np.column_stack([x[world.surveys], y[world.surveys]])
    near = KDTree(surveyed).query(np.column_stack([x.ravel(), y.ravel()]))[0].reshape(x.shape) <= 5_000
    expected = (world.country == 1) & shapely.contains_xy(square, x, y) & near
    assert 0 < expected.sum() < (world.country == 1).sum()
    assert np.array_equal(Map(path).layer("inputs") > 0, expected)


def test_only_the_species_asked_for_are_mapped(world, models, make):
    everything = Map(make("all.zarr", bits=16)).read(whole(world.grid))
    chosen = Map(make("two.zarr", bits=16, species=["Taxus baccata", "Fagus sylvatica"]))
    assert chosen.species["name"].tolist() == ["Fagus sylvatica", "Taxus baccata"]  # in the model's order
    np.testing.assert_allclose(chosen.read(whole(world.grid)), everything[[1, 4]], atol=STEP)
    surveys, _ = read_surveys(world.folder / "surveys.parquet")
    shares = np.bincount(np.concatenate(surveys["species"].to_numpy()), minlength=5) / len(surveys)
    limit = float(np.median(shares))
    common = Map(make("common.zarr", min_prevalence=limit))
    assert common.species["species_id"].tolist() == np.flatnonzero(shares >= limit).tolist()
    assert common.attrs["least_prevalence"] == limit


@pytest.mark.parametrize(("rarest", "bits"), [(200, 8), (10, 16)])
def test_rare_species_get_more_bits(world, make, rarest, bits):
    surveys, names = read_surveys(world.folder / "surveys.parquet")
    seen = [np.arange(5 if number < rarest else 4, dtype=np.int32) for number in range(200)]
    table = world.folder / f"often-{rarest}.parquet"
    write_surveys(table, surveys.assign(species=seen), names, "occurrence")
    artefact.seal(table, artefact.Record(kind="surveys", fingerprint=table.name))
    assert Map(make("some.zarr", surveys=table.name, extent=CORNER)).bits == bits


def test_species_in_many_blocks_are_those_in_one(make, monkeypatch):
    """Species that do not fit in one unit of writing; with other units, the map is the same."""
    first = make("one-block.zarr", spread=True)
    monkeypatch.setattr(maps, "SPECIES_SHARD", 2)
    monkeypatch.setattr(maps, "SPECIES_CHUNK", 2)
    monkeypatch.setattr(tile_workers, "run_tasks", in_order)
    second = make("three-blocks.zarr", spread=True)
    assert Map(second).species_blocks() == [slice(0, 2), slice(2, 4), slice(4, 5)]
    values = [Map(path).read(whole(Map(path).grid)) for path in (first, second)]
    np.testing.assert_allclose(*values, atol=STEP)
    for name in Map(first).layers():
        np.testing.assert_allclose(Map(second).layer(name), Map(first).layer(name), rtol=1e-5)


def test_layers_say_how_far_the_fold_models_differ(world, models, make):
    path = make(spread=True, bits=16)
    members = np.stack([expected(world, models["plain", number], world.land) for number in range(3)])
    found = Map(path)
    spread = members.sum(2).std(axis=0, ddof=1)
    np.testing.assert_allclose(found.layer("richness_spread")[world.land], spread, rtol=1e-4)
    spread = members.std(axis=0, ddof=1).mean(1)
    np.testing.assert_allclose(found.layer("probability_spread")[world.land], spread, rtol=1e-4)
    p = found.read(whole(world.grid))[:, world.land].T
    np.testing.assert_allclose(p, expected(world, models["plain", None], world.land), atol=0.6 / 65534 + 1e-6)


def test_layers_say_what_the_scenes_and_surveys_were(world, make):
    path = make(model="seeing", cube="cube.zarr", extent=CORNER)
    found = Map(path)
    land, covered = world.land[:128, :128], world.covered[:128, :128]
    scenes = np.zeros((128, 128), np.uint8)
    scenes[:80, :100] = 1
    assert np.array_equal(found.layer("valid_scenes"), scenes * land)
    similarity = found.layer("environmental_similarity")
    assert np.array_equal(np.isfinite(similarity), land & covered)
    surveys, _ = read_surveys(world.folder / "surveys.parquet")
    store = Covariates(world.folder / "covariates.zarr")
    there, known = store.at(*to_xy(surveys["lon"].to_numpy(), surveys["lat"].to_numpy()))
    rows, cols = np.nonzero(land & covered)
    values, _ = store.at(*found.grid.centre(rows, cols))
    there, values = there[known.all(axis=1)][:, [2, 0]], values[:, [2, 0]]
    outside = ((values < there.min(0)) | (values > there.max(0))).any(1)
    assert 0 < outside.sum() < len(outside)
    assert np.array_equal(similarity[rows, cols] < 0, outside)


def test_a_dry_run_prints_the_plan_and_a_measured_sample(world, models, tmp_path, capsys):
    output = tmp_path / "map.zarr"
    config = MapConfig(
        run_dir=str(world.folder),
        output=str(output),
        model="plain",
        covariates="covariates.zarr",
        tile=64,
        dry_run=True,
    )
    dry_run(config)
    said = capsys.readouterr().out
    assert f"cells {world.land.sum()}" in said and "cells/s on one worker" in said
    assert not output.exists()


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"covariates": None}, r"covariates: names no store; .*plain needs lime, rain"),
        ({"resolution_m": 500}, r"resolution_m: 500, but .*land.zarr has cells of 1000 m"),
        ({"land": "no.zarr"}, r"no.zarr: missing; run the job that writes it first"),
        ({"extent": (4_128_000, 3_060_000, 4_140_000, 3_064_000)}, r"extent: no cell is wanted \(cells: land\)"),
        (
            {"covariates": "other.zarr"},
            r"other.zarr: has no covariate lime, which .*plain was trained with; found rain",
        ),
        ({"cube": "cube.zarr"}, r"cube: .*plain has no satellite tower that looks at one"),
        (
            {"model": "shown", "cube": "cube.zarr"},
            r"cube: .*shown has a satellite tower that was trained on image shards",
        ),
        ({"model": "seeing", "cube": "grey.zarr"}, r"grey.zarr: has no band nir, which .*seeing .*; found pan"),
        ({"model": "seeing", "cube": "cube.zarr", "stride_m": 2500}, r"stride_m: 2500, but patches are 2000 m wide"),
        ({"model": "alone", "crossfit": True}, r"crossfit: .*alone has no fold models"),
        ({"model": "alone", "spread": True}, r"spread: .*alone has no fold models"),
        ({"countries": ["Atlantis"]}, r"countries: .*land.zarr has no Atlantis; found Westland, Eastland"),
        ({"species": ["Homo sapiens"]}, r"species: .*plain does not know 'Homo sapiens'; found Abies alba"),
        (
            {"min_prevalence": 0.9},
            r"min_prevalence: 0.9, but no species of the map reaches it; the commonest has 0\.\d",
        ),
    ],
)
def test_inputs_that_do_not_fit_are_one_line(world, models, make, values, line):
    if not (world.folder / "grey.zarr").exists():
        create_cube(world.folder / "grey.zarr", world.grid, ["2021"], ["pan"])
        write_covariates(world.folder / "other.zarr", world.grid, ["rain"], np.ones((1, 144, 208), np.float32), 1000)
        save_model(world.folder / "alone", PLAIN, world.species, None, folds=0)
        shutil.copytree(str(world.folder / "seeing"), str(world.folder / "shown"))
        about = replace(read_species_folder(world.folder / "seeing"), satellite=None, photos={"satellite": Photos(8)})
        described = yaml.safe_dump({"format_version": 2, **describe_species(about)})
        (world.folder / "shown" / "config.yaml").write_text(described)
        for name in ("grey.zarr", "other.zarr", "alone", "shown"):
            artefact.seal(world.folder / name, artefact.Record(kind=name, fingerprint=name))
    with pytest.raises(InputError, match=line):
        make(**values)


def test_a_map_far_from_europe_is_refused_unless_forced(world, models, make, tmp_path):
    """An island at 55 E, 21 S: its cells would be sheared to 1.8 times their width."""
    x, y = (float(each[0]) for each in to_xy(np.array([55.5]), np.array([-21.1])))
    grid = Grid(np.floor(x / 1000) * 1000, np.floor(y / 1000) * 1000 + 16_000, 1000, 16, 16)
    land = tmp_path / "island.zarr"
    write_land(UPath(land), grid, np.ones(grid.shape, bool), np.ones(grid.shape, np.int16), ["Island"])
    artefact.seal(UPath(land), artefact.Record(kind="land", fingerprint="island"))
    with pytest.raises(InputError, match=r"extent: a corner lies 9,2\d\d km from the middle of EPSG:3035"):
        make(land=str(land))
    assert (Map(make(land=str(land), force=["far"])).layer("inputs") == 1).all()
