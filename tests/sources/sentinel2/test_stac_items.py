"""Scenes from STAC items."""

import json

import numpy as np
import pytest
from helpers.satellite import item, static, tile
from helpers.scene_settings import settings

from sdm_ray.errors import InputError
from sdm_ray.sources.sentinel2 import stac_items

ASSETS = {"B02": "b.tif", "B03": "g.tif", "B04": "r.tif", "B08": "n.tif", "SCL": "s.tif"}


@pytest.fixture
def profile(data):
    return tile(data)[1]


def found_in(tmp_path, listed, **changed):
    scenes = {"kind": "stac", "url": str(static(tmp_path, listed))}
    source = settings(**{"scenes": scenes, "years": [2019]} | changed)
    return stac_items.find(source, source.scenes, (3_400_000, 3_100_000, 3_500_000, 3_200_000))


def test_items_become_scenes(tmp_path, profile):
    earth_search = {"red": "r.tif", "green": "g.tif", "blue": "b.tif", "nir": "n.tif", "scl": "s.tif"}
    named = [
        item(
            "S2A_30UWC_20190602_0_L2A", "2019-06-02", earth_search, profile, **{"earthsearch:boa_offset_applied": True}
        ),
        item("S2B_MSIL2A_20190612T_T30UWC", "2019-06-12", ASSETS, profile, **{"s2:mgrs_tile": "30UWC"}),
    ]
    scenes, report = found_in(tmp_path, named)
    assert [each.offset for each in scenes] == [0, None]
    assert {each.tile for each in scenes} == {"30UWC"}
    assert scenes[0].rasters["red"].href.endswith("/r.tif") and scenes[1].rasters["scl"].href.endswith("/s.tif")
    assert (scenes[0].cloud, scenes[0].baseline, scenes[0].observation) == (10.0, "02.12", "2019-06-02 sentinel-2a")
    np.testing.assert_allclose(scenes[0].bounds, (3_477_226, 3_125_513, 3_480_191, 3_128_492), atol=600)
    assert (report.rows, report.lost) == (2, 0)


def test_items_without_a_band_are_reported_and_all_of_them_refused(tmp_path, profile):
    short = item("short", "2019-06-02", {"B04": "r.tif"}, profile)
    whole = item("whole", "2019-06-12", ASSETS, profile)
    scenes, report = found_in(tmp_path, [short, whole])
    assert [each.name for each in scenes] == ["whole"]
    assert report.dropped == {"without_band": ["short (blue)"]}
    with pytest.raises(InputError, match=r"short: has no asset for blue; .*found B04"):
        found_in(tmp_path / "alone", [short])


def test_bands_inside_one_asset_are_found_by_their_names(tmp_path, profile):
    one = item("one", "2019-06-02", {"data": "all.tif"}, profile)
    names = [{"name": "B1", "common_name": name} for name in ("blue", "green", "red", "nir")]
    one["assets"]["data"]["eo:bands"] = names
    scenes, _ = found_in(tmp_path, [one], mask=None)
    assert {name: raster.band for name, raster in scenes[0].rasters.items()} == {
        "blue": 1, "green": 2, "red": 3, "nir": 4,
    }  # fmt: skip


BANDS = ("blue", "green", "red", "nir")


def test_baselines_are_read_from_properties_product_names_or_the_configuration(tmp_path, profile):
    stated = [
        ("a", {"s2:processing_baseline": "5.1"}, "05.10"),
        ("b", {"s2:processing_baseline": 5.1}, "05.10"),
        ("c", {"s2:processing_baseline": None, "processing:version": "05.11"}, "05.11"),
        ("S2B_MSIL2A_20190612T110621_N0500_R137_T30UWC_1", {"s2:processing_baseline": None}, "05.00"),
        ("d", {"s2:processing_baseline": None, "s2:product_uri": "S2A_MSIL2A_2_N0301_R1_T30UWC_1.SAFE"}, "03.01"),
        ("e", {"s2:processing_baseline": None, "processing:version": "sen2cor"}, "02.14"),
    ]
    listed = [item(name, "2019-06-02", ASSETS, profile, **properties) for name, properties, _ in stated]
    source = {"kind": "stac", "url": str(static(tmp_path, listed)), "baseline": 2.14}
    scenes, _ = found_in(tmp_path, listed, scenes=source)
    assert {each.name: each.baseline for each in scenes} == {name: expected for name, _, expected in stated}


def test_the_finest_asset_of_a_band_is_taken_and_no_picture(tmp_path, profile):
    one = item("one", "2019-06-02", {}, profile)
    for key, resolution in (("B_60m", 60), ("B_10m", 10), ("B_20m", 20)):
        for band in BANDS:
            one["assets"][f"{band}{key}"] = {
                "href": f"{band}{key}.tif",
                "eo:bands": [{"name": "any", "common_name": band}],
                "raster:bands": [{"spatial_resolution": resolution}],
            }
    colours = [{"name": "B04", "common_name": "red"}, {"name": "B03"}, {"name": "B02"}]
    one["assets"] = {
        "TCI_10m": {"href": "tci.tif", "eo:bands": colours},
        "colours": {"href": "colours.tif", "eo:bands": colours, "roles": ["visual"], "gsd": 1},
        "bytes": {"href": "bytes.tif", "eo:bands": colours, "raster:bands": [{"data_type": "uint8"}] * 3, "gsd": 1},
        **one["assets"],
    }
    scenes, _ = found_in(tmp_path, [one], mask=None)
    assert {band: raster.href.rpartition("/")[2] for band, raster in scenes[0].rasters.items()} == {
        band: f"{band}B_10m.tif" for band in BANDS
    }


def test_assets_named_by_band_and_resolution_are_found(tmp_path, profile):
    keys = [f"{band}_{side}m" for side in (60, 20, 10) for band in ("B02", "B03", "B04", "B08")]
    one = item("one", "2019-06-02", {key: f"{key}.jp2" for key in [*keys, "SCL_60m", "SCL_20m", "TCI_10m"]}, profile)
    scenes, _ = found_in(tmp_path, [one])
    hrefs = {band: raster.href.rpartition("/")[2] for band, raster in scenes[0].rasters.items()}
    assert hrefs == {"blue": "B02_10m.jp2", "green": "B03_10m.jp2", "red": "B04_10m.jp2", "nir": "B08_10m.jp2"} | {
        "scl": "SCL_20m.jp2"
    }


@pytest.mark.parametrize(
    ("stated", "properties", "expected"),
    [
        ({"raster:bands": [{"scale": 0.0001, "offset": -0.1}]}, {}, (1, 1000)),
        ({"raster:bands": [{"scale": 0.0001, "offset": 0}]}, {"s2:processing_baseline": "05.10"}, (1, 0)),
        ({"raster:bands": [{"scale": 2.75e-05, "offset": -0.2}]}, {}, (0.275, 2000)),
        ({"bands": [{"name": "x", "raster:scale": 0.0001, "raster:offset": -0.1}]}, {}, (1, 1000)),
        ({"raster:scale": 0.0001, "raster:offset": -0.1}, {}, (1, 1000)),
        ({"raster:bands": [{"scale": 1, "offset": 0}]}, {}, (1, None)),  # written by tools that know of none
        ({"raster:bands": [{"offset": -0.1}]}, {}, (1, None)),  # in which unit?
        ({"raster:bands": [{"scale": 0.0001}]}, {}, (1, None)),
        ({"raster:bands": [{"scale": 0.0001, "offset": -0.1}]}, {"earthsearch:boa_offset_applied": True}, (1, None)),
        ({"raster:bands": [{"scale": 0.0001, "offset": -0.1}]}, {"earthsearch:boa_offset_applied": False}, (1, 1000)),
    ],
)
def test_an_assets_own_scale_and_offset_are_read(tmp_path, profile, stated, properties, expected):
    one = item("one", "2019-06-02", {band: f"{band}.tif" for band in (*BANDS, "scl")}, profile, **properties)
    for asset in one["assets"].values():
        asset.update(stated)
    (scene,), _ = found_in(tmp_path, [one])
    assert (scene.rasters["red"].scale, scene.rasters["red"].offset) == expected
    assert (scene.rasters["scl"].scale, scene.rasters["scl"].offset) == (1, None)
    assert scene.offset == (0 if properties.get("earthsearch:boa_offset_applied") else None)


def test_a_named_asset_that_is_absent_is_missing(tmp_path, profile):
    with pytest.raises(InputError, match=r"one: has no asset for red; name it under scenes\.assets; found B02"):
        listed = [item("one", "2019-06-02", ASSETS, profile)]
        found_in(
            tmp_path, listed, scenes={"kind": "stac", "url": str(static(tmp_path, listed)), "assets": {"red": "R"}}
        )


def test_items_that_break_the_specification_are_dropped_or_noted(tmp_path, profile):
    right = item("right", "2019-06-02", ASSETS, profile)
    right["links"] = [{"rel": "collection", "href": "./collection.json"}]
    odd = item("odd", "2019-06-02", ASSETS, profile, **{"gsd": "ten"}) | {"links": right["links"]}
    timeless = item("timeless", "2019-06-02", ASSETS, profile, datetime=None)
    nowhere = item("nowhere", "2019-06-02", ASSETS, profile) | {"bbox": None, "geometry": None}
    scenes, report = found_in(tmp_path, [right, odd, timeless, nowhere])
    assert [each.name for each in scenes] == ["odd", "right"]
    assert "odd ($.properties.gsd: 'ten' is not of type 'number')" in report.noted["not_valid_stac"]
    assert not any(name.startswith("right") for name in report.noted["not_valid_stac"])
    assert report.dropped["invalid_item"][0].startswith("timeless (")
    assert report.dropped["without_place"] == ["nowhere"]


def test_days_are_those_of_universal_time(tmp_path, profile):
    late = item("late", "2019-06-02", ASSETS, profile, datetime="2019-06-02T23:30:00-02:00")
    (scene,), _ = found_in(tmp_path, [late])
    assert scene.date == "2019-06-03"


@pytest.mark.parametrize(
    "change",
    [
        {"assets": None}, {"assets": {"B02": None}}, {"bbox": ["west", 47, 9, 48]}, {"links": [None]},
        {"assets": {name: {"href": None} for name in ASSETS}}, {"geometry": {"type": "Polygon"}, "bbox": None},
    ],
)  # fmt: skip
def test_an_item_that_is_not_as_specified_is_reported_and_the_others_are_read(tmp_path, profile, change):
    whole = item("whole", "2019-06-12", ASSETS, profile)
    scenes, report = found_in(tmp_path, [item("broken", "2019-06-02", ASSETS, profile) | change, whole])
    assert "whole" in [each.name for each in scenes]
    assert len(scenes) == 2 or report.lost == 1


@pytest.mark.parametrize("links", [None, 3, [None], [{"rel": "item", "href": None}], [{"rel": "child", "href": {}}]])
def test_a_catalogue_whose_links_are_not_as_specified_is_one_line(tmp_path, profile, links):
    place = static(tmp_path, [item("whole", "2019-06-12", ASSETS, profile)])
    collection = place.parent / "sentinel-2-l2a" / "collection.json"
    collection.write_text(json.dumps(json.loads(collection.read_text()) | {"links": links}))
    source = settings(scenes={"kind": "stac", "url": str(place)}, years=[2019])
    with pytest.raises(InputError, match=r"collection\.json: is not as STAC specifies"):
        stac_items.find(source, source.scenes, (3_400_000, 3_100_000, 3_500_000, 3_200_000))
