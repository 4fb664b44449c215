"""Maps of every shape open: one level, thousands of species, one country, and stores that cannot be read."""

import json

import numpy as np
import pytest
from helpers import shown_maps, viewer_page
from helpers.scenario_maps import write_scenarios
from helpers.shown_maps import NAMES
from upath import UPath

from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window, whole
from sdm_ray.mapping.region_mask import Area
from sdm_ray.stores.encoding import encode
from sdm_ray.stores.maps import Map


def test_one_level_of_eight_bits(serve, tmp_path, page):
    shown_maps.write_map(tmp_path / "map.zarr", levels=0, bits=8)
    viewer_page.opened(page, serve(tmp_path / "map.zarr").url)
    page.locator("#map").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#cell table")
    stored = Map(UPath(tmp_path / "map.zarr")).stored(Window(60, 75, 1, 1))[:, 0, 0]
    shown = viewer_page.rows(page, "#cell")
    assert [shown[name] for name in NAMES] == [f"{value / 254:.3f}" for value in stored]
    assert page.wrong == []


def test_thousands_of_species(serve, tmp_path, page):
    names = [f"Planta numerosa {number}" for number in range(5681)]
    grid = Grid(3_000_000.0, 2_200_000.0, 10_000.0, 30, 24)
    values = shown_maps.write_map(tmp_path / "map.zarr", names, levels=0, grid=grid)
    viewer_page.opened(page, serve(tmp_path / "map.zarr").url)
    viewer_page.choose(page, "numerosa 4321")
    page.wait_for_selector("body[data-shown='Planta numerosa 4321']")
    page.locator("#map").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="All 5681 species").click(timeout=20_000)
    shown = viewer_page.full_values(page, "#cell")
    assert np.array([shown[name] for name in names]) == pytest.approx(values[:, 12, 15], abs=1e-5)
    assert page.wrong == []


def test_a_map_cut_to_one_country(serve, tmp_path, page):
    """As `map` with `extent` and `countries` cuts it: a part of the land store's grid, empty beyond the border."""
    shown_maps.write_countries(tmp_path / "land.zarr")
    grid = Grid(4_020_000.0, 2_980_000.0, 1000.0, 100, 80)  # the border lies 40 rows below its upper edge
    none = np.zeros(0)
    area = Area(str(tmp_path / "land.zarr"), grid, none.reshape(0, 2), none, surveyed_only=False, chosen=(2,))
    values = shown_maps.write_map(tmp_path / "map.zarr", grid=grid, wanted=area.wanted(whole(grid)))
    assert np.isnan(values[:, :40]).all() and not np.isnan(values[:, 40:, 10:]).any()
    url = serve(tmp_path / "map.zarr").url
    with page.expect_response("**/borders.geojson") as response:
        viewer_page.opened(page, f"{url}#x=4070000&y=2940000&resolution=200")
    features = response.value.json()["features"]
    assert {feature["properties"]["name"] for feature in features} == {"Northland", "Southland"}
    picture = viewer_page.settled(page)
    assert picture[420:700, 300:800].std(axis=(0, 1)).max() > 20 > 2 > picture[120:360, 300:800].std(axis=(0, 1)).max()
    viewer_page.click(page, 4_070_000, 2_940_000, *grid.centre(60, 50), 200)
    page.wait_for_selector("#cell table")
    shown = viewer_page.full_values(page, "#cell")
    assert [shown[name] for name in NAMES] == (encode(values[:, 60, 50], 16) / 65534).tolist()
    viewer_page.click(page, 4_070_000, 2_940_000, *grid.centre(20, 50), 200)
    page.locator("#cell").get_by_text("No data in this cell.").wait_for()
    page.get_by_role("button", name="Whole map").click()
    page.wait_for_timeout(600)
    assert page.wrong == []


def test_a_large_map_of_one_level_asks_to_zoom_in(serve, tmp_path, page):
    grid = Grid(1_000_000.0, 5_000_000.0, 500.0, 8400, 40)
    shown_maps.write_map(tmp_path / "map.zarr", NAMES[:1], levels=0, grid=grid)
    url = serve(tmp_path / "map.zarr").url
    viewer_page.opened(page, url)
    page.get_by_text("This layer has no coarser levels: zoom in to see it.").wait_for()
    viewer_page.opened(page, f"{url}#x=3000000&y=4990000&resolution=1500")
    assert (viewer_page.settled(page)[394:406, 300:600].std(axis=(0, 1)) > 5).any()
    assert page.locator("#status").inner_text() == ""


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda path: path.unlink(), "there is no zarr.json (status 404)."),
        (lambda path: path.write_text("{"), "its zarr.json is not JSON."),
        (lambda path: path.write_text("{}"), "its zarr.json lists no arrays, so the store is unfinished."),
    ],
)
def test_an_unreadable_store_is_one_clear_sentence(serve, tmp_path, page, damage, sentence):
    shown_maps.write_map(tmp_path / "map.zarr", levels=0)
    server = serve(tmp_path / "map.zarr")
    damage(tmp_path / "map.zarr" / "zarr.json")
    viewer_page.opened(page, server.url, "failed")
    assert page.locator("#status").inner_text() == f"map.zarr (/stores/0/) cannot be read: {sentence}"
    assert page.wrong == []


def test_a_chunk_that_cannot_be_read_is_said(serve, tmp_path, page):
    shown_maps.write_map(tmp_path / "map.zarr", levels=0)
    for file in (tmp_path / "map.zarr" / "0" / "probability" / "c").rglob("*"):
        if file.is_file():
            file.write_bytes(b"nothing of a Zarr shard")
    viewer_page.opened(page, serve(tmp_path / "map.zarr").url)
    page.get_by_text("This cannot be shown: ").wait_for()


def test_no_request_leaves_the_machine(serve, run_folder, page):
    server = serve(run_folder / "map.zarr")
    viewer_page.opened(page, server.url)
    page.locator("#map").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#cell table")
    assert len(page.asked) > 5
    assert [url for url in page.asked if not url.startswith((server.url, "data:", "about:"))] == []
    blocked = "fetch('https://example.org/').then(() => 'sent', () => 'refused')"
    assert page.evaluate(blocked) == "refused"
    policy = page.request.get(server.url).headers["content-security-policy"]
    assert json.dumps(policy).count("http") == 2  # who may frame it: pages of this machine


def test_a_map_of_scenarios_has_a_list_of_them(serve, tmp_path, page):
    values = shown_maps.probabilities(len(NAMES))
    scenarios = {"today": values, "felled": values / 2}
    write_scenarios(UPath(tmp_path / "map.zarr"), shown_maps.GRID, NAMES, scenarios, levels=1)
    viewer_page.opened(page, serve(tmp_path / "map.zarr").url)
    page.get_by_label("Scenario").select_option("felled")
    page.locator("#map").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#cell table")
    stored = Map(UPath(tmp_path / "map.zarr"), scenario="felled").stored(Window(60, 75, 1, 1))[:, 0, 0]
    shown = viewer_page.rows(page, "#cell")
    assert [shown[name] for name in NAMES] == [f"{value / 254:.3f}" for value in stored]
    assert page.wrong == []
