"""The cube from real Sentinel-2 tiles, by the job itself."""

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import shapely
from helpers.observed_scenes import GRID, observed, scene
from helpers.satellite import BANDS, EAST, NORTH, SOUTH, WEST, classes, coarse, item, serving, static, tile, write
from upath import UPath

from sdm_ray import tracking
from sdm_ray.config import TrackingConfig
from sdm_ray.errors import InputError
from sdm_ray.geo.windows import whole
from sdm_ray.sources import prepare
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.sentinel2 import cube as sentinel2
from sdm_ray.stores import artefact
from sdm_ray.stores.cube import Cube
from sdm_ray.stores.ledger import Ledger

KEYS = dict(zip(BANDS, ("B04", "B03", "B02", "B08"), strict=True))


@pytest.fixture(scope="module")
def uri(tmp_path_factory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('tracking')}/mlflow.db"


def entry(**changed) -> dict:
    values = {
        "source": "sentinel2",
        "years": [2019],
        "seasons": {"summer": [6, 8]},
        "bounds": [WEST, SOUTH, EAST, NORTH],
    }
    return values | {"chunk": 32, "shard": 64, "backoff_s": 0, "retries": 1} | changed


@pytest.fixture
def build(tmp_path, uri, ray_cluster):
    """Run prepare for a cube; returns its folder."""

    def call(folder: str = "run", **changed) -> Path:
        place = tmp_path / folder
        config = PrepareConfig.model_validate(
            {"run_dir": str(place), "tracking": TrackingConfig(uri=uri), "cube": entry(**changed)}
        )
        with tracking.start(config, "prepare") as tracker:
            prepare.run(config, tracker)
        return place / "cube.zarr"

    return call


def read(path: Path, time: int = 0) -> tuple[np.ndarray, np.ndarray]:
    cube = Cube(UPath(path))
    return cube.read(whole(cube.grid), time), cube.valid_count(whole(cube.grid), time)


def figures(path: Path) -> dict:
    return artefact.read_record(UPath(path)).figures


def report(path: Path) -> dict:
    return json.loads((path / "report.json").read_text())[0]


def uk(data: Path) -> dict:
    pattern = r"y-(?P<year>\d{4})_m-(?P<month>\d\d)"
    return {"kind": "files", "folders": [str(data / "sentinel2-uk")], "pattern": pattern, "bands": list(BANDS)}


class Passes:
    """Passes over one tile: what was seen, with clouds, under two baselines; one file to a band, as in the wild."""

    def __init__(self, data: Path, folder: Path) -> None:
        self.folder = folder
        self.seen, self.profile = tile(data)
        self.items: list[dict] = []
        self.base = str(folder)

    def add(self, day: str, values: np.ndarray, cloudy: np.ndarray | None = None, carried: int = 0, **properties):
        cloudy = np.zeros((128, 128), bool) if cloudy is None else cloudy
        values = np.where(np.kron(cloudy, np.ones((2, 2), bool)), 9000, values)
        names = {}
        for band, layer in zip(BANDS, values, strict=True):
            names[KEYS[band]] = f"{day}_{KEYS[band]}.tif"
            write(self.folder / names[KEYS[band]], (layer + carried).astype(np.uint16), self.profile)
        names["SCL"] = f"{day}_SCL.tif"
        write(self.folder / names["SCL"], classes(cloudy), coarse(self.profile))
        assets = {key: f"{self.base}/{name}" for key, name in names.items()}
        self.items.append(item(f"S2A_{day}", day, assets, self.profile, **properties))

    def stac(self) -> dict:
        return {"kind": "stac", "url": str(static(self.folder, self.items))}


@pytest.fixture
def passes(data, tmp_path) -> Passes:
    return Passes(data, tmp_path / "passes")


def test_a_tile_as_it_is_whatever_the_shards(data, build):
    path = build(scenes=uk(data), mask=None)
    values, count = read(path)
    expected = observed(scene(data / "sentinel2-uk" / "sent2-4band_UKBMS_loc-0006_y-2019_m-06-09.tif"))
    assert np.array_equal(values, expected[[2, 1, 0, 3]])
    assert (count == 1).all()
    assert Cube(UPath(path)).times == ["2019-summer"] and Cube(UPath(path)).bands == ["blue", "green", "red", "nir"]
    assert Cube(UPath(path)).grid == GRID
    other = build("other", scenes=uk(data), mask=None, shard=192, chunk=64)
    assert np.array_equal(read(other)[0], values)
    made = figures(path)
    assert made["scenes"] == 1 and made["scene_reads"] == made["shards"] == 9
    assert made["valid_share_2019-summer"] == 1 and made["read_mb"] > 4 * 180 * 160 * 2 / 1e6


def test_the_bands_have_their_right_names(data, build):
    """Bare ground is brighter from blue to red, the sea is darkest in infrared, leaves brightest."""
    values = read(build(scenes=uk(data), mask=None, bounds=[3_476_500, 3_121_500, 3_480_200, 3_128_500]))[0]
    blue, green, red, nir = values.astype(int)
    bare = (nir > 1500) & (nir < 1.6 * np.maximum(blue, red))
    sea, leaves = (nir > 0) & (nir < 300), nir > 4 * np.maximum(blue, red)
    assert min(bare.sum(), sea.sum(), leaves.sum()) > 300
    assert np.median(blue[bare]) < np.median(green[bare]) < np.median(red[bare])
    assert np.median(nir[sea]) < np.median(red[sea]) < np.median(blue[sea])
    assert np.median(green[leaves]) > max(np.median(blue[leaves]), np.median(red[leaves]))


def test_a_cube_is_kept_until_a_scene_changes(data, build, tmp_path, capsys):
    folder = tmp_path / "tiles"
    folder.mkdir()
    name = "sent2-4band_UKBMS_loc-0006_y-2019_m-06-09.tif"
    shutil.copy(data / "sentinel2-uk" / name, folder / name)
    scenes = uk(data) | {"folders": [str(folder)]}
    build(scenes=scenes, mask=None, shard=192)
    moved = folder.rename(tmp_path / "moved")
    capsys.readouterr()
    build(scenes=scenes | {"folders": [str(moved)]}, mask=None, shard=192)
    assert "finished and unchanged: kept" in capsys.readouterr().out
    values, profile = tile(data)
    os.chmod(moved / name, 0o644)
    write(moved / name, values + np.uint16(7), profile)
    path = build(scenes=scenes | {"folders": [str(moved)]}, mask=None, shard=192)
    assert "changed input scenes.folders.0" in capsys.readouterr().out
    assert read(path)[0].min() >= 8


def test_two_tiles_with_nothing_between_and_a_season_apart(data, build, capsys):
    bounds = [3_476_500, 3_121_500, 3_480_200, 3_130_000]
    path = build(scenes=uk(data), mask=None, bounds=bounds, chunk=64, shard=128)
    count = read(path)[1]
    assert figures(path)["observations"] == int(count.sum()) == pytest.approx(2 * 256 * 256, rel=0.01)
    assert figures(path)["shards"] < 3 * 7  # no task for a shard that no scene touches
    assert "2 scenes; " in capsys.readouterr().out
    assert report(path)["rows"] == 12 and report(path)["in_area"] == 2


def test_clouds_and_baselines_do_not_show_in_the_composite(build, passes):
    """Three passes over one ground: each is cloudy elsewhere, two carry the offset, one of them no longer."""
    rng = np.random.default_rng(0)
    clouds = rng.random((3, 128, 128)) < 0.2
    clouds[1] &= ~clouds[0]
    clouds[2] &= ~(clouds[0] | clouds[1])
    removed = {"s2:processing_baseline": "05.10", "earthsearch:boa_offset_applied": True}
    passes.add("2019-06-02", passes.seen, clouds[0])
    passes.add("2019-06-12", passes.seen, clouds[1], carried=1000, **{"s2:processing_baseline": "04.00"})
    passes.add("2019-06-22", passes.seen, clouds[2], **removed)
    clear = Passes.__new__(Passes)
    clear.__dict__ = passes.__dict__ | {"folder": passes.folder.parent / "clear", "items": []}
    clear.base = str(clear.folder)
    clear.add("2019-06-02", passes.seen)
    for composite in ("median", "medoid"):
        found, count = read(build(composite, scenes=passes.stac(), composite=composite, resampling="nearest"))
        expected, _ = read(build(f"clear-{composite}", scenes=clear.stac(), resampling="nearest"))
        assert np.array_equal(found, expected)
        assert set(np.unique(count)) == {2, 3}


def test_an_api_with_pages_files_in_ranges_and_tokens(build, passes):
    with serving(passes.folder) as server:
        passes.base, server.token = server.url, "sig=1"
        for number, day in enumerate(["2019-06-02", "2019-07-02", "2019-08-02", "2019-09-02"]):
            passes.add(day, passes.seen + 10 * number)
        passes.items[1]["properties"]["eo:cloud_cover"] = 90
        server.items = passes.items
        server.failing = {"/2019-06-02_B04.tif": 1}
        scenes = {"kind": "stac", "url": server.url, "sign": f"{server.url}/token"}
        path = build(scenes=scenes, resampling="nearest", shard=192)
        assert len(server.asked) == 2
    passes.base, passes.items = str(passes.folder), []
    passes.add("2019-06-02", passes.seen + 10)
    assert np.array_equal(read(path)[0], read(build("one", scenes=passes.stac(), resampling="nearest"))[0])
    assert (read(path)[1] == 2).all() and report(path)["dropped"] == 0


def test_seasons_lie_side_by_side_and_an_area_leaves_shards_empty(build, passes, tmp_path):
    passes.add("2019-06-02", passes.seen)
    passes.add("2019-10-02", passes.seen + 500)
    outline = shapely.box(WEST, SOUTH, WEST + 500, NORTH) | shapely.box(WEST, SOUTH, EAST, SOUTH + 100)
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3035"}}
    feature = {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(outline)}
    area = tmp_path / "area.geojson"
    area.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    seasons = {"summer": [6, 8], "autumn": [9, 11]}
    path = build(scenes=passes.stac(), seasons=seasons, bounds=None, area=str(area), resampling="nearest")
    (summer, count), (autumn, _) = read(path, 0), read(path, 1)
    assert Cube(UPath(path)).times == ["2019-summer", "2019-autumn"]
    assert np.array_equal(autumn, np.where(summer > 0, summer + 500, 0))
    assert not count[:128, 64:].any() and count[:, :64].all() and count[128:].all()


def test_a_broken_scene_is_named_and_left_out_and_mended_later(build, passes):
    for number, day in enumerate(["2019-06-02", "2019-06-12", "2019-06-22"]):
        passes.add(day, passes.seen + number)
    broken = passes.folder / "2019-06-22_B08.tif"
    content = broken.read_bytes()
    broken.write_bytes(content[:5000])
    with pytest.raises(InputError, match=r"1 of 3 rows cannot be used.*first S2A_2019-06-22 \(2019-summer-E"):
        build(scenes=passes.stac())
    path = build("borne", scenes=passes.stac(), max_dropped=0.5)
    assert (read(path)[1] == 2).all()
    assert report(path)["dropped_keys"]["unreadable"][0].startswith("S2A_2019-06-22 (2019-summer-E3477800N")
    broken.write_bytes(content)
    mended = build(scenes=passes.stac())
    assert (read(mended)[1] == 3).all() and report(mended)["dropped"] == 0


def test_a_zarr_shard_whose_only_scene_is_unreadable_names_it_and_ends(build, passes):
    passes.add("2019-06-02", passes.seen)
    broken = passes.folder / "2019-06-02_B08.tif"
    broken.write_bytes(broken.read_bytes()[:5000])
    said = r"1 of 1 rows cannot be used, more than max_dropped .*first S2A_2019-06-02 \(2019-summer-E"
    with pytest.raises(InputError, match=said):
        build(scenes=passes.stac(), shard=192)
    values, count = read(build("borne", scenes=passes.stac(), shard=192, max_dropped=1))
    assert not values.any() and not count.any()


def test_doubtful_offsets_are_reported_in_both_directions(build, passes):
    """One scene carries an offset that it does not state, one states an offset that it does not carry."""
    passes.add("2019-06-02", passes.seen, carried=1000, **{"s2:processing_baseline": "02.12"})
    passes.add("2019-06-12", passes.seen, **{"s2:processing_baseline": "5.1"})
    passes.add("2019-06-22", passes.seen, carried=1000, **{"s2:processing_baseline": 5.1})
    passes.add("2019-07-02", passes.seen, **{"s2:processing_baseline": "02.12"})
    path = build(scenes=passes.stac(), shard=192)
    found = report(path)["noted_keys"]
    assert found["never_below_the_offset"] == ["S2A_2019-06-02"]
    assert found["mostly_below_the_offset"] == ["S2A_2019-06-12"]


def test_a_run_that_stops_midway_goes_on(build, passes, monkeypatch, capsys):
    for number, day in enumerate(["2019-06-02", "2019-06-12"]):
        passes.add(day, passes.seen + 100 * number)
    undisturbed = read(build("whole", scenes=passes.stac()))
    ticks = []

    def interrupt(self, count: int) -> None:
        ticks.append(count)
        if count == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("sdm_ray.sources.sentinel2.cube.Meter.at", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build(scenes=passes.stac())
    ledger = passes.folder.parent / "run" / "cube.zarr" / "ledger"
    done = {file.name: file.stat().st_mtime_ns for file in ledger.glob("*.json")}
    assert 3 <= len(done) < 9
    passes.add("2019-06-22", passes.seen)  # what a catalogue gains meanwhile is for the next cube
    path = build(scenes=passes.stac())
    for mine, theirs in zip(read(path), undisturbed, strict=True):
        assert np.array_equal(mine, theirs)
    assert {name: (ledger / name).stat().st_mtime_ns for name in done} == done
    assert "9 Zarr shards with scenes, " in capsys.readouterr().out


def test_a_killed_worker_changes_nothing(build, passes, tmp_path, monkeypatch):
    """One dies after it wrote its shard and before it said so."""
    passes.add("2019-06-02", passes.seen)
    undisturbed = read(build("whole", scenes=passes.stac()))
    original, killed = sentinel2._make_shard, tmp_path / "killed"

    def dying(shared, part):
        if not killed.exists():
            killed.touch()
            Ledger.add = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        return original(shared, part)

    monkeypatch.setattr(sentinel2, "_make_shard", dying)
    path = build(scenes=passes.stac())
    assert killed.exists()
    for mine, theirs in zip(read(path), undisturbed, strict=True):
        assert np.array_equal(mine, theirs)
    assert figures(path)["shards"] == 9


def test_a_shard_that_cannot_be_written_is_named_and_the_others_are_kept(build, passes, monkeypatch):
    passes.add("2019-06-02", passes.seen)
    original = sentinel2._make_shard

    def full(shared, part):
        if (part.tile.window.row, part.tile.window.col) == (0, 0):
            raise OSError(28, "No space left on device")
        return original(shared, part)

    with monkeypatch.context() as patched:
        patched.setattr(sentinel2, "_make_shard", full)
        with pytest.raises(InputError, match=r"1 of 9 Zarr shards failed: 2019-summer-E.* \(OSError: .*No space left"):
            build(scenes=passes.stac())
    ledger = passes.folder.parent / "run" / "cube.zarr" / "ledger"
    done = {file.name: file.stat().st_mtime_ns for file in ledger.glob("*.json")}
    assert len(done) == 8
    path = build(scenes=passes.stac())
    assert figures(path)["shards"] == 9
    assert {name: (ledger / name).stat().st_mtime_ns for name in done} == done


def test_mistakes_are_one_line_before_any_shard(build, data, passes, tmp_path):
    passes.add("2019-06-02", passes.seen)
    with pytest.raises(InputError, match="no scene from 2019-12-01 to 2020-02-29"):
        build(scenes=passes.stac(), seasons={"winter": [12, 2]})
    with pytest.raises(InputError, match=r"S2A_2019-06-02: has no asset for swir16; .*found B02, B03, B04, B08, SCL"):
        build(scenes=passes.stac(), bands=["red", "swir16"])
    with pytest.raises(InputError, match=r"nowhere: no such file \(cube\.zarr: scenes\.folders\.0\)"):
        build(scenes=uk(data) | {"folders": [str(tmp_path / "nowhere")]})
    (tmp_path / "area.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(InputError, match="holds no polygons"):
        build(scenes=passes.stac(), bounds=None, area=str(tmp_path / "area.geojson"))
    assert not list(tmp_path.glob("run/cube.zarr/ledger/*"))
