"""The STAC client: pages, links, patience, signatures."""

import json
import subprocess
import sys

import pytest
from helpers.satellite import item, serving, static, tile
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.sources.sentinel2.retries import RetryPolicy
from sdm_ray.sources.sentinel2.stac_client import Client, Query, items, join

CLIENT = Client(RetryPolicy(retries=2, backoff_s=0.01), timeout_s=5)
PERIODS = [("2019-06-01", "2019-08-31"), ("2020-06-01", "2020-08-31")]
QUERY = Query(["sentinel-2-l2a"], (-2.0, 50.0, -1.0, 51.0), PERIODS, 40, 2)
ASSETS = {"B02": "b.tif", "B03": "g.tif", "B04": "r.tif", "B08": "n.tif", "SCL": "s.tif"}


@pytest.fixture
def profile(data):
    return tile(data)[1]


@pytest.fixture
def served(tmp_path, profile):
    with serving(tmp_path) as server:
        days = ["2019-06-02", "2019-06-12", "2019-07-01", "2019-09-01", "2020-07-01"]
        server.items = [item(f"S2_{day}", day, ASSETS, profile) for day in days]
        yield server


def test_an_api_is_asked_for_place_dates_and_cloud_page_by_page(served):
    found = [each["id"] for each in items(CLIENT, served.url, QUERY)]
    assert found == ["S2_2019-06-02", "S2_2019-06-12", "S2_2019-07-01", "S2_2020-07-01"]
    first, second, third = served.asked
    assert first["bbox"] == [-2.0, 50.0, -1.0, 51.0] and first["collections"] == ["sentinel-2-l2a"]
    assert first["datetime"] == "2019-06-01T00:00:00Z/2019-08-31T23:59:59Z"
    assert first["query"] == {"eo:cloud_cover": {"lte": 40}}
    assert second == {**first, "start": 2}
    assert third["datetime"].startswith("2020")


def test_the_condition_on_clouds_is_in_a_language_that_the_api_knows(served):
    served.conforms = ["https://api.stacspec.org/v1.0.0/item-search#filter"]
    list(items(CLIENT, served.url, QUERY))
    condition = {"op": "<=", "args": [{"property": "eo:cloud_cover"}, 40]}
    assert served.asked[0]["filter"] == condition and served.asked[0]["filter-lang"] == "cql2-json"
    served.conforms, served.asked = [], []
    list(items(CLIENT, served.url, QUERY))
    assert not {"filter", "query"} & set(served.asked[0])


def test_a_busy_server_is_asked_again_and_a_dead_one_is_named(served):
    served.failing["/"] = 2
    assert len(list(items(CLIENT, served.url + "/", QUERY))) == 4
    served.failing["/"] = 3
    with pytest.raises(InputError, match=r"http://127\.0\.0\.1:\d+/: answers 503"):
        list(items(CLIENT, served.url + "/", QUERY))
    with pytest.raises(InputError, match="answers 404"):
        list(items(CLIENT, served.url + "/nowhere/catalog.json", QUERY))
    with pytest.raises(InputError, match="does not answer"):
        list(items(CLIENT, "http://127.0.0.1:9/", QUERY))


def test_pages_that_run_in_a_circle_are_noticed(served):
    page = {"features": [], "links": [{"rel": "next", "href": f"{served.url}/search", "method": "POST", "body": {}}]}
    served.search = lambda body: page
    with pytest.raises(InputError, match="one that was there before"):
        list(items(CLIENT, served.url, QUERY))


def test_pages_after_an_empty_one_are_read(served, profile):
    full = served.search
    served.items = [item(f"S2_{day}", day, ASSETS, profile) for day in ("2019-06-02", "2019-06-12", "2019-07-01")]

    def search(body):
        page = full(body)
        return {**page, "features": []} if not body.get("start") else page

    served.search = search
    assert [each["id"] for each in items(CLIENT, served.url, QUERY)] == ["S2_2019-07-01"]


def test_a_static_catalogue_lies_in_any_file_system(profile):
    folder = UPath("memory://catalogues/tiles")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.json").write_text(json.dumps(item("a", "2019-06-02", {"B04": "../r.tif"}, profile)))
    top = {"type": "Catalog", "stac_version": "1.0.0", "id": "tiles", "links": [{"rel": "item", "href": "./a.json"}]}
    (folder / "catalog.json").write_text(json.dumps(top))
    (found,) = items(CLIENT, "memory://catalogues/tiles/catalog.json", QUERY)
    assert found["assets"]["B04"]["href"] == "memory://catalogues/r.tif"
    with pytest.raises(InputError, match=r"memory://catalogues/none\.json: no such file"):
        list(items(CLIENT, "memory://catalogues/none.json", QUERY))


def test_a_static_catalogue_is_walked_on_disk_and_on_a_server(served, tmp_path):
    catalogue = static(tmp_path, served.items)
    (tmp_path / "stac" / "other.json").write_text(json.dumps({"type": "Collection", "id": "landsat", "links": []}))
    known = {each["id"]: each for each in items(CLIENT, str(catalogue), QUERY)}
    assert sorted(known) == sorted(each["id"] for each in served.items)
    place = tmp_path / "stac" / "sentinel-2-l2a"
    assert known["S2_2019-06-02"]["assets"]["B04"]["href"] == str(place / "r.tif")
    remote = {each["id"]: each for each in items(CLIENT, f"{served.url}/stac/catalog.json", QUERY)}
    assert remote["S2_2019-06-02"]["assets"]["B04"]["href"] == f"{served.url}/stac/sentinel-2-l2a/r.tif"


def test_what_is_no_catalogue_is_named(tmp_path):
    (tmp_path / "a.json").write_text("[1]")
    (tmp_path / "b.json").write_text("{}")
    (tmp_path / "c.json").write_text("<html>")
    for name, said in (("a", "expected a JSON object"), ("b", "no stac_version"), ("c", "is no JSON")):
        with pytest.raises(InputError, match=rf"{name}\.json: .*{said}"):
            list(items(CLIENT, str(tmp_path / f"{name}.json"), QUERY))
    with pytest.raises(InputError, match=r"d\.json: no such file"):
        list(items(CLIENT, str(tmp_path / "d.json"), QUERY))


@pytest.mark.parametrize(
    ("base", "href", "expected"),
    [
        ("/a/b/c.json", "./d/e.json", "/a/b/d/e.json"),
        ("/a/b/c.json", "/x.tif", "/x.tif"),
        ("http://h/a/c.json", "../e.json", "http://h/e.json"),
        ("http://h/a/c.json", "s3://b/e.tif", "s3://b/e.tif"),
        ("s3://b/a/c.json", "../d/e.json", "s3://b/d/e.json"),
        ("http://h/a/c.json", "/vsis3/b/e.tif", "/vsis3/b/e.tif"),
    ],
)
def test_relative_addresses(base, href, expected):
    assert join(base, href).replace("/a/b/./", "/a/b/") == expected


def test_catalogue_libraries_are_not_imported_for_files():
    code = "import sys, sdm_ray.sources.sentinel2.cube; print([m for m in sys.modules if m.startswith('pystac')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
