"""Which scenes a cube is made from, and what is taken off their values."""

from datetime import date

import pytest
from helpers.scene_settings import AREA, settings
from upath import UPath

from sdm_ray.config import load
from sdm_ray.errors import InputError
from sdm_ray.sources.base import Report
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.sentinel2.config import Sentinel2
from sdm_ray.sources.sentinel2.scenes import Raster, Scene, choose, day_of, find_band, read_scenes, write_scenes


def scene(name: str, day: str = "2021-07-01", **changed) -> Scene:
    values = {"observation": f"{day} {name}", "tile": name, "rasters": {}, "bounds": (50, 50, 200, 200)}
    return Scene(name=name, date=day, **values | {"baseline": "03.00"} | changed)


def chosen(*scenes: Scene, **changed) -> dict[str, list[str]]:
    found = choose(settings(**changed), list(scenes), AREA, Report("scenes", len(scenes)))
    return {name: [each.name for each in group] for name, group in found.items()}


def test_seasons_are_whole_months_and_may_pass_the_new_year():
    seasons = {"summer": (6, 8), "winter": (12, 2), "year": (1, 12)}
    assert settings(years=[2020, 2023], seasons=seasons).periods() == {
        "2020-summer": (date(2020, 6, 1), date(2020, 8, 31)),
        "2020-winter": (date(2020, 12, 1), date(2021, 2, 28)),
        "2020-year": (date(2020, 1, 1), date(2020, 12, 31)),
        "2023-summer": (date(2023, 6, 1), date(2023, 8, 31)),
        "2023-winter": (date(2023, 12, 1), date(2024, 2, 29)),
        "2023-year": (date(2023, 1, 1), date(2023, 12, 31)),
    }


def test_scenes_are_chosen_by_place_day_and_cloud():
    there = [
        scene("first", "2021-06-01", cloud=20),
        scene("last", "2021-08-31"),
        scene("early", "2021-05-31"),
        scene("cloudy", cloud=20.1),
        scene("far", bounds=(101, 0, 200, 100)),
    ]
    assert chosen(*there, max_cloud=20) == {"2021-summer": ["first", "last"]}
    assert chosen(*reversed(there), max_cloud=20) == {"2021-summer": ["first", "last"]}


def test_a_season_without_scenes_is_named():
    said = r"no scene from 2021-12-01 to 2022-02-28 for 2021-winter \(2 found, 1 of them in the area, 1 with"
    with pytest.raises(InputError, match=said):
        chosen(scene("a"), scene("b", bounds=(101, 0, 200, 100)), seasons={"winter": (12, 2)})


def test_of_two_versions_of_a_scene_the_later_baseline_is_taken():
    again = {"observation": "2021-07-01 sentinel-2a", "tile": "31UDQ"}
    other = again | {"tile": "31UEQ"}
    there = [scene("old", **again), scene("new", baseline="05.00", **again), scene("beside", **other)]
    report = Report("scenes", 3)
    found = choose(settings(), there, AREA, report)["2021-summer"]
    assert [each.name for each in found] == ["beside", "new"]
    assert report.noted == {"replaced_by_a_later_baseline": ["old"]}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"baseline": "03.01"}, 0),
        ({"baseline": "04.00"}, 1000),
        ({"baseline": "05.11"}, 1000),
        ({"baseline": "05.11", "offset": 0}, 0),  # the item says that it was taken off
        ({"baseline": "03.01", "offset": 1000}, 1000),  # the product's metadata says what it carries
        ({"baseline": None}, 0),
    ],
)
def test_the_offset_is_what_the_scene_states_else_the_baseline_decides(changed, expected):
    found = choose(settings(), [scene("a", **changed)], AREA, Report("scenes", 1))["2021-summer"]
    assert found[0].offset == expected
    removed = choose(settings(offset="removed"), [scene("a", **changed)], AREA, Report("scenes", 1))
    assert removed["2021-summer"][0].offset == 0


def test_a_late_scene_without_a_baseline_is_refused_rather_than_guessed():
    late = scene("S2", "2022-07-01", baseline=None)
    with pytest.raises(InputError, match="S2: is of 2022-07-01 and states no processing baseline"):
        chosen(late, years=[2022])
    assert chosen(late, years=[2022], offset="removed") == {"2022-summer": ["S2"]}


@pytest.mark.parametrize("stated", ["5.1", "05.1", 5.1, "05.10", "N0510", "0510"])
def test_baselines_are_compared_as_numbers(stated):
    found = choose(settings(), [scene("a", baseline=stated)], AREA, Report("scenes", 1))["2021-summer"]
    assert (found[0].baseline, found[0].offset) == ("05.10", 1000)


@pytest.mark.parametrize(
    ("stated", "offset"), [("4.0", 1000), (4, 1000), (4.0, 1000), ("3.1", 0), (2.14, 0), ("10.0", 1000), ("03.99", 0)]
)
def test_the_offset_begins_with_baseline_4(stated, offset):
    found = choose(settings(), [scene("a", baseline=stated)], AREA, Report("scenes", 1))["2021-summer"]
    assert found[0].offset == offset


def test_of_two_versions_the_greater_number_is_the_later():
    again = {"observation": "2021-07-01 sentinel-2a", "tile": "31UDQ"}
    there = [scene("old", baseline="5.1", **again), scene("new", baseline=5.11, **again)]
    assert chosen(*there) == {"2021-summer": ["new"]}


def test_a_baseline_in_a_configuration_is_read_as_a_number(tmp_path):
    file = tmp_path / "prepare.yaml"
    (tmp_path / "a").mkdir()
    cube = "cube: {{source: sentinel2, years: [2021], bounds: [0, 0, 1, 1], scenes: {{{scenes}, baseline: {stated}}}}}"
    for scenes in ("kind: files, folders: [a]", "kind: stac, url: a"):
        for stated, expected in (("5.1", "05.10"), ("'05.1'", "05.10"), ("04.00", "04.00"), ("N0500", "05.00")):
            file.write_text(cube.format(scenes=scenes, stated=stated))
            assert load(file, PrepareConfig).cube.scenes.baseline == expected
        file.write_text(cube.format(scenes=scenes, stated="latest"))
        with pytest.raises(
            InputError, match=r"baseline: expected a processing baseline such as 04\.00, found 'latest'"
        ):
            load(file, PrepareConfig)


def test_rasters_that_state_their_offset_need_no_baseline():
    rasters = {band: Raster(href=f"{band}.tif", offset=1000) for band in ("blue", "green", "red", "nir")}
    late = scene("S2", "2022-07-01", baseline=None, rasters=rasters)
    report = Report("scenes", 1)
    (found,) = choose(settings(years=[2022]), [late], AREA, report)["2022-summer"]
    assert found.rasters["red"].offset == 1000 and report.noted == {}
    (found,) = choose(settings(years=[2022], offset="removed"), [late], AREA, report)["2022-summer"]
    assert (found.rasters["red"].offset, found.offset) == (None, 0)


@pytest.mark.parametrize(("baseline", "offset"), [("03.01", 1000), ("05.10", 0)])
def test_an_offset_that_is_not_that_of_the_baseline_is_reported(baseline, offset):
    rasters = {band: Raster(href=f"{band}.tif", offset=offset) for band in ("blue", "green", "red", "nir")}
    report = Report("scenes", 1)
    (found,) = choose(settings(), [scene("a", baseline=baseline, rasters=rasters)], AREA, report)["2021-summer"]
    assert found.rasters["red"].offset == offset
    assert report.noted == {"offset_unlike_the_baseline": [f"a ({offset}, baseline {baseline})"]}


def test_scenes_of_one_name_in_two_folders_are_both_taken():
    there = [scene("a", observation="one"), scene("a", observation="two")]
    assert chosen(*there) == {"2021-summer": ["a", "a"]}


def test_bands_are_known_by_several_names():
    assert find_band("red", {}, ["B04", "red"]) == "red"
    assert find_band("red", {}, ["B04", "SCL"]) == "B04"
    assert find_band("scl", {}, ["B04", "SCL"]) == "SCL"
    assert find_band("red", {"red": "Band 3"}, ["Band 3", "red"]) == "Band 3"
    assert find_band("red", {"red": "Band 3"}, ["red"]) is None
    assert find_band("thermal", {}, ["B04"]) is None


def test_days():
    assert day_of("20210715T110621") == day_of("2021-07-15T11:06:21Z") == "2021-07-15"
    assert day_of("20211315") is None and day_of("summer") is None


def test_scenes_come_back_as_they_were_kept(tmp_path):
    rasters = {"red": Raster(href="a.tif"), "blue": Raster(href="b.tif", scale=2, offset=1000)}
    kept = {"2021-summer": [scene("a", cloud=3.5, rasters=rasters), scene("b")]}
    write_scenes(UPath(tmp_path) / "scenes.json", kept)
    found = read_scenes(UPath(tmp_path) / "scenes.json")
    assert found == kept
    dumped = [[repr(each.model_dump()) for each in scenes["2021-summer"]] for scenes in (found, kept)]
    assert dumped[0] == dumped[1]  # as fingerprints see them


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("bounds: [0, 0, 1, 1], area: a.gpkg", "expected either bounds or area"),
        ("bounds: [0, 0, 1, 1], shard: 1000", "shard: 1000 is no multiple of chunk 256"),
        ("bounds: [0, 0, 1, 1], seasons: {late: [11, 13]}", "seasons.late.1"),
        ("bounds: [0, 0, 1, 1], bands: [red, red]", "bands: names one twice"),
        ("bounds: [0, 0, 1, 1], colour: true", "cube.sentinel2.colour: unknown key"),
    ],
)
def test_mistakes_in_the_configuration_are_named(tmp_path, changed, said):
    file = tmp_path / "prepare.yaml"
    (tmp_path / "a").mkdir()
    (tmp_path / "a.gpkg").touch()
    file.write_text(f"cube: {{source: sentinel2, scenes: {{kind: files, folders: [a]}}, years: [2021], {changed}}}")
    with pytest.raises(InputError, match=said):
        load(file, PrepareConfig)


@pytest.mark.parametrize(
    ("pattern", "said"), [(r"(\d{8})", "has no group named date"), (r"(?P<date>", "is no regular expression")]
)
def test_a_pattern_without_a_date_is_refused(tmp_path, pattern, said):
    with pytest.raises(ValueError, match=said):
        settings(scenes={"kind": "files", "folders": ["."], "pattern": pattern})


def test_where_files_lie_does_not_shape_the_cube():
    one, two = (settings(scenes={"kind": "files", "folders": [f]}, retries=r) for f, r in (("/a", 1), ("/b", 2)))
    assert one.shaping() == two.shaping()
    assert one.shaping() != settings(composite="medoid").shaping()
    assert "pattern" in one.shaping()["scenes"]


def test_the_example_is_a_configuration():
    cube = load("configs/examples/prepare-sentinel2.yaml", PrepareConfig).cube
    assert isinstance(cube, Sentinel2) and list(cube.periods())[-1] == "2022-summer"
